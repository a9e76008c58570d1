"""What Windows notes of graphics cards, and a Windows that does not count what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack.wine import WinePc

PROGRAM = r"""
import winreg

from companion_agent.errors import Unavailable
from companion_agent.platforms.windows import adapters
from companion_agent.platforms.windows.platform import WindowsPlatform

name = adapters.KEY + r"\{e7b2b4a4-0000-4000-8000-0123456789ab}"
with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, name, 0, winreg.KEY_WRITE) as key:
    winreg.SetValueEx(key, "AdapterLuid", 0, winreg.REG_QWORD, 0x95CA)
    winreg.SetValueEx(key, "Description", 0, winreg.REG_SZ, "NVIDIA GeForce RTX 3080")
    winreg.SetValueEx(key, "VendorId", 0, winreg.REG_DWORD, 0x10DE)
    winreg.SetValueEx(key, "DedicatedVideoMemory", 0, winreg.REG_QWORD, 8 << 30)
print(*adapters.adapters())
try:
    WindowsPlatform().graphics()
except Unavailable as error:
    print(error)
"""


def test_the_registry_names_cards_and_missing_counters_are_the_reason(pc: WinePc) -> None:
    card, reason = pc.run("python", "-c", PROGRAM).stdout.splitlines()

    assert card == (
        "Adapter(luid=38346, name='NVIDIA GeForce RTX 3080', vendor=4318, device=0, "
        "subsystem=0, memory=8589934592)"
    )
    # Wine knows none of these counters.
    assert reason == "this Windows does not count what graphics cards do"
