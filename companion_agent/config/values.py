"""What the values of a configuration are: each made from the text that the user typed."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import voluptuous as vol

from companion_agent.protocol.signing import fleet_secret
from companion_agent.storage.plain import open_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from companion_agent.config.source import Raw

T = TypeVar("T")

_YES = frozenset({"true", "yes", "on"})
_NO = frozenset({"false", "no", "off"})
_SECRET_BYTES = 64 * 1024
_LONGEST_TOPIC = 200


class Leaf(Generic[T]):
    """A value without keys below it.

    Attributes:
        expected: What is expected, as it follows "expected".
    """

    expected = ""

    def __call__(self, raw: Raw) -> T:
        """Return the value.

        Raises:
            vol.Invalid: It is not what is expected.
        """
        if not isinstance(raw, str):
            what = "a list" if isinstance(raw, list) else "keys"
            raise vol.Invalid(f"expected {self.expected}, not {what}")
        try:
            return self._read(raw)
        except ValueError as error:
            why = f" ({error})" if str(error) else ""
            raise vol.Invalid(f"expected {self.expected}, not {shown(raw)}{why}") from None

    def _read(self, text: str) -> T:
        """Return the value, or raise `ValueError` with the reason if there is more to say."""
        raise NotImplementedError


class Text(Leaf[str]):
    """A text of one line."""

    def __init__(self, longest: int = 255, *, shortest: int = 1) -> None:
        self.longest = longest
        self.shortest = shortest
        self.expected = f"a text of {shortest} to {longest} characters"

    def _read(self, text: str) -> str:
        if not self.shortest <= len(text) <= self.longest or not text.isprintable():
            raise ValueError
        return text


class Secret(Leaf[str]):
    """A password: any text, never shown."""

    expected = "a text"

    def _read(self, text: str) -> str:
        return text


class Integer(Leaf[int]):
    """A whole number within bounds."""

    def __init__(self, least: int, most: int, unit: str = "") -> None:
        self.least, self.most = least, most
        self.expected = f"a whole number from {least} to {most}{f' ({unit})' if unit else ''}"

    def _read(self, text: str) -> int:
        # int() takes what nobody means: "1_000", " 7 ", Arabic digits.
        if not text.isascii() or not text.isdigit() or len(text) > 20:
            raise ValueError
        if not self.least <= int(text) <= self.most:
            raise ValueError
        return int(text)


class Seconds(Leaf[float]):
    """A time span in seconds."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most
        self.expected = f"seconds, a number from {least:g} to {most:g}"

    def _read(self, text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            # Python's words would follow ours.
            raise ValueError from None
        if not self.least <= seconds <= self.most:
            raise ValueError
        return seconds


class Number(Leaf[float]):
    """A number within bounds."""

    def __init__(self, least: float, most: float, unit: str = "") -> None:
        self.least, self.most = least, most
        self.expected = f"a number from {least:g} to {most:g}{f' ({unit})' if unit else ''}"

    def _read(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ValueError from None
        if not self.least <= number <= self.most:
            raise ValueError
        return number


class ListOf(Leaf[tuple[T, ...]]):
    """Several of a thing: a list, or one text with commas."""

    def __init__(self, item: Leaf[T], things: str) -> None:
        self.item = item
        self.expected = f"a list of {things}"

    def __call__(self, raw: Raw) -> tuple[T, ...]:
        """Return the things.

        Raises:
            vol.Invalid: One of them is none.
        """
        if isinstance(raw, str):
            raw = [item.strip() for item in raw.split(",")]
        if not isinstance(raw, list):
            raise vol.Invalid(f"expected {self.expected}, not keys")
        errors: list[vol.Invalid] = []
        found = []
        for number, item in enumerate(raw):
            try:
                found.append(self.item(item))
            except vol.Invalid as error:
                error.prepend([number])
                errors.append(error)
        if errors:
            raise vol.MultipleInvalid(errors)
        return tuple(dict.fromkeys(found))


class Switch(Leaf[bool]):
    """Yes or no."""

    expected = "true or false"

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

    def _read(self, text: str) -> str:
        word = text.lower()
        if word in self.words:
            return word
        raise ValueError(did_you_mean(word, self.words, cutoff=0.5))


class MqttVersion(Choice):
    """A version of MQTT."""

    def __init__(self) -> None:
        super().__init__("5", "3.1.1")

    def _read(self, text: str) -> str:
        return {"5.0": "5", "3.11": "3.1.1", "311": "3.1.1"}.get(text) or str(super()._read(text))


class HostName(Leaf[str]):
    """A host's name or address."""

    expected = "a host name or an address"

    def _read(self, text: str) -> str:
        if not 0 < len(text) <= 255 or not text.isprintable() or any(c in " /@?#[]" for c in text):
            raise ValueError
        return text


class Topic(Leaf[str]):
    """A topic without wildcards."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional
        self.expected = "an MQTT topic without + and #" + (', or ""' if optional else "")

    def _read(self, text: str) -> str:
        if not text and self.optional:
            return text
        if not 0 < len(text) <= _LONGEST_TOPIC or not text.isprintable():
            raise ValueError
        if any(c in "+# " for c in text) or "" in text.split("/"):
            raise ValueError
        return text


class FilePath(Leaf[Path]):
    """A file that is there. A relative path starts at the configuration's folder."""

    expected = "the path of a file that can be read"

    def __init__(self, base: Path) -> None:
        self.base = base

    def _read(self, text: str) -> Path:
        path = self.base / Path(text).expanduser()
        try:
            with open_plain(path):
                return path
        except OSError as error:
            raise ValueError(error.strerror) from None


class SecretFile(Leaf[str]):
    """A file that holds a password and nothing else."""

    expected = "the path of a file that holds the password"

    def __init__(self, base: Path) -> None:
        self.base = base

    def _read(self, text: str) -> str:
        return read_secret(self.base / Path(text).expanduser())


class FleetKey(Leaf[bytes]):
    """A fleet key; what is wrong is said without showing it."""

    expected = "base64 of 32 random bytes"

    def __call__(self, raw: Raw) -> bytes:
        """Return the secret.

        Raises:
            vol.Invalid: It is not a fleet key.
        """
        if not isinstance(raw, str):
            return super().__call__(raw)
        try:
            return fleet_secret(raw)
        except ValueError as error:
            raise vol.Invalid(str(error)) from None


class FleetKeyFile(Leaf[bytes]):
    """A file that holds a fleet key and nothing else."""

    expected = "the path of a file that holds a fleet key"

    def __init__(self, base: Path) -> None:
        self.base = base

    def _read(self, text: str) -> bytes:
        return fleet_secret(read_secret(self.base / Path(text).expanduser()))


class _Place(Leaf[Path]):
    """A path where something is or will be. A relative one starts at the configuration's folder."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def _read(self, text: str) -> Path:
        if not text or "\0" in text:
            raise ValueError
        return self.base / Path(text).expanduser()


class Folder(_Place):
    """A folder; it need not be there yet."""

    expected = "the path of a folder"

    def _read(self, text: str) -> Path:
        path = super()._read(text)
        if path.exists() and not path.is_dir():
            raise ValueError("it is a file")
        return path


class NewFile(_Place):
    """A file that is written; it need not be there yet."""

    expected = "the path of a file"

    def _read(self, text: str) -> Path:
        path = super()._read(text)
        if path.is_dir():
            raise ValueError("it is a folder")
        return path


class Patterns(Leaf[tuple[str, ...]]):
    """Names with `*` and `?` in them: a list, or one text with commas."""

    expected = "a list of names, in which * and ? stand for others"

    def __call__(self, raw: Raw) -> tuple[str, ...]:
        """Return the patterns.

        Raises:
            vol.Invalid: Something in the list is not a text.
        """
        if isinstance(raw, str):
            raw = [item.strip() for item in raw.split(",")]
        if not isinstance(raw, list):
            raise vol.Invalid(f"expected {self.expected}, not keys")
        wrong = [
            vol.Invalid("expected a name, not keys or a list", [number])
            for number, item in enumerate(raw)
            if not isinstance(item, str)
        ]
        if wrong:
            raise vol.MultipleInvalid(wrong)
        return tuple(str(item) for item in raw if item)


class Cooldowns(Leaf[dict[str, float]]):
    """Seconds by pattern of commands: keys, or one text with commas (`power.*=5, screen.*=1`)."""

    expected = "seconds by command, as in `power.*: 5`"
    _seconds = Seconds(0, 86_400)

    def __call__(self, raw: Raw) -> dict[str, float]:
        """Return the seconds by pattern, in the order of the file.

        Raises:
            vol.Invalid: Something in it is no time.
        """
        if not isinstance(raw, dict):
            return super().__call__(raw)
        errors: list[vol.Invalid] = []
        found = {}
        for pattern, seconds in raw.items():
            try:
                found[pattern] = self._seconds(seconds)
            except vol.Invalid as error:
                error.prepend([pattern])
                errors.append(error)
        if errors:
            raise vol.MultipleInvalid(errors)
        return found

    def _read(self, text: str) -> dict[str, float]:
        pairs = (item.partition("=") for item in text.split(",") if item.strip())
        try:
            return {pattern.strip(): self._seconds(seconds) for pattern, _, seconds in pairs}
        except vol.Invalid as error:
            raise ValueError(error.error_message) from None


class NothingToChoose(Leaf[None]):
    """What `include` and `exclude` are where there is only one of a thing."""

    def __call__(self, raw: Raw) -> None:
        """Refuse.

        Raises:
            vol.Invalid: Always.
        """
        raise vol.Invalid("this collector reads one thing; there is nothing to choose from")


def read_secret(path: Path, *, pipe: bool = False) -> str:
    """Read a password from a file; the line's end does not belong to it.

    Args:
        path: The file.
        pipe: Whether it may be a pipe, as a shell makes it of `<(command)`.

    Raises:
        ValueError: There is none in it.
    """
    try:
        with path.open("rb") if pipe else open_plain(path) as file:
            secret = file.read(_SECRET_BYTES).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(error.strerror) from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not secret:
        raise ValueError("it is empty")
    return secret


def shown(text: str) -> str:
    """Quote what the user typed, on one line."""
    return f'"{text[:60]}{"…" if len(text) > 60 else ""}"'.replace("\n", "⏎")


def did_you_mean(word: str, words: Sequence[str], cutoff: float = 0.6) -> str:
    """Ask for the word that was probably meant; empty when none is close."""
    close = difflib.get_close_matches(word.lower(), words, 1, cutoff)
    return f"did you mean {close[0]}?" if close else ""


def hint(word: str, words: Sequence[str]) -> str:
    """Say which word was probably meant, else which there are."""
    meant = did_you_mean(word.replace("-", "_"), words)
    return f"; {meant}" if meant else f"; known are {', '.join(words)}"
