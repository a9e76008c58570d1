"""Regular expressions of the configuration, matched so that none keeps the agent from working.

Python's `re` goes back and tries again. For some expressions and texts that takes longer than any
machine lasts, and no other thread runs meanwhile: neither the event loop nor what would end it.
What may take long is therefore matched in a process of its own, which is ended after its time.
"""

from __future__ import annotations

from contextlib import suppress
import json
import re
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.protocol.errors import PilotError

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType
    from typing import Self

# Steps that are not noticed: some milliseconds.
_FEW_STEPS = 2_000_000
# A group that is repeated, whose ways to match multiply with each time. That a bracket may be
# escaped, or stand in a set, is not looked at: then another process matches what need not.
_REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
# What an earlier group matched, which has as many signs as the text.
_BACK = re.compile(r"\\[1-9]|\(\?P=")
# With this flag there may be a comment between a group and its repetition.
_VERBOSE = re.compile(r"\(\?[a-zA-Z]*x")

# Seconds that the other process may take to start.
_START_LIMIT = 10.0
_PROGRAM = """
import json, re, sys
print(flush=True)
for line in sys.stdin:
    pattern, text, whole = json.loads(line)
    found = (re.fullmatch if whole else re.search)(pattern, text)
    group = found[1] if found and found.re.groups else None
    print(json.dumps(found and [found[0], group]), flush=True)
"""


class SlowPatternError(PilotError):
    """A regular expression could not be matched in its time; the text says so."""


class Found(NamedTuple):
    """What matches.

    Attributes:
        text: All that does.
        group: What the first group is; `None` where there is no group, or it took no part.
    """

    text: str
    group: str | None


def is_quick(pattern: str, length: int) -> bool:
    """Tell whether an expression takes few steps with any text of a length.

    Each repetition ends at one of the text's places, each choice goes one of two ways, and so does
    each of a text's places where the search begins: their product is at least what is tried.
    """
    if _REPEATED_GROUP.search(pattern) or _VERBOSE.search(pattern):
        return False
    repetitions = sum(map(pattern.count, "*+{")) + len(_BACK.findall(pattern))
    choices = sum(map(pattern.count, "?|"))
    steps: int = (length + 2) ** (repetitions + 1) << choices
    return steps <= _FEW_STEPS


class Matcher:
    """Matches regular expressions, in a process of its own where that may take long.

    That process is started when it is first needed, and lasts until the end of the `with`.

    Args:
        limit: Seconds that one match may take.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def search(self, pattern: str, text: str) -> Found | None:
        """Find the first place in a text that matches; `None` where there is none.

        Raises:
            SlowPatternError: It takes too long.
        """
        return self._match(pattern, text, whole=False)

    def fits(self, pattern: str, text: str) -> bool:
        """Tell whether the whole of a text matches.

        Raises:
            SlowPatternError: It takes too long.
        """
        return self._match(pattern, text, whole=True) is not None

    def _match(self, pattern: str, text: str, *, whole: bool) -> Found | None:
        if is_quick(pattern, len(text)):
            found = re.fullmatch(pattern, text) if whole else re.search(pattern, text)
            return found and Found(found[0], found[1] if found.re.groups else None)
        try:
            process = self._process = self._process or _start()
        except OSError as error:
            raise SlowPatternError(f"{pattern} cannot be looked for: {error.strerror}") from error
        assert process.stdin
        with suppress(OSError):
            process.stdin.write(f"{json.dumps([pattern, text, whole])}\n")
            process.stdin.flush()
        answer = _read_line(process, self._limit)
        if not answer:
            self._end()
            raise SlowPatternError(
                f"{pattern} takes longer than {self._limit:g} s with {len(text)} characters; "
                "write one with fewer repetitions, and none within another"
            )
        content = json.loads(answer)
        return content and Found(*content)

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            with suppress(OSError):
                # What was not written any more.
                self._process.communicate()
            self._process = None


def _start() -> subprocess.Popen[str]:
    """Start the process, and wait until it has.

    Raises:
        OSError: It cannot be started.
    """
    import subprocess  # noqa: PLC0415  (few expressions need it)

    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="ascii",
    )
    _read_line(process, _START_LIMIT)
    return process


def _read_line(process: subprocess.Popen[str], limit: float) -> str:
    """Read a line; an empty text where none came in time, and the process was ended."""
    assert process.stdout
    # Not every system can wait for a pipe and for a time at once.
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()
