"""Updates of Windows that wait, by what its update service already knows; no server is asked.

Its interface is COM for scripts, so PowerShell asks it, in a process of its own that ends. Source:
Microsoft's reference of wuapi.h (`IUpdateSearcher`, whose `Online` is switched off,
`IAutomaticUpdatesResults`), and its list of update classifications for the category.
"""

from __future__ import annotations

import base64
from contextlib import suppress
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from companion_agent.errors import Unavailable
from companion_agent.platforms.packages import (
    PackageManager,
    PackageManagerError,
    Programs,
    Waiting,
)
from companion_agent.winapi import folders

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.platforms.packages import Signature

LIMIT = 300.0
"""Seconds that it may take: the service loads its database, from a slow disk for minutes."""
_LONGEST_TITLE = 128

_WINDOWS = UUID("f38bf404-1d43-42f2-9305-67de0b28fc23")
_POWERSHELL = "System32/WindowsPowerShell/v1.0/powershell.exe"
_DATABASE = "SoftwareDistribution/DataStore/DataStore.edb"
# The category of security updates, in every language.
_SCRIPT = """
$ErrorActionPreference = 'Stop'
[Console]::OutputEncoding = [Text.UTF8Encoding]::new($false)
$searcher = (New-Object -ComObject Microsoft.Update.Session).CreateUpdateSearcher()
$searcher.Online = $false
$updates = @($searcher.Search('IsInstalled=0 and IsHidden=0').Updates | ForEach-Object { @{
  title = [string]$_.Title
  security = @($_.Categories | Where-Object {
    $_.CategoryID -eq '0fa1201d-4330-4fa8-8ae9-b877473b6441' }).Count -gt 0
} })
$when = (New-Object -ComObject Microsoft.Update.AutoUpdate).Results.LastSearchSuccessDate
$searched = if ($when) {
  [DateTimeOffset]::new([DateTime]::SpecifyKind($when, 'Utc')).ToUnixTimeSeconds() }
ConvertTo-Json -Compress -Depth 3 @{ updates = $updates; searched = $searched }
"""


class WindowsUpdate(PackageManager):
    """Asks the update service of Windows.

    Args:
        folder: The folder of Windows.

    Raises:
        Unavailable: This Windows has nothing to ask it with.
    """

    name: ClassVar[str] = "windows"
    tells_security: ClassVar[bool] = True

    def __init__(self, folder: Path | None = None) -> None:
        try:
            self._folder = folder or folders.known(_WINDOWS)
        except OSError as error:
            raise Unavailable(f"the folder of Windows is not told: {error}") from error
        self._program = self._folder / _POWERSHELL
        if not self._program.is_file():
            raise Unavailable("this Windows has no PowerShell, which asks its update service")
        self._programs = Programs()
        self._searched: float | None = None

    def signature(self) -> Signature:
        """Return the time of the service's database."""
        with suppress(OSError):
            return ((self._folder / _DATABASE).stat().st_mtime,)
        return (None,)

    def refreshed(self) -> float | None:
        """Return when Windows last looked for updates, as it said when it was asked last."""
        return self._searched

    def look(self) -> Waiting:
        """Ask for what waits."""
        waiting, self._searched = parse(self._run())
        return waiting

    def close(self) -> None:
        """End what runs for it: it only looks."""
        self._programs.close()

    def _run(self) -> str:
        encoded = base64.b64encode(_SCRIPT.encode("utf-16-le")).decode("ascii")
        command = (
            str(self._program), "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded,
        )  # fmt: skip
        code, printed, complaint = self._programs.run(
            "Windows Update", command, LIMIT, flags=_FLAGS
        )
        if code:
            said = next(iter(complaint.strip().splitlines()), f"exit code {code}")
            raise PackageManagerError(f"Windows Update cannot be asked: {said}")
        return printed


def parse(printed: str) -> tuple[Waiting, float | None]:
    """Return what waits, and when Windows last looked, in seconds since 1970.

    Raises:
        OSError: It is no answer.
    """
    try:
        answer: dict[str, Any] = json.loads(printed)
        updates, searched = answer["updates"], answer["searched"]
        titles = tuple(sorted(str(one["title"])[:_LONGEST_TITLE] for one in updates))
        security = sum(one["security"] is True for one in updates)
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"Windows Update answered what is no answer: {printed[:80]!r}") from error
    # A Windows that has never looked says 1601, or nothing.
    looked = isinstance(searched, int) and searched > 0
    return Waiting(titles, security), float(searched) if looked else None


if sys.platform == "win32":
    _FLAGS = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
else:
    _FLAGS = 0
