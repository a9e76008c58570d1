"""How the local file names commands of its owner, and how the programs of all that are own run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.fields import ByName, Section, construct, group, setting
from companion_agent.matching import Matcher, SlowPatternError
from companion_agent.models import Argument, ChoiceArgument, Show, TextArgument
from companion_agent.protocol.validation import (
    MAX_ARGUMENT_NAME,
    MAX_OPTIONS,
    MAX_TEXT,
    MAX_TIME_LIMIT,
)
from companion_agent.values import (
    Choice,
    Folder,
    Integer,
    Leaf,
    ListOf,
    Number,
    Seconds,
    Switch,
    Text,
    all_invalid,
    closest,
    invalid,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from voluptuous import Invalid

    from companion_agent.values import Raw

VALUE = "value"
"""The argument of a command that sets something."""
ON, OFF = "on", "off"
"""What a switch is set to."""

_LONGEST_NAME = 64
_MATCH_LIMIT = 1.0
_HUGE = 1_000_000_000
_MOST_ARGUMENTS = 256
_LONGEST_ARGUMENT = 8192
_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
_NAME_SCHEMA = {"type": "string", "pattern": rf"^[a-z0-9_-]{{1,{_LONGEST_NAME}}}$"}
_ARGV_SCHEMA = {"type": "array", "items": {"type": ["string", "number", "boolean"]}}
_SHELLS = frozenset({"ash", "bash", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh"})


class OwnName(Leaf[str]):
    """What the owner calls something; it stands in keys."""

    expected = f"a name of 1 to {_LONGEST_NAME} of a-z, 0-9, _ and -"
    schema = _NAME_SCHEMA

    def _read(self, text: str) -> str:
        if not re.fullmatch(rf"[a-z0-9_-]{{1,{_LONGEST_NAME}}}", text):
            raise ValueError
        return text


class ArgumentName(Leaf[str]):
    """What an argument is called."""

    expected = f"a name of 1 to {MAX_ARGUMENT_NAME} of a-z, 0-9 and _"

    def _read(self, text: str) -> str:
        if not re.fullmatch(rf"[a-z0-9_]{{1,{MAX_ARGUMENT_NAME}}}", text):
            raise ValueError
        return text


class VariableName(Leaf[str]):
    """The name of an environment variable."""

    expected = "a name of A-Z, 0-9 and _"

    def _read(self, text: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
            raise ValueError
        return text


class VariableText(Leaf[str]):
    """What an environment variable holds."""

    expected = "a text"

    def _read(self, text: str) -> str:
        if "\0" in text:
            raise ValueError
        return text


class Argv(Leaf[tuple[str, ...]]):
    """A program and its arguments, a list with an element for each: no shell takes it apart."""

    expected = "a list of a program and its arguments"
    schema = _ARGV_SCHEMA

    def __call__(self, raw: Raw) -> tuple[str, ...]:
        """Return program and arguments.

        Raises:
            vol.Invalid: It is something else.
        """
        if isinstance(raw, str):
            words = ", ".join(raw.split())
            raise invalid(f"expected {self.expected}, not one text; write [{words}]")
        if not isinstance(raw, list) or not all(isinstance(word, str) for word in raw):
            raise invalid(f"expected {self.expected}")
        argv = tuple(str(word) for word in raw)
        if not 0 < len(argv) <= _MOST_ARGUMENTS or not argv[0]:
            raise invalid(f"expected {self.expected}, from 1 to {_MOST_ARGUMENTS}")
        if any("\0" in word or len(word) > _LONGEST_ARGUMENT for word in argv):
            raise invalid(f"an argument has more than {_LONGEST_ARGUMENT} characters, or a NUL")
        return argv

    def _dump(self, value: tuple[str, ...]) -> object:
        return list(value)


class UserName(Leaf[str]):
    """A user of this system."""

    expected = "the name of a user of this system"

    def _read(self, text: str) -> str:
        if sys.platform == "win32":
            raise ValueError("programs start as the agent here")
        else:  # noqa: RET506  (mypy leaves out only what is inside)
            import pwd  # noqa: PLC0415  (no other system has it)

            try:
                pwd.getpwnam(text)
            except KeyError:
                meant = closest(text, (one.pw_name for one in pwd.getpwall()), 0.6)
                raise ValueError(f"did you mean {meant}?" if meant else "") from None
            return text


class Regex(Leaf[str]):
    """A regular expression."""

    expected = "a regular expression, as Python's re reads it"

    def _read(self, text: str) -> str:
        if not text:
            raise ValueError
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(str(error)) from None
        return text


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How a program runs.

    Attributes:
        user: Who it runs as; the agent's own user when empty.
        folder: Where it runs; `/` when `None`.
        environment: Variables that it has beside the usual ones.
    """

    user: str = setting(UserName(), "Who it runs as; root alone may choose.", "", shown="the agent")
    folder: Path | None = setting(Folder(), "Where it runs.", None, shown="/")
    environment: Mapping[str, str] = setting(
        ByName("variable", VariableText(), free=VariableName()),
        "Variables that it has beside PATH, LANG, HOME and USER.",
        factory=dict,
    )


@dataclass(frozen=True, slots=True)
class ArgumentConfig:
    """What an argument may be.

    Attributes:
        type: What it is.
        minimum: The smallest number.
        maximum: The largest number.
        step: By how much a number is sensibly changed.
        unit: What a number counts.
        options: What can be chosen.
        pattern: What a whole text matches.
        longest: The most characters of a text.
        default: What it is when the caller leaves it out, as text; it must not when `None`.
    """

    type: str = setting(Choice("number", "choice", "text"), "What it is.", required=True)
    minimum: float | None = setting(
        Number(-_HUGE, _HUGE), "Of a number: the smallest.", None, needs="maximum"
    )
    maximum: float | None = setting(
        Number(-_HUGE, _HUGE), "Of a number: the largest.", None, needs="minimum"
    )
    step: float | None = setting(
        Number(0.000001, _HUGE), "Of a number: by how much it is sensibly changed.", None
    )
    unit: str = setting(Text(32), "Of a number: what it counts.", "")
    options: tuple[str, ...] = setting(
        ListOf(Text(MAX_TEXT), "texts"), "Of a choice: what can be chosen.", ()
    )
    pattern: str = setting(Regex(), "Of a text: what the whole of it matches.", "")
    longest: int = setting(
        Integer(1, MAX_TEXT), "Of a text: the most characters.", MAX_TEXT, quiet=True
    )
    default: str | None = setting(
        Text(), "What it is where it is not given.", None, shown="it must be given"
    )

    @property
    def argument(self) -> Argument | ChoiceArgument | TextArgument:
        """The same, as commands have it."""
        if self.type == "choice":
            return ChoiceArgument(self.options, self.default)
        if self.type == "text":
            return TextArgument(self.longest, self.default, pattern=self.pattern)
        assert self.minimum is not None
        assert self.maximum is not None
        number = None if self.default is None else float(self.default)
        return Argument(self.unit, self.minimum, self.maximum, number, self.step or 0)


_OF_TYPE: Mapping[str, frozenset[str]] = {
    "number": frozenset({"minimum", "maximum", "step", "unit"}),
    "choice": frozenset({"options"}),
    "text": frozenset({"pattern", "longest"}),
}


def make_argument(values: dict[str, Any]) -> ArgumentConfig:
    """Make an argument of its keys' values.

    Raises:
        vol.Invalid: They do not go together.
    """
    errors = [
        invalid(f"is known only of a {kind}", [name])
        for kind, names in _OF_TYPE.items()
        for name in values
        if name in names and kind != values["type"]
    ]
    for kind, name in (("number", "minimum"), ("choice", "options"), ("text", "pattern")):
        if values["type"] == kind and not values.get(name) and values.get(name) != 0:
            errors.append(invalid(f"is missing: a {kind} has it", [name]))
    config: ArgumentConfig = construct(ArgumentConfig, values)
    if not errors:
        errors += _mistakes_of(config)
    if errors:
        raise all_invalid(errors)
    return config


def _mistakes_of(config: ArgumentConfig) -> Iterator[Invalid]:
    if (config.minimum or 0) > (config.maximum or 0):
        yield invalid("is more than the maximum", ["minimum"])
        return
    if len(config.options) > MAX_OPTIONS:
        yield invalid(f"expected at most {MAX_OPTIONS}", ["options"])
    if config.default is None:
        return
    if config.type == "choice" and config.default not in config.options:
        yield invalid(f"expected one of the options, not {shown(config.default)}", ["default"])
    if config.type == "text":
        try:
            with Matcher(_MATCH_LIMIT) as matcher:
                fits = matcher.fits(config.pattern, config.default)
        except SlowPatternError as error:
            yield invalid(str(error), ["pattern"])
        else:
            if not fits:
                yield invalid("does not match the pattern", ["default"])
    if config.type == "number":
        import voluptuous as vol  # noqa: PLC0415  (see `values.invalid()`)

        try:
            Number(config.minimum or 0, config.maximum or 0)(config.default)
        except vol.Invalid as error:
            error.prepend(["default"])
            yield error


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """One command of the owner.

    Attributes:
        command: What is started; an element that is an argument's name in braces stands for it.
        name: What it is called; after its key when empty.
        show: What Home Assistant shows it as; by its arguments when empty.
        arguments: What its caller may say, by name.
        state: What is started to read the present value; `None` where it sets none.
        time_limit: Seconds that it may take.
        confirm: Whether the user is to confirm it.
        harmless: Whether it ends no work, whatever is called.
        surroundings: How the program runs.
    """

    command: tuple[str, ...] = setting(
        Argv(),
        "What is started, without a shell. An element that is an argument's name in braces stands "
        "for the argument.",
        required=True,
    )
    name: str = setting(Text(), "What it is called in Home Assistant.", "", shown="its name here")
    show: str = setting(
        Choice("nothing", "button", "switch", "select", "number"),
        "What it is in Home Assistant.",
        "",
        shown="button where no argument must be given",
    )
    arguments: Mapping[str, ArgumentConfig] = setting(
        ByName("argument", Section(ArgumentConfig, make_argument), free=ArgumentName()),
        "What its caller may say.",
        factory=dict,
    )
    state: tuple[str, ...] | None = setting(
        Argv(),
        "Of a switch, a select and a number: what is started to read the present value.",
        None,
    )
    time_limit: float = setting(
        Seconds(0.1, MAX_TIME_LIMIT), "It is ended with all that it has started after so long.", 30
    )
    confirm: bool = setting(
        Switch(), "The user is to confirm it; `pilot.run_command` asks for `confirm: true`.", False
    )
    harmless: bool = setting(
        Switch(),
        "It ends no work: actions on areas may reach it, and dashboards show it by themselves.",
        False,
    )
    surroundings: Surroundings = group(Surroundings, factory=Surroundings)

    @property
    def shown(self) -> Show:
        """What it is shown as; empty for nothing."""
        match self.show:
            case "":
                given = (one.argument.default for one in self.arguments.values())
                return "" if None in given else "button"
            case "button" | "switch" | "select" | "number" as show:
                return show
        return ""

    @property
    def sets(self) -> bool:
        """Whether it sets what can be read back."""
        return self.shown in {"switch", "select", "number"}


def make_command(values: dict[str, Any]) -> OwnCommand:
    """Make a command of its keys' values.

    Raises:
        vol.Invalid: They do not go together.
    """
    if values.get("show") == "switch":
        options = ArgumentConfig("choice", options=(ON, OFF))
        values = {**values, "arguments": {VALUE: options, **values.get("arguments", {})}}
    config: OwnCommand = construct(OwnCommand, values)
    if errors := [*_mistakes_in_argv(config), *_mistakes_in_show(config)]:
        raise all_invalid(errors)
    return config


def placeholder(word: str) -> str:
    """Return which argument an element stands for; empty when for none."""
    found = _PLACEHOLDER.fullmatch(word)
    return found[1] if found else ""


def _mistakes_in_argv(config: OwnCommand) -> Iterator[Invalid]:
    argv, used = config.command, set()
    for number, word in enumerate(argv):
        inside = {name for name in _PLACEHOLDER.findall(word) if name in config.arguments}
        name = placeholder(word)
        used |= inside
        if name and name not in config.arguments:
            known = ", ".join(config.arguments) or "none"
            yield invalid(f"{word} is no argument; there are {known}", ["command", number])
        elif inside and not name:
            yield invalid(
                "an argument is an element of its own, and is never put into a text",
                ["command", number],
            )
        elif name and not number:
            yield invalid("no argument may say which program is started", ["command", number])
        elif name and argv[number - 1].startswith("-") and _is_program_text(argv, number):
            yield invalid(
                "a shell would run the argument as a program; put it behind, and call it $1",
                ["command", number],
            )
    for name in config.arguments:
        if name not in used:
            yield invalid(f"is not in the command; add {{{name}}}", ["arguments", name])


def _is_program_text(argv: tuple[str, ...], number: int) -> bool:
    """Tell whether an element is what a shell runs: it follows an option with a c, `-c`, `-lc`."""
    shell = any(PurePath(word).name in _SHELLS for word in argv[:number])
    return shell and re.fullmatch(r"-[a-z]*c[a-z]*", argv[number - 1]) is not None


def _mistakes_in_show(config: OwnCommand) -> Iterator[Invalid]:
    show = config.shown
    required = [name for name, one in config.arguments.items() if one.argument.default is None]
    if show == "button" and required:
        yield invalid(f"a button gives no argument, and {required[0]} has no default", ["show"])
    if not config.sets:
        if config.state:
            yield invalid("is known only of a switch, a select and a number", ["state"])
        return
    if not config.state:
        yield invalid(f"is missing: a {show} shows what it prints", ["state"])
    if list(config.arguments) != [VALUE]:
        yield invalid(f"a {show} has one argument, {VALUE}", ["arguments"])
        return
    wanted = "number" if show == "number" else "choice"
    value = config.arguments[VALUE]
    if value.type != wanted or (show == "switch" and value.options != (ON, OFF)):
        meant = f"{ON} or {OFF}, and is not declared" if show == "switch" else f"a {wanted}"
        yield invalid(f"the {VALUE} of a {show} is {meant}", ["arguments", VALUE, "type"])


class OwnCommands(NamedTuple):
    """All commands of the owner, by name."""

    commands: Mapping[str, OwnCommand]
