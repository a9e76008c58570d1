"""A page of the installer: wait for one that says something, fill it in, press a button.

``SAYS [FIELD=TEXT …] [BUTTON]``: a regular expression that some text of the window has to match,
texts for its fields (numbered from 0), and the label of a button. It prints the texts that the page
showed when it was found, as JSON.
"""

from __future__ import annotations

from ctypes import c_int, c_size_t, c_ssize_t, c_uint32, c_void_p, c_wchar_p, create_unicode_buffer
import json
import re
import sys
import time
from typing import TYPE_CHECKING

from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Pilot Agent Setup"
# Unpacking, and several starts of Python, on a machine that does other things as well.
LIMIT = 600.0

GW_CHILD, GW_HWNDNEXT = 5, 2
WM_SETTEXT, WM_GETTEXT, BM_CLICK = 0xC, 0xD, 0xF5

GetDesktopWindow = Function("user32", "GetDesktopWindow", c_void_p)
GetWindow = Function("user32", "GetWindow", c_void_p, c_void_p, c_uint32)
GetClassName = Function("user32", "GetClassNameW", c_int, c_void_p, c_wchar_p, c_int)
IsWindowVisible = Function("user32", "IsWindowVisible", c_int, c_void_p)
IsWindowEnabled = Function("user32", "IsWindowEnabled", c_int, c_void_p)
SendText = Function("user32", "SendMessageW", c_ssize_t, c_void_p, c_uint32, c_size_t, c_wchar_p)
PostMessage = Function("user32", "PostMessageW", c_int, c_void_p, c_uint32, c_size_t, c_ssize_t)


class Control:
    """A window within the installer's.

    Attributes:
        kind: Its class in lower case.
        text: What it says.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle
        kind, text = create_unicode_buffer(64), create_unicode_buffer(2048)
        GetClassName(handle, kind, len(kind))
        # That of an edit field is told to its message alone.
        SendText(handle, WM_GETTEXT, len(text), text)
        self.kind, self.text = kind.value.lower(), text.value.replace("&", "")


def controls(window: int) -> Iterator[Control]:
    """Return what is visible in a window, from its front to its back."""
    child = GetWindow(window, GW_CHILD)
    while child:
        if IsWindowVisible(child):
            yield Control(child)
            yield from controls(child)
        child = GetWindow(child, GW_HWNDNEXT)


def wizard() -> list[Control]:
    """Return what is visible in the installer's window; nothing while there is none."""
    window = GetWindow(GetDesktopWindow(), GW_CHILD)
    while window:
        # From its second page on there is a space behind it.
        if IsWindowVisible(window) and Control(window).text.strip() == TITLE:
            return list(controls(window))
        window = GetWindow(window, GW_HWNDNEXT)
    return []


def find(says: str, label: str) -> list[Control]:
    """Wait for a page whose button can be pressed."""
    until = time.monotonic() + LIMIT
    seen: list[str] = []
    while time.monotonic() < until:
        found = wizard()
        seen = [one.text for one in found if one.text]
        button = [one for one in found if one.kind == "button" and one.text == label]
        ready = not label or (button and IsWindowEnabled(button[0].handle))
        if ready and any(re.search(says, text) for text in seen):
            return found
        time.sleep(0.3)
    sys.exit(f"no page says {says!r} and has {label!r}: {seen}")


def main() -> None:
    """Run as a program."""
    says, *todo = sys.argv[1:]
    label = "" if not todo or "=" in todo[-1] else todo.pop()
    found = find(says, label)
    print(json.dumps([one.text for one in found if one.text]))
    fields = [one for one in found if one.kind == "edit"]
    for one in todo:
        number, _, text = one.partition("=")
        SendText(fields[int(number)].handle, WM_SETTEXT, 0, text)
    if label:
        # Posted: what follows takes long, and may end the window.
        (button,) = (one for one in found if one.kind == "button" and one.text == label)
        PostMessage(button.handle, BM_CLICK, 0, 0)


main()
