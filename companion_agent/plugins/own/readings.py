"""Readings of the owner: values that a program prints, a file holds, or this machine serves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import json
import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from companion_agent.errors import PilotError, Unavailable
from companion_agent.matching import Matcher, SlowPatternError
from companion_agent.models import Reading
from companion_agent.platforms import limited_socket
from companion_agent.platforms.time_limit import TimeLimitedCalls
from companion_agent.plugins.base import Collector
from companion_agent.plugins.own.program import Program, ProgramError
from companion_agent.plugins.own.reading_settings import OwnReading, OwnReadings, steps_of
from companion_agent.plugins.own.running import make_runner
from companion_agent.storage.plain import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext

MAX_READ = 64 * 1024
"""Bytes that a file or an answer may have."""

_AT_ONCE = 8
_LONGEST_TEXT = 255
# Ticks of the agent's clock come a little early or late; that puts off no turn.
_EARLY = 0.1
_TRUE = frozenset({"1", "active", "on", "true", "yes"})
_FALSE = frozenset({"0", "false", "inactive", "no", "off"})


class ReadingError(PilotError):
    """A value cannot be read; the text says why."""


class OwnReadingsPlugin(Collector):
    """Reads what the configuration names, each at its interval.

    Args:
        platform: The operating system.
        selection: Not used: the configuration names each reading.
        config: The readings.
        clock: Monotonic seconds.
    """

    name: ClassVar[str] = "own_readings"
    interval: ClassVar[float] = 60

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: OwnReadings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(platform, selection)
        self._named = dict(config.readings) if config else {}
        self._clock = clock
        self._programs = make_runner()
        # A file on a share whose server is gone keeps its reader waiting.
        self._contents: Mapping[Path, str | OSError] = {}
        self._files: TimeLimitedCalls[Path, str | OSError] = TimeLimitedCalls(_read_file)
        self._usual: float = self.interval
        self._read_at: dict[str, float] = {}
        self._values: dict[str, Value | ReadingError] = {}
        self.described = tuple(_describe(name, own) for name, own in self._named.items())

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the readings that the configuration names."""
        return cls(context.platform, context.selection, context.get(OwnReadings))

    def pace(self, interval: float) -> float:
        """Return the shortest interval of all."""
        self._usual = interval
        return min((own.interval or interval for own in self._named.values()), default=interval)

    def probe(self) -> None:
        """Tell whether there is anything.

        Raises:
            Unavailable: No reading is named.
        """
        if not self._named:
            raise Unavailable(
                "no reading is named in the configuration",
                "name values of your own under 'own_readings'",
            )

    def collect(self) -> Mapping[str, Value]:
        """Read those whose turn it is, side by side; of the others, what they said last."""
        self.probe()
        now = self._clock()
        due = [name for name in self._named if self._is_due(name, now)]
        if due:
            files = {file for name in due if (file := self._named[name].file)}
            self._contents = self._files.results(files)
            with ThreadPoolExecutor(min(_AT_ONCE, len(due))) as pool:
                self._values.update(zip(due, pool.map(self._read, due), strict=True))
            self._read_at.update(dict.fromkeys(due, now))
        return {
            name: None if isinstance(value, ReadingError) else value
            for name, value in self._values.items()
        }

    def troubles(self) -> Mapping[str, str]:
        """Say which cannot be read, and why."""
        return {
            name: str(value)
            for name, value in self._values.items()
            if isinstance(value, ReadingError)
        }

    def close(self) -> None:
        """End the programs that still run."""
        self._programs.close()

    def _is_due(self, name: str, now: float) -> bool:
        interval = self._named[name].interval or self._usual
        read_at = self._read_at.get(name)
        return read_at is None or now - read_at >= interval * (1 - _EARLY)

    def _read(self, name: str) -> Value | ReadingError:
        own = self._named[name]
        try:
            return _value_of(own, _found_in(own, self._text_of(own)))
        except ReadingError as error:
            return error

    def _text_of(self, own: OwnReading) -> str:
        """Return what the source says.

        Raises:
            ReadingError: It says nothing.
        """
        if own.command:
            around = own.surroundings
            program = Program(own.command, around.user, around.folder, around.environment)
            try:
                outcome = self._programs.run(program, own.time_limit)
            except ProgramError as error:
                raise ReadingError(str(error)) from error
            if outcome.failure:
                raise ReadingError(outcome.failure)
            return outcome.output
        if own.file:
            return self._content_of(own.file)
        try:
            return _fetch(own.url, own.time_limit)
        except OSError as error:
            raise ReadingError(f"{own.url}: {error.strerror or error}") from error

    def _content_of(self, file: Path) -> str:
        """Return what a file holds.

        Raises:
            ReadingError: It cannot be read.
        """
        content = self._contents.get(file)
        if content is None:
            raise ReadingError(f"{file}: it does not answer")
        if isinstance(content, OSError):
            raise ReadingError(f"{file}: {content.strerror or content}") from content
        return content


def _read_file(file: Path) -> str | OSError:
    try:
        return read_plain(file, MAX_READ).decode("utf-8", "replace")
    except OSError as error:
        return error


def _fetch(url: str, limit: float) -> str:
    """Ask this machine for a text; no other, whatever a redirect or a proxy says.

    Raises:
        ReadingError: It answers with an error.
        OSError: It does not answer.
    """
    # Few need it, and it brings much.
    from http.client import HTTP_PORT, OK, HTTPConnection, HTTPException  # noqa: PLC0415

    parts = urlsplit(url)
    assert parts.hostname
    port = parts.port or HTTP_PORT
    connection = HTTPConnection(parts.hostname, port)
    try:
        connection.sock = limited_socket.connect(parts.hostname, port, limit)
        target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request("GET", target, headers={"Connection": "close"})
        answer = connection.getresponse()
        if answer.status != OK:
            raise ReadingError(f"{url} answers {answer.status} {answer.reason}")
        return answer.read(MAX_READ).decode("utf-8", "replace")
    except HTTPException as error:
        raise ReadingError(f"{url} answers what is no HTTP: {error}") from error
    finally:
        connection.close()


def _found_in(own: OwnReading, text: str) -> str:
    """Return the part of a text that is the value.

    Raises:
        ReadingError: It is not in it.
    """
    if own.json_path:
        text = _at_path(own.json_path, text)
    if own.pattern:
        try:
            with Matcher(own.time_limit) as matcher:
                found = matcher.search(own.pattern, text)
        except SlowPatternError as error:
            raise ReadingError(str(error)) from error
        if found is None:
            raise ReadingError(f"{own.pattern} is not found in {_quoted(text)}")
        text = found.text if found.group is None else found.group
    return text.strip()


def _at_path(path: str, text: str) -> str:
    try:
        below: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ReadingError(f"{_quoted(text)} is no JSON") from None
    for step in steps_of(path):
        try:
            below = below[step]
        except (LookupError, TypeError):
            raise ReadingError(f"there is no {path} in it") from None
    if isinstance(below, bool):
        return "true" if below else "false"
    if isinstance(below, str):
        return below
    if isinstance(below, (int, float)):
        return repr(below)
    raise ReadingError(f"{path} is no single value")


def _value_of(own: OwnReading, text: str) -> Value:
    """Return the value that a text stands for.

    Raises:
        ReadingError: It stands for none.
    """
    match own.type:
        case "number":
            try:
                number = float(text)
            except ValueError:
                raise ReadingError(f"{_quoted(text)} is no number") from None
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "boolean":
            word = text.lower()
            if word not in _TRUE | _FALSE:
                raise ReadingError(f"{_quoted(text)} is neither on nor off")
            return word in _TRUE
        case "timestamp":
            return _moment(text)
    if not text:
        raise ReadingError("it is empty")
    return " ".join(text.split())[:_LONGEST_TEXT]


def _moment(text: str) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415  (rarely needed)

    try:
        return datetime.fromtimestamp(float(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        try:
            moment = datetime.fromisoformat(text)
            # The first and the last day of all years have no other time zone.
            return (moment if moment.tzinfo else moment.astimezone()).isoformat()
        except (ValueError, OverflowError):
            wrong = f"{_quoted(text)} is neither ISO 8601 nor seconds since 1970"
            raise ReadingError(wrong) from None


def _quoted(text: str) -> str:
    text = text.strip()
    return repr(text[:60] + ("…" if len(text) > 60 else ""))


def _describe(name: str, own: OwnReading) -> Reading:
    return Reading(
        name,
        name=own.name or name.replace("_", " ").replace("-", " ").capitalize(),
        unit=own.unit,
        type=own.value_type,
        device_class=own.device_class,
        state_class=own.state_class,
        resolution=own.resolution or 0,
        deadband=own.resolution or 0,
    )
