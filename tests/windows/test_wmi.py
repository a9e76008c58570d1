"""WMI as a PC has it: an object is read, a method called, and a screen not found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stack.wine import WinePc

pytestmark = pytest.mark.native

PROGRAM = r"""
import ctypes
import winreg

from companion_agent.errors import Unavailable
from companion_agent.plugins.screen import built_in_screen
from companion_agent.winapi import wmi

KEY = r"Software\Pilot test of WMI"

allocate = ctypes.WinDLL("oleaut32").SysAllocString
allocate.argtypes, allocate.restype = [ctypes.c_wchar_p], ctypes.c_void_p
name = wmi.Variant(wmi.TEXT)
name.content.address = allocate(KEY)

with wmi.connected(r"root\default") as namespace:
    user = wmi.number(winreg.HKEY_CURRENT_USER - (1 << 32))
    arguments = {"hDefKey": user, "sSubKeyName": name}
    namespace.call("StdRegProv", "StdRegProv", "CreateKey", arguments)
winreg.DeleteKey(winreg.HKEY_CURRENT_USER, KEY)
print("made and removed")

with wmi.connected(r"root\cimv2") as namespace:
    print(*namespace.read("Win32_OperatingSystem", "Caption", "Primary"))
try:
    print(built_in_screen.find())
except Unavailable as error:
    print(error)
"""


def test_wmi_is_asked_and_called(pc: WinePc) -> None:
    made, system, screen = pc.run("python", "-c", PROGRAM).stdout.splitlines()

    assert made == "made and removed"
    assert "Windows" in system
    assert "no screen is dimmed by it" in screen or "this Windows does not have it" in screen
