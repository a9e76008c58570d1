"""Declares a configuration key where its value is kept: as a field of a frozen dataclass.

Everything else that has to know of a key is made from that: validation, environment variables,
`config show`, `config schema` and the table in `docs/configuration.md`.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from companion_agent.values import Leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from _typeshed import DataclassInstance
    from voluptuous import Invalid

    from companion_agent.values import Raw

    T = TypeVar("T", bound=DataclassInstance)


_METADATA = "setting"
FILE = "_file"
"""What follows the name of a key whose value a file can hold."""
LISTED = "[]"
"""What follows the name of a key that is a list of sections; no variable can set what is below."""


def is_variable(path: Iterable[str]) -> bool:
    """Tell whether an environment variable can set what is at a path."""
    return not any(step.endswith(LISTED) or step.startswith("<") for step in path)


@dataclass(frozen=True, slots=True)
class Section:
    """Keys below a key: those that a dataclass declares.

    Attributes:
        of: The dataclass.
        make: Makes it of its keys' values, by key; `construct` when `None`.
            It raises `vol.Invalid` for what does not go together.
        check: Finds what does not go together among the keys as they were written.
        several: Whether a list of them is taken too.
        text: Makes the keys of one text; `None` where a text is wrong.
        text_form: What that text is, as it follows "expected".
        switch: Whether `true` stands for a section without keys, and `false` for none.
    """

    of: type[DataclassInstance]
    make: Callable[[dict[str, Any]], Any] | None = None
    check: Callable[[Mapping[str, Raw]], Iterator[Invalid]] | None = None
    several: bool = False
    text: Callable[[str], Mapping[str, Any]] | None = None
    text_form: str = ""
    switch: bool = False


@dataclass(frozen=True, slots=True)
class ByName:
    """A value for each of some names.

    Attributes:
        noun: What the names are names of.
        value: What is below each of them.
        names: The names; those that the loader is given when empty.
        former: Names of earlier versions, which are taken and not listed.
        free: What a name has to be, where the user chooses them; no variable can set what is below.
    """

    noun: str
    value: Section | Leaf[Any]
    names: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    free: Leaf[str] | None = None


Kind = Leaf[Any] | Section | ByName


@dataclass(frozen=True, slots=True)
class Setting:
    """What is declared of one key.

    Attributes:
        kind: What its value is.
        meaning: One sentence for documents and editors.
        key: Its path in the file in dots; the field's name when empty.
        shown: Its default in documents; the field's default when `None`.
        required: Whether it must be there.
        file: What a second key is, with `_file` behind this one's name, that names a file with
            the value; `None` where there is none.
        needs: Another key of the section without which this one is wrong; empty for none.
        quiet: Whether `config show` leaves it out while it has its default.
        remote: Whether Home Assistant may set it where neither file nor environment does. Never
            what decides whom the host trusts, what may be done to it, or what of its user is told.
    """

    kind: Kind
    meaning: str
    key: str = ""
    shown: str | None = None
    required: bool = False
    file: Leaf[Any] | None = None
    needs: str = ""
    quiet: bool = False
    remote: bool = False


class _Group(NamedTuple):
    of: type[DataclassInstance]
    settings: Mapping[str, Setting]


class Declared(NamedTuple):
    """A key as a dataclass declares it.

    Attributes:
        key: Its path in dots, from the dataclass's own section.
        setting: What is declared of it.
        attribute: The attributes that lead to its value.
        default: The value without it; `None` where there is none.
    """

    key: str
    setting: Setting
    attribute: tuple[str, ...]
    default: Any


def setting(
    kind: Kind,
    meaning: str = "",
    default: Any = MISSING,  # noqa: ANN401  (a field may have any type)
    *,
    factory: Any = MISSING,  # noqa: ANN401
    **more: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Declare a field that is a key of the configuration.

    Args:
        kind: What its value is.
        meaning: One sentence for documents and editors.
        default: The field's default.
        factory: Makes the field's default.
        more: The other attributes of `Setting`.
    """
    return _field(Setting(kind, meaning, **more), default, factory)


def group(
    of: type[DataclassInstance],
    factory: Any = MISSING,  # noqa: ANN401
    **settings: Setting,
) -> Any:  # noqa: ANN401
    """Declare a field whose own fields are keys beside the others of its section.

    Args:
        of: The field's class.
        factory: Makes the field's default.
        settings: What is declared of its fields; without it, the class declares them.
    """
    return _field(_Group(of, settings), MISSING, factory)


def _field(metadata: object, default: Any, factory: Any) -> Any:  # noqa: ANN401
    if factory is not MISSING:
        return field(default_factory=factory, metadata={_METADATA: metadata})
    return field(default=default, metadata={_METADATA: metadata})


def declared(
    of: type[DataclassInstance],
    given: Mapping[str, Setting] | None = None,
    above: tuple[str, ...] = (),
) -> Iterator[Declared]:
    """List the keys that a dataclass declares, in the order of its fields.

    Args:
        of: The dataclass.
        given: What is declared of its fields elsewhere.
        above: The attributes that lead to an instance of it.
    """
    for one in fields(of):
        found = (given or {}).get(one.name) or one.metadata.get(_METADATA)
        if isinstance(found, Setting):
            yield Declared(found.key or one.name, found, (*above, one.name), _default(one))
        elif isinstance(found, _Group):
            yield from declared(found.of, found.settings, (*above, one.name))


class Key(NamedTuple):
    """A key of the whole configuration that has a value of its own.

    Attributes:
        path: The steps to it; `[]` follows a step below which are several.
        expected: What its value is, as it follows "expected".
        default: Its default, for documents.
        meaning: One sentence.
    """

    path: tuple[str, ...]
    expected: str
    default: str
    meaning: str


def all_keys(
    of: type[DataclassInstance], names: Mapping[str, Sequence[str]], above: tuple[str, ...] = ()
) -> Iterator[Key]:
    """List the keys of a section and of those below it.

    Args:
        of: The section's dataclass.
        names: The names of what has names that the loader is given, by noun.
        above: The steps to the section.
    """
    for one in declared(of):
        yield from _keys_at((*above, *one.key.split(".")), one.setting, one.default, names)


def _keys_at(
    path: tuple[str, ...],
    one: Setting,
    default: Any,  # noqa: ANN401
    names: Mapping[str, Sequence[str]],
) -> Iterator[Key]:
    kind = one.kind
    if isinstance(kind, ByName):
        for name in names.get(kind.noun) or (*kind.names, *kind.former):
            yield from _keys_at((*path, name), replace(one, kind=kind.value), None, names)
    elif isinstance(kind, Section):
        if kind.switch:
            yield Key(path, "true, false or the keys below", one.shown or "", one.meaning)
        listed = (*path[:-1], f"{path[-1]}{LISTED}") if kind.several and not kind.text else path
        yield from all_keys(kind.of, names, listed)
    else:
        yield Key(path, kind.expected, default_text(one, default), one.meaning)
        if one.file:
            meaning = f"A file that holds `{path[-1]}` and nothing else."
            yield Key((*path[:-1], f"{path[-1]}{FILE}"), one.file.expected, "", meaning)


def default_text(one: Setting, default: Any) -> str:  # noqa: ANN401
    """Return a key's default as documents show it."""
    if one.shown is not None:
        return one.shown
    value = one.kind.dump(default) if isinstance(one.kind, Leaf) and default is not None else None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "" if value is None or value == "" else str(value)


def construct(of: type[T], values: Mapping[str, Any], **more: Any) -> T:  # noqa: ANN401
    """Make a dataclass of its keys' values; what is missing has its default.

    Args:
        of: The dataclass.
        values: The values by key in dots.
        more: Fields that are no keys.
    """
    arguments = dict(more)
    groups: dict[str, dict[str, Any]] = {}
    for one in declared(of):
        if one.key not in values:
            continue
        first, *below = one.attribute
        if below:
            groups.setdefault(first, {})[below[0]] = values[one.key]
        else:
            arguments[first] = values[one.key]
    for one_field in fields(of):
        if below_it := groups.get(one_field.name):
            arguments[one_field.name] = one_field.metadata[_METADATA].of(**below_it)
    return of(**arguments)


def value_of(owner: object, attribute: Sequence[str]) -> Any:  # noqa: ANN401
    """Return what the attributes of a declared key lead to."""
    for name in attribute:
        owner = getattr(owner, name)
    return owner


def _default(one: Field[Any]) -> Any:  # noqa: ANN401
    if one.default_factory is not MISSING:
        return one.default_factory()
    return None if one.default is MISSING else one.default
