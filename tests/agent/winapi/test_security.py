"""Who may do what with a file."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from companion_agent.winapi import security
from support.windows_api import FakeWindows

RULES = "D:P(A;OICI;FA;;;SY)"
OWNED = f"O:BA{RULES}"
# A descriptor is opaque: where it lies is all that is passed on.
DESCRIPTOR = 0x5150
NO_SUCH_FILE = 2
INSUFFICIENT_BUFFER = 122


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    text = ctypes.create_unicode_buffer(OWNED)

    def parse(sddl: str, revision: int, made: ctypes.c_void_p, _: None) -> int:
        assert (sddl, revision) == (RULES, 1)
        made.value = DESCRIPTOR
        return 1

    def read(path: str, _: int, found: Any, size: int, needed: ctypes.c_uint32) -> int:
        if size < 20:
            needed.value = 20
            return fake.fail(INSUFFICIENT_BUFFER)
        return 1

    def write(_: Any, revision: int, wanted: int, made: ctypes.c_void_p, __: None) -> int:
        made.value = ctypes.addressof(text)
        return 1

    fake = FakeWindows(
        {
            "advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW": parse,
            "advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW": write,
            "advapi32.SetFileSecurityW": lambda *_: 1,
            "advapi32.GetFileSecurityW": read,
            "kernel32.LocalFree": lambda _: None,
        }
    )
    return fake.install(monkeypatch)


def freed(windows: FakeWindows) -> list[int]:
    return [call[1].value for call in windows.calls if call[0] == "LocalFree"]


def test_the_rules_of_a_file_are_replaced_and_nothing_comes_from_above(
    windows: FakeWindows,
) -> None:
    security.set_file_rules("C:\\state", RULES)

    (call,) = (call for call in windows.calls if call[0] == "SetFileSecurityW")
    assert call[1:3] == ("C:\\state", security.DACL | security.PROTECTED_DACL)
    assert call[3].value == DESCRIPTOR
    assert freed(windows) == [DESCRIPTOR]


def test_rules_that_cannot_be_set_are_freed_and_say_why(windows: FakeWindows) -> None:
    windows.functions["advapi32.SetFileSecurityW"] = lambda *_: windows.fail(5)

    with pytest.raises(OSError, match="SetFileSecurityW") as caught:
        security.set_file_rules("C:\\state", RULES)

    assert caught.value.winerror == 5
    assert freed(windows) == [DESCRIPTOR]


def test_the_rules_of_a_file_are_read_with_its_owner(windows: FakeWindows) -> None:
    assert security.file_rules("C:\\state") == OWNED
    assert len(freed(windows)) == 1


def test_a_file_that_is_not_there_says_so(windows: FakeWindows) -> None:
    windows.functions["advapi32.GetFileSecurityW"] = lambda *_: windows.fail(NO_SUCH_FILE)

    with pytest.raises(FileNotFoundError):
        security.file_rules("C:\\nowhere")
