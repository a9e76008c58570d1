"""A session with Windows' desktop that tests play: windows, monitors, input, hotkeys."""

from __future__ import annotations

import ctypes
from itertools import count
import queue
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

from companion_agent.winapi.display import CONSOLE_DISPLAY_STATE, MONITOR_BRIGHTNESS
from companion_agent.winapi.message_window import (
    WM_DESTROY,
    WM_HOTKEY,
    WM_INPUT,
    WM_POWERBROADCAST,
    WM_SYSCOMMAND,
    WM_WTSSESSION_CHANGE,
)

from .event_loop import PATIENCE

if TYPE_CHECKING:
    from .windows_api import FakeWindows

OWN_WINDOW = 0x500
NOT_SUPPORTED = 120
_TAKEN = 1409
_POWER_SETTING_CHANGE = 0x8013
_MONITOR_POWER, _OFF = 0xF170, 2
_REMOTE_SESSION = 0x1000
_LOCKED = 7


class Monitor:
    """A monitor; `level` is what it answers by DDC/CI, `None` where it does not."""

    def __init__(self, level: tuple[int, int, int] | None = None) -> None:
        self.level = list(level) if level else None


class FakeDesktop:
    """What a session's desktop does, and what became of it.

    Attributes:
        display: Whether the screen is on, as CONSOLE_DISPLAY_STATE says it; `None` for a Windows
            that does not say.
        obeys: Whether the screen does what it is told.
        modern_standby: Whether the machine sleeps while its screen is off.
        remote: Whether the session is shown elsewhere.
        monitors: Those that there are.
        panel: The brightness of the built-in screen; `None` where there is none.
        idle: Seconds since the last input; `None` for a Windows that does not tell.
        follows_input: Whether the helper is told of input.
        requests: What power requests ask for; `None` for a Windows that takes none.
        taken: Hotkeys of other programs: modifiers and key.
        hotkeys: Those of the helper.
        windows: Title, program's path and class of windows, and where they are.
        front: The one in front.
        refuses: What Windows answers when a session is to be locked or ended; 0 for well.
        logged_out: Whether it was asked to end the session.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.display: int | None = 1
        self.obeys = True
        self.modern_standby = False
        self.remote = False
        self.monitors: list[Monitor] = [Monitor()]
        self.panel: int | None = None
        self.idle: float | None = 0.0
        self.follows_input = threading.Event()
        self.requests: set[int] | None = set()
        self.taken: set[tuple[int, int]] = set()
        self.hotkeys: dict[int, tuple[int, int]] = {}
        self.windows: dict[int, dict[str, Any]] = {}
        self.front = 0
        self.hooks: dict[int, Any] = {}
        self._numbers = count(1)
        self.refuses = 0
        self.locks = True
        self.logged_out = False
        self._windows = windows
        self._messages: queue.Queue[tuple[int, int, int] | None] = queue.Queue()
        self._procedure: Any = None
        self._ended = threading.Event()
        self._kept: list[object] = []
        windows.functions |= {
            "kernel32.GetModuleHandleW": lambda _: 1,
            "user32.RegisterClassExW": self._register_class,
            "user32.UnregisterClassW": lambda *_: self._ended.set() or 1,
            "user32.CreateWindowExW": lambda *_: OWN_WINDOW,
            "user32.DestroyWindow": lambda window: self._procedure(window, WM_DESTROY, 0, 0) or 1,
            "user32.DefWindowProcW": self._treat_as_usual,
            "user32.GetMessageW": self._get_message,
            "user32.DispatchMessageW": self._dispatch,
            "user32.PostQuitMessage": lambda _: self._messages.put(None),
            "user32.PostMessageW": lambda _, *message: self._messages.put(message) or 1,
            "wtsapi32.WTSRegisterSessionNotification": lambda *_: 1,
            "user32.RegisterPowerSettingNotification": self._follow,
            "user32.UnregisterPowerSettingNotification": lambda _: 1,
            "user32.GetSystemMetrics": lambda what: self.remote and what == _REMOTE_SESSION,
            "kernel32.SetThreadExecutionState": lambda _: 1,
            "powrprof.GetPwrCapabilities": self._capabilities,
            "user32.SendInput": self._nudge,
            "user32.EnumDisplayMonitors": self._list_monitors,
            "user32.GetMonitorInfoW": self._monitor_info,
            "dxva2.GetNumberOfPhysicalMonitorsFromHMONITOR": self._count_physical,
            "dxva2.GetPhysicalMonitorsFromHMONITOR": self._physical,
            "dxva2.DestroyPhysicalMonitors": lambda *_: 1,
            "dxva2.GetMonitorBrightness": self._get_brightness,
            "dxva2.SetMonitorBrightness": self._set_brightness,
            "kernel32.CreateFileW": lambda *_: 0x700 if self.panel is not None else self._none(2),
            "kernel32.DeviceIoControl": self._ask_panel,
            "kernel32.CloseHandle": lambda _: 1,
            "kernel32.PowerCreateRequest": self._create_request,
            "kernel32.PowerSetRequest": lambda _, what: self.requests.add(what) or 1,
            "kernel32.PowerClearRequest": lambda _, what: self.requests.discard(what) or 1,
            "user32.GetLastInputInfo": self._last_input,
            "kernel32.GetTickCount": lambda: 100,
            "user32.RegisterRawInputDevices": self._raw_input,
            "user32.RegisterHotKey": self._bind,
            "user32.UnregisterHotKey": lambda _, number: self.hotkeys.pop(number, None) and 1,
            "user32.LockWorkStation": self._lock,
            "user32.ExitWindowsEx": self._log_out,
            "user32.GetForegroundWindow": lambda: self.front or None,
            "user32.GetWindowTextW": lambda one, text, _: self._put(text, one, "title"),
            "user32.GetClassNameW": lambda one, text, _: self._put(text, one, "kind"),
            "user32.FindWindowExW": lambda one, *_: self.windows[one].get("content"),
            "user32.GetWindowThreadProcessId": self._process,
            "user32.GetWindowRect": self._where,
            "user32.MonitorFromWindow": lambda *_: 1,
            "user32.SetWinEventHook": self._hook,
            "user32.UnhookWinEvent": lambda hook: self.hooks.pop(hook, None) and 1,
            "kernel32.OpenProcess": lambda _, __, process: process or self._windows.fail(87),
            "kernel32.QueryFullProcessImageNameW": self._image,
        }

    # --- What tests do -------------------------------------------------------------------

    def wait_for_the_end(self) -> None:
        """Wait until the thread of the helper's window, if there was one, has ended."""
        if self._procedure:
            assert self._ended.wait(PATIENCE)

    def lock_screen(self) -> None:
        self.front = 0
        self.tell_windows(0x20, 0)

    def send(self, message: int, first: int = 0, second: int = 0) -> None:
        """Send the helper's window a message."""
        self._messages.put((message, first, second))

    def switch_display(self, state: int) -> None:
        self.display = state
        self._tell(CONSOLE_DISPLAY_STATE, state)

    def dim_panel(self, percent: int) -> None:
        """Dim the built-in screen by its keys."""
        self.panel = percent
        self._tell(MONITOR_BRIGHTNESS, percent)

    def touch(self) -> None:
        """Press a key."""
        self.idle = 0.0
        if self.follows_input.is_set():
            self.send(WM_INPUT)

    def press(self, modifiers: int, key: int) -> None:
        for number, keys in self.hotkeys.items():
            if keys == (modifiers, key):
                self.send(WM_HOTKEY, number)

    def open_window(self, number: int, title: str, path: str, **more: Any) -> None:
        self.windows[number] = {
            "title": title, "path": path, "kind": "Window", "where": (10, 10, 400, 300), **more
        }  # fmt: skip

    def bring_to_front(self, number: int) -> None:
        self.front = number
        self.tell_windows(0x3, number)

    def tell_windows(self, event: int, number: int) -> None:
        """Have those who follow windows told of an event."""
        for first, last, heard, process in list(self.hooks.values()):
            if first <= event <= last and process in (0, number):
                heard(0, event, number, 0, 0, 0, 0)

    # --- Messages ------------------------------------------------------------------------

    def _register_class(self, made: Any) -> int:
        self._ended.clear()
        self._procedure = made.procedure
        return 1

    def _get_message(self, message: Any, *_: Any) -> int:
        found = self._messages.get()
        if found is None:
            return 0
        message.window = OWN_WINDOW
        message.message, message.first, message.second = found
        return 1

    def _dispatch(self, message: Any) -> int:
        answer: int = self._procedure(
            message.window, message.message, message.first, message.second
        )
        return answer

    def _treat_as_usual(self, _: int, message: int, first: int, second: int) -> int:
        if message == WM_SYSCOMMAND and first == _MONITOR_POWER and second == _OFF and self.obeys:
            self.switch_display(0)
        return 0

    def _nudge(self, count: int, *_: Any) -> int:
        if self.obeys:
            self.switch_display(1)
        return count

    def _follow(self, _: int, setting: Any, __: int) -> int:
        wanted = UUID(bytes_le=bytes(setting.data))
        if wanted == CONSOLE_DISPLAY_STATE and self.display is not None:
            self._tell(wanted, self.display)
        return 1

    def _tell(self, setting: UUID, value: int) -> None:
        data = setting.bytes_le + (4).to_bytes(4, "little") + value.to_bytes(4, "little")
        buffer = ctypes.create_string_buffer(data, len(data))
        self._kept.append(buffer)
        self.send(WM_POWERBROADCAST, _POWER_SETTING_CHANGE, ctypes.addressof(buffer))

    def _capabilities(self, found: Any) -> int:
        found.always_on = self.modern_standby
        return 1

    # --- Monitors ------------------------------------------------------------------------

    def _list_monitors(self, _: None, __: None, take: Any, ___: int) -> int:
        for number in range(len(self.monitors)):
            take(number + 1, None, None, 0)
        return 1

    def _monitor_info(self, monitor: int, info: Any) -> int:
        whole = info.whole
        whole.left, whole.top, whole.right, whole.bottom = 0, 0, 1920, 1080
        if hasattr(info, "device"):
            info.device = f"\\\\.\\DISPLAY{monitor}"
        return 1

    def _count_physical(self, _: int, count: Any) -> int:
        count.value = 1
        return 1

    def _physical(self, monitor: int, _: int, found: Any) -> int:
        found[0].handle = monitor
        return 1

    def _get_brightness(self, monitor: int, *found: Any) -> int:
        level = self.monitors[monitor - 1].level
        if level is None:
            return self._windows.fail(0xC0262582)
        for one, value in zip(found, level, strict=True):
            one.value = value
        return 1

    def _set_brightness(self, monitor: int, value: int) -> int:
        level = self.monitors[monitor - 1].level
        assert level
        if self.obeys:
            level[1] = value
        return 1

    def _ask_panel(
        self, _: int, what: int, given: Any, __: int, found: Any, ___: int, size: Any, ____: None
    ) -> int:
        if what == 0x230494:
            levels = range(0, 101, 10)
            found[: len(levels)] = list(levels)
            size.value = len(levels)
        elif what == 0x230498:
            found[:] = [1, self.panel, 5]
        else:
            assert given[0] == 3
            self.dim_panel(given[1])
        return 1

    # --- The others ----------------------------------------------------------------------

    def _create_request(self, _: Any) -> int:
        return 0x800 if self.requests is not None else self._none(NOT_SUPPORTED)

    def _last_input(self, found: Any) -> int:
        if self.idle is None:
            return self._windows.fail(NOT_SUPPORTED)
        # The count has begun anew since.
        found.time = (100 - round(self.idle * 1000)) & 0xFFFF_FFFF
        return 1

    def _raw_input(self, devices: Any, *_: Any) -> int:
        if devices[0].window == OWN_WINDOW:
            self.follows_input.set()
        else:
            self.follows_input.clear()
        return 1

    def _bind(self, _: int, number: int, modifiers: int, key: int) -> int:
        keys = modifiers & 0xF, key
        if keys in self.taken:
            return self._windows.fail(_TAKEN)
        self.hotkeys[number] = keys
        return 1

    def _lock(self) -> int:
        if self.refuses:
            return self._windows.fail(self.refuses)
        if self.locks:
            self.send(WM_WTSSESSION_CHANGE, _LOCKED)
        return 1

    def _log_out(self, *_: int) -> int:
        if self.refuses:
            return self._windows.fail(self.refuses)
        self.logged_out = True
        return 1

    def _put(self, text: Any, window: int, what: str) -> int:
        text.value = self.windows[window][what]
        return len(text.value)

    def _process(self, window: int, found: Any) -> int:
        found.value = window
        return 1

    def _where(self, window: int, where: Any) -> int:
        where.left, where.top, where.right, where.bottom = self.windows[window]["where"]
        return 1

    def _image(self, process: int, _: int, text: Any, __: Any) -> int:
        if not self.windows[process]["path"]:
            return self._windows.fail(31)
        text.value = self.windows[process]["path"]
        return 1

    def _hook(self, first: int, last: int, _: None, heard: Any, process: int, *__: int) -> int:
        number = next(self._numbers)
        self.hooks[number] = first, last, heard, process
        return number

    def _none(self, code: int) -> int:
        self._windows.fail(code)
        return ctypes.c_void_p(-1).value or 0
