"""Where log messages go: text for people, JSON lines for machines, a level for each part."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from companion_agent.config.settings import FORMER_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from companion_agent.config.settings import LogConfig

ROOT = "companion_agent"

# What systemd makes of a line that begins with <N>; it colours and filters by them.
_SYSLOG_LEVELS = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


# What a terminal obeys (ECMA-48's controls, but not the tab and the line feed), and what turns the
# direction of writing.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# What hears besides the file or the stream: Windows' event log.
_others: list[logging.Handler] = []


def also(handler: logging.Handler) -> None:
    """Send messages to a handler too, from now on and whatever is configured."""
    handler.addFilter(_name_part)
    handler.setFormatter(logging.Formatter("%(part)s: %(message)s"))
    _others.append(handler)
    logging.getLogger(ROOT).addHandler(handler)


def tell_others(text: str) -> None:
    """Have what is wrong said where `also()` sends messages; nothing without that."""
    if _others:
        logging.getLogger(f"{ROOT}.cli").error("%s", text)


def printable(text: str) -> str:
    r"""Return a text in which what a terminal would obey is written as its code, `\x1b`.

    Names of disks and devices, and what session helpers say, are other users' or strangers' words.
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def set_up(
    config: LogConfig,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Send the agent's log messages to the file that is configured, else to a stream.

    What was set up before is replaced. A file that cannot be written does not stop the agent.

    Args:
        config: What to log.
        stream: Where to without a file; standard error when `None`.
        environment: Tells whether the journal listens.
    """
    stream = stream or sys.stderr
    if _is_journal(stream, environment) and isinstance(stream, io.TextIOWrapper):
        # The journal takes UTF-8, whatever the locale says.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler: logging.Handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(config, journal=_is_journal(stream, environment)))
    trouble = ""
    if config.file:
        try:
            handler = _file(config, config.file)
        except OSError as error:
            trouble = f"The log cannot be written to {config.file}: {error.strerror}"
    handler.addFilter(_name_part)
    root = logging.getLogger(ROOT)
    root.handlers = [handler, *_others]
    root.propagate = False
    root.setLevel(config.level.upper())
    for part, level in config.parts.items():
        logging.getLogger(f"{ROOT}.{FORMER_PARTS.get(part, part)}").setLevel(level.upper())
    if trouble:
        logging.getLogger(f"{ROOT}.config").error("%s; it is written to standard error", trouble)


def _file(config: LogConfig, path: Path) -> logging.Handler:
    from companion_agent.log_file import LogFile  # noqa: PLC0415  (seldom wanted)

    path.parent.mkdir(parents=True, exist_ok=True)
    handler = LogFile(path, config.max_size, config.keep)
    handler.setFormatter(_formatter(config, journal=False))
    return handler


def _formatter(config: LogConfig, *, journal: bool) -> logging.Formatter:
    if config.format == "json":
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415  (seldom wanted)

        return JsonFormatter(
            ["levelname", "part", "message"],
            rename_fields={"levelname": "level"},
            timestamp="time",
            json_ensure_ascii=False,
        )
    if journal:
        return _JournalFormatter("%(part)s: %(message)s")
    return _TextFormatter("%(asctime)s %(levelname)-7s %(part)s: %(message)s", "%Y-%m-%d %H:%M:%S")


class _TextFormatter(logging.Formatter):
    """Texts that are looked at in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _JournalFormatter(_TextFormatter):
    """The journal knows the time itself, and takes the level from a prefix."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_SYSLOG_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    # JOURNAL_STREAM is inherited by everything in a session: only the stream itself counts.
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _name_part(record: logging.LogRecord) -> bool:
    record.part = record.name.removeprefix(f"{ROOT}.").partition(".")[0]
    return True
