"""Send the agent's window a message, as Windows does: `MESSAGE FIRST [SECOND]`; print its answer.

`exit` has Windows shut down instead.
"""

from __future__ import annotations

from ctypes import c_int, c_size_t, c_ssize_t, c_uint32, c_void_p, c_wchar_p
import sys

from companion_agent.platforms.windows.window_messages import WINDOW
from companion_agent.winapi.dll import Function

FindWindow = Function("user32", "FindWindowW", c_void_p, c_wchar_p, c_wchar_p)
SendMessage = Function("user32", "SendMessageW", c_ssize_t, c_void_p, c_uint32, c_size_t, c_ssize_t)
ExitWindows = Function("user32", "ExitWindowsEx", c_int, c_uint32, c_uint32)
SHUTDOWN = 1


def send(message: int, first: int = 0, second: int = 0) -> int:
    """Send it, and return the answer."""
    answer: int = SendMessage(FindWindow.check(None, WINDOW), message, first, second)
    return answer


if __name__ == "__main__":
    if sys.argv[1] == "exit":
        ExitWindows.check(SHUTDOWN, 0)
    else:
        print(send(*[int(number, 0) for number in sys.argv[1:]]))
