"""That addresses and routes of this machine change.

Source: Microsoft's reference of netioapi.h (`NotifyUnicastIpAddressChange`, `NotifyRouteChange2`,
`CancelMibChangeNotify2`).
"""

from __future__ import annotations

from ctypes import POINTER, byref, c_int, c_ubyte, c_uint16, c_uint32, c_void_p
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable

_ALL_FAMILIES = 0
# What is passed on, the row that changed, and whether it was added, changed or deleted.
_CHANGED = dll.callback(None, c_void_p, c_void_p, c_int)
_NOTIFIER = (c_uint16, _CHANGED, c_void_p, c_ubyte, POINTER(c_void_p))

_OF_CHANGES = (
    Function("iphlpapi", "NotifyUnicastIpAddressChange", c_uint32, *_NOTIFIER),
    Function("iphlpapi", "NotifyRouteChange2", c_uint32, *_NOTIFIER),
)
_CancelMibChangeNotify2 = Function("iphlpapi", "CancelMibChangeNotify2", c_uint32, c_void_p)


class ChangeNotifications:
    """Has something called when an address or a route changes.

    Args:
        changed: Called in threads of Windows'.

    Raises:
        OSError: Windows does not tell.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        # Windows calls it until it is cancelled.
        self._kept = _CHANGED(lambda *_: changed())
        self._handles: list[c_void_p] = []
        for notify in _OF_CHANGES:
            handle = c_void_p()
            code = notify(_ALL_FAMILIES, self._kept, None, False, byref(handle))
            if code:
                self.cancel()
                raise dll.error(code, notify.name)
            self._handles.append(handle)

    def cancel(self) -> None:
        """Call nothing any more; calls that are under way have returned then."""
        while self._handles:
            _CancelMibChangeNotify2(self._handles.pop())
