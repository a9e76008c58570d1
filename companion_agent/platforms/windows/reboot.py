"""Whether Windows waits for a reboot.

The registry's places are those that Microsoft's own DSC resource `PendingReboot` looks at
(ComputerManagementDsc). Pending file renames are none of them here: installers leave them for
weeks, and no update waits for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CURRENT_VERSION = r"SOFTWARE\Microsoft\Windows\CurrentVersion"
_KEYS = (
    rf"{_CURRENT_VERSION}\WindowsUpdate\Auto Update\RebootRequired",
    rf"{_CURRENT_VERSION}\Component Based Servicing\RebootPending",
    rf"{_CURRENT_VERSION}\Component Based Servicing\RebootInProgress",
    rf"{_CURRENT_VERSION}\Component Based Servicing\PackagesPending",
)
_NAMES = r"SYSTEM\CurrentControlSet\Control\ComputerName"
_NETLOGON = r"SYSTEM\CurrentControlSet\Services\Netlogon"


def pending(exists: Callable[[str], bool], text: Callable[[str, str], str]) -> bool:
    """Tell whether an update, another name or another domain waits.

    Args:
        exists: Tells whether a key is in the local machine's part of the registry.
        text: Returns a value of a key; empty where there is none.
    """
    if any(exists(key) for key in _KEYS):
        return True
    name = text(rf"{_NAMES}\ActiveComputerName", "ComputerName")
    if name and name != text(rf"{_NAMES}\ComputerName", "ComputerName"):
        return True
    return any(text(_NETLOGON, value) for value in ("JoinDomain", "AvoidSpnSet"))
