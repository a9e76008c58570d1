"""How functions of DLLs are declared, called and replaced."""

from __future__ import annotations

import ctypes
from pathlib import Path
import re
import sys

import pytest

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function, MissingError
from support.windows_api import FakeWindows

TICKS = Function("kernel32", "GetTickCount64", ctypes.c_uint64)
LOCK = Function("user32", "LockWorkStation", ctypes.c_int)
VERSION = Function("ntdll", "RtlGetVersion", ctypes.c_long, ctypes.c_void_p)


def test_what_a_pointer_points_to_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(version: ctypes.c_uint32) -> int:
        version.value = 10
        return 0

    FakeWindows({"ntdll.RtlGetVersion": answer}).install(monkeypatch)
    version = ctypes.c_uint32()

    VERSION(ctypes.byref(version))

    assert version.value == 10


def test_a_failure_has_the_code_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = FakeWindows().install(monkeypatch)
    windows.functions["user32.LockWorkStation"] = lambda: windows.fail(120)

    with pytest.raises(OSError, match="LockWorkStation") as caught:
        LOCK.check()

    assert caught.value.winerror == 120


def test_a_function_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeWindows().install(monkeypatch)

    with pytest.raises(MissingError, match="GetTickCount64"):
        TICKS()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has it")
def test_other_systems_have_no_function_of_windows() -> None:
    with pytest.raises(MissingError, match="Windows' alone"):
        TICKS()


def test_no_other_module_calls_a_dll() -> None:
    """One seam: whatever calls a DLL elsewhere cannot be replaced in tests."""
    package = Path(dll.__file__).parents[1]
    calls = re.compile(r"\b(?:WinDLL|OleDLL|windll|oledll|WINFUNCTYPE)\b")

    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if calls.search(path.read_text("utf-8"))
    }

    assert found == {"winapi/dll.py"}
