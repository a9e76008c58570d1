"""Validation by voluptuous, built from the declared keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import voluptuous as vol

from companion_agent.config.settings import CollectorConfig, Config
from companion_agent.fields import FILE, ByName, Section, Setting, construct, declared
from companion_agent.secret import without_login, without_port
from companion_agent.values import Leaf, NothingToChoose, Switch, collect, hint, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from companion_agent.config.known import Known
    from companion_agent.fields import Kind
    from companion_agent.values import Raw

    Validator = Callable[[Raw], Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What a configuration is validated against.

    Attributes:
        base: Where relative paths start: the configuration's folder.
        collectors: The collectors that there are.
    """

    base: Path
    collectors: Mapping[str, Known]


def build(context: Context) -> Callable[[Raw], dict[str, Any]]:
    """Build what validates a whole configuration and returns its values by key in dots."""
    return _Made(Section(Config, make=dict), context)


def has_secrets(kind: Kind) -> bool:
    """Tell whether a key's value, or one below it, must not be shown."""
    if isinstance(kind, Section):
        return any(has_secrets(one.setting.kind) for one in declared(kind.of))
    return has_secrets(kind.value) if isinstance(kind, ByName) else kind.secret


def _validator(setting: Setting, context: Context) -> Validator:
    kind = setting.kind
    if isinstance(kind, Leaf):
        return kind.at(context.base)
    if isinstance(kind, ByName) and kind.free:
        return _FreeNames(kind.free, _validator(Setting(kind.value, ""), context))
    if isinstance(kind, ByName):
        return _Names(kind.noun, dict(_below(kind, context)))
    validator: Validator = _Made(kind, context)
    if kind.text:
        validator = _Text(validator, kind.text, kind.text_form)
    if kind.switch:
        validator = _Switched(validator, kind.of)
    if kind.several:
        noun = setting.key if setting.required else ""
        validator = _Several(validator, noun)
    return validator


def _below(kind: ByName, context: Context) -> Iterator[tuple[str, Validator]]:
    if kind.names:
        below = _validator(Setting(kind.value, ""), context)
        yield from dict.fromkeys((*kind.names, *kind.former), below).items()
        return
    section = Section(CollectorConfig)
    all_keys, no_choice = _Made(section, context), _Made(section, context, _NO_CHOICE)
    for name, known in context.collectors.items():
        yield name, all_keys if known.selects else no_choice


_NO_CHOICE = {"include": NothingToChoose(), "exclude": NothingToChoose()}


class _Keys:
    """Some keys; every one that is not known is reported with the one that was meant.

    Args:
        validators: What is below each of them.
        found: What is declared of them, by name.
        check: Finds what does not go together among them.
    """

    def __init__(
        self,
        validators: Mapping[str, Validator],
        found: Mapping[str, Setting],
        check: Callable[[Mapping[str, Raw]], Iterator[vol.Invalid]] | None = None,
    ) -> None:
        self.names = tuple(validators)
        self._settings = found
        self._check = check
        self._secret = any(has_secrets(setting.kind) for setting in found.values())
        self._schema = vol.Schema(
            {
                vol.Required(name, msg="is missing")
                if name in found and found[name].required
                else vol.Optional(name): validator
                for name, validator in validators.items()
            }
        )

    def __call__(self, raw: Raw) -> dict[str, Any]:
        if not isinstance(raw, dict):
            found = "a list" if isinstance(raw, list) else shown(raw)
            what = "" if self._secret else f", not {found}"
            raise vol.Invalid(f"expected keys below it ({', '.join(self.names)}){what}")
        errors = [*self._unknown(raw), *self._rules(raw)]
        if self._check:
            errors += self._check(raw)
        values: dict[str, Any] = {}
        try:
            values = self._schema({name: raw[name] for name in raw if name in self.names})
        except vol.MultipleInvalid as error:
            errors += error.errors
        if errors:
            raise vol.MultipleInvalid(errors)
        return values

    def _unknown(self, raw: Mapping[str, Raw]) -> Iterator[vol.Invalid]:
        for name in raw:
            if name not in self.names:
                yield vol.Invalid(f"is not known here{hint(name, self.names)}", [name])

    def _rules(self, raw: Mapping[str, Raw]) -> Iterator[vol.Invalid]:
        for name, setting in self._settings.items():
            file = f"{name}{FILE}" if setting.file else name
            if setting.file and name in raw and file in raw:
                yield vol.Invalid(f"give either this or {name}", [file])
            if setting.needs and setting.needs not in raw and (name in raw or file in raw):
                yield vol.Invalid(f"is missing: there is a {name}", [setting.needs])


class _Made:
    """The keys of a section, and what is made of them.

    Args:
        section: The section.
        context: What is validated against.
        instead: Other types of some of its keys.
    """

    def __init__(
        self, section: Section, context: Context, instead: Mapping[str, Leaf[Any]] | None = None
    ) -> None:
        self._section = section
        self._declared = list(declared(section.of))
        validators: dict[str, Any] = {}
        settings: dict[str, dict[str, Setting]] = {"": {}}
        for one in self._declared:
            above, _, name = one.key.rpartition(".")
            below = validators.setdefault(above, {}) if above else validators
            settings.setdefault(above, {})[name] = one.setting
            below[name] = (instead or {}).get(name) or _validator(one.setting, context)
            if one.setting.file:
                below[f"{name}{FILE}"] = one.setting.file.at(context.base)
        for above, below in settings.items():
            if above:
                validators[above] = _Keys(validators[above], below)
        self._keys = _Keys(validators, settings[""], section.check)

    def __call__(self, raw: Raw) -> Any:  # noqa: ANN401
        given = self._keys(raw)
        values = {}
        for one in self._declared:
            above, _, name = one.key.rpartition(".")
            below = given.get(above, {}) if above else given
            for spelled in (name, f"{name}{FILE}") if one.setting.file else (name,):
                if spelled in below:
                    values[one.key] = below[spelled]
        if self._section.make:
            return self._section.make(values)
        return construct(self._section.of, values)


class _Names:
    """A value for each of some names."""

    def __init__(self, noun: str, validators: Mapping[str, Validator]) -> None:
        self._noun = noun
        self._validators = validators

    def __call__(self, raw: Raw) -> dict[str, Any]:
        names = tuple(self._validators)
        if not isinstance(raw, dict):
            raise vol.Invalid(f"expected keys below it ({', '.join(names)})")
        return collect(
            (name, below, self._validators.get(name) or self._refuse(name, names))
            for name, below in raw.items()
        )

    def _refuse(self, name: str, names: tuple[str, ...]) -> Validator:
        def refuse(_: Raw) -> None:
            raise vol.Invalid(f"is not a {self._noun}{hint(name, names)}")

        return refuse


class _FreeNames:
    """A value for each of some names that the user chooses."""

    def __init__(self, name: Leaf[str], below: Validator) -> None:
        self._name, self._below = name, below

    def __call__(self, raw: Raw) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise vol.Invalid(f"expected keys below it, each {self._name.expected}")
        return collect((name, below, partial(self._named, name)) for name, below in raw.items())

    def _named(self, name: str, below: Raw) -> Any:  # noqa: ANN401
        self._name(name)
        return self._below(below)


class _Text:
    """A section whose keys can be said in one text."""

    def __init__(
        self, keys: Validator, read: Callable[[str], Mapping[str, Any]], form: str
    ) -> None:
        self._keys, self._read, self._form = keys, read, form

    def __call__(self, raw: Raw) -> Any:  # noqa: ANN401
        if not isinstance(raw, str):
            return self._keys(raw)
        try:
            given = self._read(raw)
        except ValueError as error:
            found = shown(without_port(without_login(raw)))
            raise vol.Invalid(f"expected {self._form}, but {found} {error}") from None
        return self._keys(dict(given))


class _Switched:
    """A section that `true` stands for when it has no keys, and `false` when there is none."""

    def __init__(self, keys: Validator, of: type) -> None:
        self._keys, self._of = keys, of

    def __call__(self, raw: Raw) -> Any:  # noqa: ANN401
        if isinstance(raw, str):
            return self._of() if Switch()(raw) else None
        return self._keys(raw)


class _Several:
    """A list of sections; a single one needs no list.

    Args:
        item: What validates one of them.
        noun: What they are, where there must be one; else empty.
    """

    def __init__(self, item: Validator, noun: str) -> None:
        self._item, self._noun = item, noun

    def __call__(self, raw: Raw) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            return (self._item(raw),)
        if self._noun and not raw:
            wrong = f"expected a {self._noun} or a list of them; the list is empty"
            raise vol.Invalid(wrong)
        items = collect((number, one, self._item) for number, one in enumerate(raw))
        return tuple(items.values())
