"""Windows' own player of a file, MFPlay, as tests play it."""

from __future__ import annotations

from ctypes import byref
import threading
from typing import TYPE_CHECKING, Any

from companion_agent.winapi import media_player
from companion_agent.winapi.com import Object

from .windows_com import FakeCom, FakeObject

if TYPE_CHECKING:
    from .windows_api import FakeWindows

NO_DEVICE = -0x3FF2_D06E


class FakeMediaPlayer:
    """Plays what it is given.

    Attributes:
        played: The files, by name, and what was in them.
        result: What becomes of the next one, an HRESULT.
        silent: Whether it says nothing of what becomes of it.
        volume: Its volume.
        obeys: Whether its volume can be set.
        held: How many players were not given back.
    """

    def __init__(self, windows: FakeWindows) -> None:
        FakeCom(windows)
        self.played: dict[str, bytes] = {}
        self.result = 0
        self.silent = False
        self.volume = 1.0
        self.obeys = True
        self._sink = 0
        self._player = FakeObject(
            {
                media_player.GetVolume: lambda found: found.__setitem__(0, self.volume),
                media_player.SetVolume: self._set_volume,
                media_player.Shutdown: lambda: None,
            }
        )
        windows.functions["mfplay.MFPCreateMediaPlayer"] = self._create

    @property
    def held(self) -> int:
        return self._player.references

    def tell(self, event: int, result: int = 0) -> None:
        """Tell of an event, as Windows does: in another thread."""
        header = media_player.EventHeader(event, result)
        arguments = Object(self._sink), byref(header)
        one = threading.Thread(target=media_player.OnMediaPlayerEvent, args=arguments)
        one.start()
        one.join()

    def _create(self, path: str, _: int, __: int, sink: int, ___: None, found: Any) -> int:
        with open(path, "rb") as file:  # noqa: PTH123
            self.played[path] = file.read()
        self._sink = sink
        self._player.give(found)
        if not self.silent:
            self.tell(media_player.PLAY, self.result)
        return 0

    def _set_volume(self, volume: float) -> None:
        if self.obeys:
            self.volume = volume
