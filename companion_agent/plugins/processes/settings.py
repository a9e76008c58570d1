"""Which programs the local file watches."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.fields import setting
from companion_agent.platforms.base import LONGEST_COMMAND_LINE
from companion_agent.plugins.own.settings import Regex
from companion_agent.values import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.matching import Matcher


@dataclass(frozen=True, slots=True)
class WatchedProcess:
    """A program that is watched.

    Attributes:
        program: A pattern of its name; its key's where neither this nor a command line is given.
        command_line: What is found in its command line, arguments with blanks between.
        name: What it is called in Home Assistant.
    """

    program: str = setting(
        Text(128),
        "The name of its program; * and ? stand for others. Any program with only `command_line`.",
        "",
        shown="its name here",
    )
    command_line: str = setting(
        Regex(), "What has to be found in its command line.", "", shown="anything"
    )
    name: str = setting(Text(64), "What it is called in Home Assistant.", "", shown="its name here")

    def matches(self, key: str, name: str, arguments: Sequence[str], matcher: Matcher) -> bool:
        """Tell whether a process is of this program.

        Args:
            key: What the local file calls it.
            name: The name that the system keeps of the process.
            arguments: Its command line.
            matcher: Looks for expressions.

        Raises:
            SlowPatternError: That cannot be found out in time.
        """
        wanted = self.program or ("" if self.command_line else key)
        # The kernel of Linux keeps 15 letters of a name; the whole of it begins the command line.
        names = {name, PureWindowsPath(arguments[0]).name if arguments else name}
        if wanted and not any(fnmatchcase(_plain(one), _plain(wanted)) for one in names):
            return False
        line = " ".join(arguments)[:LONGEST_COMMAND_LINE]
        return not self.command_line or matcher.search(self.command_line, line) is not None


def _plain(name: str) -> str:
    return name.lower().removesuffix(".exe")


class WatchedProcesses(NamedTuple):
    """All programs that are watched, by the names that the local file gives them."""

    processes: Mapping[str, WatchedProcess]
