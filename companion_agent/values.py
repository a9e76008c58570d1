"""The types of settings: each makes its value of the text that the user typed.

A type knows how its value is written (`dump`), what is expected (`expected`, for messages and
documents), and its JSON Schema (`schema`).
"""

from __future__ import annotations

import codecs
import ipaddress
from pathlib import Path
import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from companion_agent.secret import HIDDEN, Secret, without_login, without_port, without_query
from companion_agent.storage.plain import is_there, open_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from voluptuous import Invalid, MultipleInvalid

Raw = str | dict[str, "Raw"] | list["Raw"]
"""What a file or a variable says: plain values are the texts that the user typed."""

T = TypeVar("T")

DAY = 86_400.0
MIB = 1024 * 1024

_YES = frozenset({"true", "yes", "on"})
_NO = frozenset({"false", "no", "off"})
_SECRET_BYTES = 64 * 1024
_LONGEST_TOPIC = 200
# RFC 1035 section 2.3.4. Underscores are not allowed in host names, but containers have them.
_LONGEST_NAME = 253
_EVERYONE = ipaddress.ip_address("255.255.255.255")
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)", re.ASCII)
# A number is what `yes` and `0123` mean to YAML, and the text that was typed to the agent.
_TEXT_TYPES = ["string", "number", "boolean"]
_TEXT: Mapping[str, object] = {"type": _TEXT_TYPES}
_PATH = {"type": "string", "minLength": 1}
_HOST = {"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME}
# YAML 1.2 reads yes, no, on and off as texts.
_SWITCH = {"enum": [True, False, *sorted(_YES | _NO)]}
_NOTHING: dict[str, object] = {"not": {}}
# Visible ASCII without what would begin a query or a fragment.
_WEBSOCKET_PATH = r"^/[!-\"$->@-~]*$"


class Leaf(Generic[T]):
    """A value without keys below it.

    Attributes:
        expected: What is expected, as it follows "expected".
        unit: The unit of what is written; empty without one.
        secret: Whether what is written must not be shown.
        schema: What a JSON Schema says of what is written.
    """

    expected = ""
    unit = ""
    secret = False
    schema = _TEXT

    def __call__(self, raw: Raw) -> T:
        """Return the value.

        Raises:
            vol.Invalid: It is not what is expected.
        """
        if not isinstance(raw, str):
            what = "a list" if isinstance(raw, list) else "keys"
            raise invalid(f"expected {self.expected}, not {what}")
        try:
            return self._read(raw)
        except ValueError as error:
            found = "" if self.secret else f", not {self._quote(raw)}"
            why = f" ({error})" if str(error) else ""
            raise invalid(f"expected {self.expected}{found}{why}") from None

    def dump(self, value: T) -> object:
        """Return the value as a file holds it: what YAML and JSON can write."""
        return self._dump(value)

    def at(self, base: Path) -> Leaf[T]:
        """Return this type with relative paths that start at a folder."""
        return self

    def _read(self, text: str) -> T:
        """Return the value, or raise `ValueError` with the reason if there is more to say."""
        raise NotImplementedError

    def _dump(self, value: T) -> object:
        return value

    def _quote(self, text: str) -> str:
        return shown(text)


class Text(Leaf[str]):
    """A text of one line."""

    def __init__(self, longest: int = 255, *, shortest: int = 1) -> None:
        self.longest = longest
        self.shortest = shortest
        self.expected = f"a text of {shortest} to {longest} characters"
        self.schema = {"type": _TEXT_TYPES, "minLength": shortest, "maxLength": longest}

    def _read(self, text: str) -> str:
        if not self.shortest <= len(text) <= self.longest or not text.isprintable():
            raise ValueError
        return text


class Password(Leaf[Secret[str]]):
    """A password: any text, never shown."""

    expected = "a text"
    secret = True

    def _read(self, text: str) -> Secret[str]:
        # A YAML block (`password: |`) ends with a line feed, as a secret's file does.
        return Secret(text.removesuffix("\n").removesuffix("\r"))

    def _dump(self, value: Secret[str]) -> object:
        return HIDDEN if value else ""


class Integer(Leaf[int]):
    """A whole number within bounds.

    Args:
        least: The smallest that may be written.
        most: The largest.
        unit: What it is written in.
        scale: How many of the value's own unit are one of that.
    """

    def __init__(self, least: int, most: int, unit: str = "", scale: int = 1) -> None:
        self.least, self.most, self.unit, self.scale = least, most, unit, scale
        self.expected = f"a whole number from {least} to {most}{f' ({unit})' if unit else ''}"
        self.schema = {"type": "integer", "minimum": least, "maximum": most}

    def _read(self, text: str) -> int:
        # int() also accepts "1_000", " 7 " and Arabic digits.
        if not text.isascii() or not text.isdigit() or len(text) > 20:
            raise ValueError
        if not self.least <= int(text) <= self.most:
            raise ValueError
        return int(text) * self.scale

    def _dump(self, value: int) -> object:
        return value // self.scale


class Number(Leaf[float]):
    """A number within bounds.

    Args:
        least: The smallest that may be written.
        most: The largest.
        unit: What it is written in.
        scale: How many of the value's own unit are one of that.
    """

    def __init__(self, least: float, most: float, unit: str = "", scale: float = 1) -> None:
        self.least, self.most, self.unit, self.scale = least, most, unit, scale
        self.expected = f"a number from {least:g} to {most:g}{f' ({unit})' if unit else ''}"
        self.schema = {"type": "number", "minimum": least, "maximum": most}

    def _read(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            # Python's words would follow ours.
            raise ValueError from None
        if not self.least <= number <= self.most:
            raise ValueError
        return number * self.scale

    def _dump(self, value: float) -> object:
        number = value / self.scale
        return int(number) if number == int(number) else number


class Seconds(Number):
    """A time span in seconds."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__(least, most, "seconds")
        self.expected = f"seconds, a number from {least:g} to {most:g}"


class ListOf(Leaf[tuple[T, ...]]):
    """Several of a thing: a list, or one text with commas."""

    def __init__(self, item: Leaf[T], things: str) -> None:
        self.item = item
        self.expected = f"a list of {things}"
        # One text with commas between several is taken too.
        items = {"type": "array", "items": item.schema}
        self.schema = {"anyOf": [items, {"type": _TEXT_TYPES}]}

    def __call__(self, raw: Raw) -> tuple[T, ...]:
        """Return the things.

        Raises:
            vol.Invalid: One of them is none.
        """
        if isinstance(raw, str):
            raw = [item.strip() for item in raw.split(",")]
        if not isinstance(raw, list):
            raise invalid(f"expected {self.expected}, not keys")
        found = collect((number, item, self.item) for number, item in enumerate(raw))
        return tuple(dict.fromkeys(found.values()))

    def _dump(self, value: tuple[T, ...]) -> object:
        return [self.item.dump(one) for one in value]


class Patterns(ListOf[str]):
    """Names with `*` and `?` in them: a list, or one text with commas."""

    def __init__(self) -> None:
        super().__init__(_Name(), "names, in which * and ? stand for others")

    def __call__(self, raw: Raw) -> tuple[str, ...]:
        """Return the patterns.

        Raises:
            vol.Invalid: Something in the list is not a text.
        """
        return tuple(name for name in super().__call__(raw) if name)


class _Name(Leaf[str]):
    expected = "a name"

    def __call__(self, raw: Raw) -> str:
        if not isinstance(raw, str):
            raise invalid("expected a name, not keys or a list")
        return raw


class Switch(Leaf[bool]):
    """Yes or no."""

    expected = "true or false"
    schema = _SWITCH

    def _read(self, text: str) -> bool:
        word = text.lower()
        if word not in _YES | _NO:
            raise ValueError
        return word in _YES


class Choice(Leaf[str]):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expected = f"{', '.join(words[:-1])} or {words[-1]}"
        self.schema = {"enum": list(words)}

    def _read(self, text: str) -> str:
        word = text.lower()
        if word in self.words:
            return word
        raise ValueError(did_you_mean(word, self.words, cutoff=0.5))


class MqttVersion(Choice):
    """A version of MQTT."""

    def __init__(self) -> None:
        super().__init__("5", "3.1.1")
        self.schema = {"enum": ["5", "3.1.1", 5]}

    def _read(self, text: str) -> str:
        return {"5.0": "5", "3.11": "3.1.1", "311": "3.1.1"}.get(text) or str(super()._read(text))


class HostName(Leaf[str]):
    """A host's name or address."""

    expected = "a host name or an address"
    schema = _HOST

    def _read(self, text: str) -> str:
        check_host(text)
        return text

    def _quote(self, text: str) -> str:
        return shown(without_port(without_login(text)))


class WebSocketPath(Leaf[str]):
    """The path of a WebSocket on its server."""

    expected = "a path that begins with /"
    schema = {"type": "string", "pattern": _WEBSOCKET_PATH}  # noqa: RUF012

    def _read(self, text: str) -> str:
        if not re.fullmatch(_WEBSOCKET_PATH, text):
            raise ValueError(
                "what is no ASCII, and spaces, ? and #, are written in percent-encoding"
                if text.startswith("/")
                else ""
            )
        return text


class Topic(Leaf[str]):
    """A topic without wildcards."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional
        self.expected = "an MQTT topic without + and #" + (', or ""' if optional else "")
        shortest = 0 if optional else 1
        self.schema = {"type": _TEXT_TYPES, "minLength": shortest, "maxLength": _LONGEST_TOPIC}

    def _read(self, text: str) -> str:
        if not text and self.optional:
            return text
        if not 0 < len(text) <= _LONGEST_TOPIC or not text.isprintable():
            raise ValueError
        if any(c in "+# " for c in text) or "" in text.split("/"):
            raise ValueError
        return text


class AnyPath(Leaf[T]):
    """Something at a path; a relative one starts at the configuration's folder."""

    schema = _PATH

    def __init__(self, base: Path = Path()) -> None:
        self.base = base

    def at(self, base: Path) -> Leaf[T]:
        """Return this type with relative paths that start at a folder."""
        return type(self)(base)

    def _dump(self, value: T) -> object:
        return str(value)

    def _place(self, text: str) -> Path:
        if not text or "\0" in text:
            raise ValueError
        return self.base / expand_home(text)


class FilePath(AnyPath[Path]):
    """A file that is there."""

    expected = "the path of a file that can be read"

    def _read(self, text: str) -> Path:
        path = self._place(text)
        try:
            with open_plain(path):
                return path
        except OSError as error:
            raise ValueError(error.strerror) from None


class SecretFile(AnyPath[Secret[str]]):
    """A file that holds a password and nothing else."""

    expected = "the path of a file that holds the password"

    def _read(self, text: str) -> Secret[str]:
        return Secret(read_secret(self._place(text)))


class Folder(AnyPath[Path]):
    """A folder; it need not be there yet."""

    expected = "the path of a folder"

    def _read(self, text: str) -> Path:
        path = self._place(text)
        if is_there(path) and not path.is_dir():
            raise ValueError("it is a file")
        return path


class NewFile(AnyPath[Path]):
    """A file that is written; it need not be there yet."""

    expected = "the path of a file"

    def _read(self, text: str) -> Path:
        path = self._place(text)
        if is_there(path) and path.is_dir():
            raise ValueError("it is a folder")
        return path


class NothingToChoose(Leaf[None]):
    """What `include` and `exclude` are where there is only one of a thing."""

    schema = _NOTHING

    def __call__(self, raw: Raw) -> None:
        """Refuse.

        Raises:
            vol.Invalid: Always.
        """
        raise invalid("this collector reads one thing; there is nothing to choose from")


class Cooldowns(Leaf[dict[str, float]]):
    """Seconds by pattern of commands: keys, or one text with commas (`power.*=5, screen.*=1`)."""

    expected = "seconds by command, as in `power.*: 5`"
    _seconds = Seconds(0, 86_400)

    def __init__(self) -> None:
        seconds = self._seconds.schema
        self.schema = {"type": ["object", "string"], "additionalProperties": seconds}

    def __call__(self, raw: Raw) -> dict[str, float]:
        """Return the seconds by pattern, in the order of the file.

        Raises:
            vol.Invalid: Something in it is no time.
        """
        if not isinstance(raw, dict):
            return super().__call__(raw)
        return collect((pattern, seconds, self._seconds) for pattern, seconds in raw.items())

    def _dump(self, value: dict[str, float]) -> object:
        return {pattern: self._seconds.dump(seconds) for pattern, seconds in value.items()}

    def _read(self, text: str) -> dict[str, float]:
        import voluptuous as vol  # noqa: PLC0415  (see `invalid()`)

        pairs = (item.partition("=") for item in text.split(",") if item.strip())
        try:
            return {pattern.strip(): self._seconds(seconds) for pattern, _, seconds in pairs}
        except vol.Invalid as error:
            raise ValueError(error.error_message) from None


def invalid(problem: str, path: Sequence[str | int] = ()) -> Invalid:
    """Return the error of a value that is not what is expected.

    voluptuous is loaded by what checks, not by what has values: the running agent has a
    configuration that another process has checked (`config/reading.py`).

    Args:
        problem: What is wrong.
        path: The steps that lead to the key, from the value that was checked.
    """
    import voluptuous as vol  # noqa: PLC0415  (said above)

    return vol.Invalid(problem, list(path))


def all_invalid(errors: Sequence[Invalid]) -> MultipleInvalid:
    """Return several errors as one."""
    import voluptuous as vol  # noqa: PLC0415  (see `invalid()`)

    return vol.MultipleInvalid(list(errors))


def collect(items: Iterable[tuple[Any, Raw, Callable[[Raw], T]]]) -> dict[Any, T]:
    """Validate several values.

    Args:
        items: Key or number, what was written, and what validates it.

    Raises:
        vol.Invalid: Some are wrong; all of those, as one `vol.MultipleInvalid`.
    """
    import voluptuous as vol  # noqa: PLC0415  (see `invalid()`)

    errors: list[Invalid] = []
    found = {}
    for step, raw, validate in items:
        try:
            found[step] = validate(raw)
        except vol.Invalid as error:
            error.prepend([step])
            errors.extend(error.errors if isinstance(error, vol.MultipleInvalid) else [error])
    if errors:
        raise all_invalid(errors)
    return found


def check_host(text: str) -> None:
    """Check that a host can have a name, or that an address is one.

    Raises:
        ValueError: None can; the text says what to write instead, where that is known.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        if address.is_multicast or address == _EVERYONE:
            raise ValueError("it is the address of many hosts")
        return
    if why := _not_a_name(text):
        raise ValueError(why)


def _not_a_name(text: str) -> str:
    if "://" in text:
        return "an address with mqtt:// belongs into `broker` itself: `broker: mqtt://…`"
    if "@" in text:
        return "the login belongs into `username` and `password`"
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        return "write an IPv6 address without brackets"
    if colon and port.isdigit() and ":" not in host:
        return f"write `host: {host}` and `port: {port}`"
    if colon:
        return "it is no IPv6 address, and no name has a colon"
    if any(c.isspace() for c in text):
        return "no host name has spaces"
    labels = text.removesuffix(".").split(".")
    if labels[-1].isdigit():
        # What only has numbers is an address to resolvers, and the last part decides.
        return "an IPv4 address has four numbers from 0 to 255, without zeros before them"
    try:
        encoded = [label.encode("idna").decode("ascii") for label in labels]
    except UnicodeError:
        encoded = [""]
    if not all(_LABEL.fullmatch(label) for label in encoded):
        return "a name has letters, digits and hyphens, at most 63 between two dots"
    return "a name has at most 253 characters" if len(".".join(encoded)) > _LONGEST_NAME else ""


def expand_home(text: str) -> Path:
    """Return a path in which a leading `~` is the home folder.

    Raises:
        ValueError: There is no such user, or this one has no home.
    """
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path.parts[0]} is no known home; write the whole path") from None


def read_secret(path: Path, *, pipe: bool = False) -> str:
    """Read a password from a file; the line's end does not belong to it.

    A byte-order mark does not either: editors on Windows put it there, unseen.

    Args:
        path: The file.
        pipe: Whether it may be a pipe, as a shell makes it of `<(command)`.

    Raises:
        ValueError: There is none in it.
    """
    try:
        with path.open("rb") if pipe else open_plain(path) as file:
            data = file.read(_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror) from None
    if len(data) > _SECRET_BYTES:
        raise ValueError(f"it is larger than {_SECRET_BYTES // 1024} KiB")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if "\0" in secret:
        raise ValueError("it is no text: it holds a zero byte")
    if not secret:
        raise ValueError("it is empty")
    return secret


def shown(text: str) -> str:
    """Quote what the user typed, on one line and without a password that is in it."""
    text = without_query(without_login(text))
    return f'"{text[:60]}{"…" if len(text) > 60 else ""}"'.replace("\n", "⏎")


def did_you_mean(word: str, words: Sequence[str], cutoff: float = 0.6) -> str:
    """Ask for the word that was probably meant; empty when none is close."""
    close = closest(word.lower(), words, cutoff)
    return f"did you mean {close}?" if close else ""


def closest(word: str, words: Iterable[str], cutoff: float) -> str:
    """Return the word that resembles another most; empty when none reaches the cutoff."""
    import difflib  # noqa: PLC0415  (0.15 MiB that only mistakes need)

    return next(iter(difflib.get_close_matches(word, list(words), 1, cutoff)), "")


def hint(word: str, words: Sequence[str]) -> str:
    """Say which word was probably meant, else which there are."""
    meant = did_you_mean(word.replace("-", "_"), words)
    return f"; {meant}" if meant else f"; known are {', '.join(words)}"
