r"""The graphics adapters that Windows knows, as DirectX notes them in the registry.

Each has a key below `HKLM\SOFTWARE\Microsoft\DirectX`, which asks no driver and wakes no card.
Those of earlier starts and of cards that have gone stay there.

Source: DXGI_ADAPTER_DESC1 in Microsoft's reference of dxgi.h, whose fields these values are.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY = r"SOFTWARE\Microsoft\DirectX"
_MICROSOFT = 0x1414


class Adapter(NamedTuple):
    """A graphics adapter.

    Attributes:
        luid: Names it until Windows is started again, as performance counters do.
        name: How it is sold, "NVIDIA GeForce RTX 3080".
        vendor: The number of its maker on the PCI bus.
        device: The number that the maker gave the chip.
        subsystem: The number of the card.
        memory: Its own memory in bytes.
    """

    luid: int
    name: str
    vendor: int
    device: int
    subsystem: int
    memory: int


def adapters() -> list[Adapter]:
    """List the adapters, without those that Microsoft makes of software."""
    found = [
        Adapter(
            _number(entry, "AdapterLuid"),
            str(entry.get("Description", "")).strip(),
            _number(entry, "VendorId"),
            _number(entry, "DeviceId"),
            _number(entry, "SubSysId"),
            _number(entry, "DedicatedVideoMemory"),
        )
        for entry in entries()
    ]
    return [one for one in found if one.luid and one.name and one.vendor != _MICROSOFT]


def _number(entry: Mapping[str, object], name: str) -> int:
    value = entry.get(name, 0)
    return value if isinstance(value, int) else 0


if sys.platform == "win32":
    import winreg

    def entries() -> Iterator[dict[str, object]]:
        """Read the values of each key."""
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        with contextlib.suppress(OSError):
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, KEY, 0, access) as folder:
                names = [winreg.EnumKey(folder, i) for i in range(winreg.QueryInfoKey(folder)[0])]
            for name in names:
                with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{KEY}\{name}", 0, access) as key:
                    values = range(winreg.QueryInfoKey(key)[1])
                    yield {
                        value[0]: value[1] for value in (winreg.EnumValue(key, i) for i in values)
                    }

else:

    def entries() -> Iterator[dict[str, object]]:
        """Read nothing: there is no registry."""
        yield from ()
