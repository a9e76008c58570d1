"""A player for one file of sound: MFPlay of Media Foundation.

Microsoft has called it superseded since Windows 8, and it is in every Windows since 7 but the
editions N without their media pack. Source: Microsoft's reference of mfplay.h.
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_float,
    c_int,
    c_int32,
    c_uint32,
    c_void_p,
    c_wchar_p,
    cast,
)
from typing import TYPE_CHECKING, Any
from uuid import UUID

from companion_agent.winapi import com
from companion_agent.winapi.com import Method, Object, Sink
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable

PLAY, ERROR, ENDED = 0, 10, 11
"""Events, MFP_EVENT_TYPE."""

_FREE_THREADED = 0x1
_CALLBACK = UUID("766c8ffb-5fdb-4fea-a28d-b912996f51bd")


class EventHeader(Structure):
    """MFP_EVENT_HEADER."""

    _fields_ = (
        ("event", c_int),
        ("result", c_int32),
        ("player", c_void_p),
        ("state", c_int),
        ("properties", c_void_p),
    )


_MFPCreateMediaPlayer = Function(
    "mfplay",
    "MFPCreateMediaPlayer",
    c_int32,
    *(c_wchar_p, c_int, c_uint32, c_void_p, c_void_p, POINTER(c_void_p)),
)
GetVolume = Method("IMFPMediaPlayer.GetVolume", 19, POINTER(c_float))
SetVolume = Method("IMFPMediaPlayer.SetVolume", 20, c_float)
Shutdown = Method("IMFPMediaPlayer.Shutdown", 38)
# It returns nothing, which a result that its caller does not look at is as well.
OnMediaPlayerEvent = Method("IMFPMediaPlayerCallback.OnMediaPlayerEvent", 3, c_void_p)


class MediaPlayer(Object):
    """Plays a file from its beginning, as soon as it can.

    Args:
        path: The file.
        heard: Called in a thread of Windows', with each event and its HRESULT.

    Raises:
        OSError: This Windows has no such player, or it cannot begin.
    """

    def __init__(self, path: str, heard: Callable[[int, int], None]) -> None:
        def take(header: int) -> None:
            event: Any = cast(header, POINTER(EventHeader))[0]
            heard(event.event, event.result)

        # Kept as long as the player.
        self._sink = Sink(_CALLBACK, {OnMediaPlayerEvent: take})
        found = c_void_p()
        com.check(
            _MFPCreateMediaPlayer(
                path, True, _FREE_THREADED, self._sink.address, None, byref(found)
            ),
            "MFPCreateMediaPlayer",
        )
        super().__init__(found)

    def volume(self) -> float:
        """Return the volume, 0 to 1."""
        found = c_float()
        GetVolume(self, byref(found))
        return found.value

    def set_volume(self, volume: float) -> None:
        """Set the volume, 0 to 1."""
        SetVolume(self, volume)

    def end(self) -> None:
        """End it, and hear of it no more.

        Raises:
            OSError: Windows refuses it.
        """
        Shutdown(self)


def exists() -> bool:
    """Tell whether this Windows has it."""
    return _MFPCreateMediaPlayer.exists()
