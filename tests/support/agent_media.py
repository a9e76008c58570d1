"""Media players on a session bus of a test's own: mpv, and players that do what a test says."""

from __future__ import annotations

import base64
from pathlib import Path
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any
import wave

from .event_loop import PATIENCE

if TYPE_CHECKING:
    from .agent_logind import SystemBus

MPRIS = "org.mpris.MediaPlayer2"
PATH = "/org/mpris/MediaPlayer2"
PLAYER = f"{MPRIS}.Player"

# The plug-in that has mpv speak MPRIS.
_PLUGIN = Path("/usr/lib/mpv-mpris/mpris.so")
# One white pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)

_TEMPLATE = """\
import dbus

BUS_NAME = "{mpris}.{name}"
MAIN_OBJ = "{path}"
MAIN_IFACE = "{player}"
SYSTEM_BUS = True


def load(mock, parameters):
    mock.AddProperties("{mpris}", dbus.Dictionary({{"Identity": "{title}"}}, signature="sv"))
    mock.AddProperties(MAIN_IFACE, dbus.Dictionary({{
        "PlaybackStatus": parameters["status"],
        "Metadata": dbus.Dictionary({{
            "mpris:trackid": dbus.ObjectPath("/track/1"),
            "mpris:artUrl": parameters["art"],
            "xesam:title": "Song of {title}",
            "xesam:artist": dbus.Array(["Anna", "Bob"], signature="s"),
        }}, signature="sv"),
        "Position": dbus.Int64(7000000),
        "Volume": 0.5, "CanControl": True, "CanPlay": True, "CanPause": True, "CanGoNext": False,
    }}, signature="sv"))
    mock.AddMethod(MAIN_IFACE, "Play", "", "", parameters["play"])
    mock.AddMethod(MAIN_IFACE, "Pause", "", "", parameters["pause"])
"""
PLAYS = "self.UpdateProperties('org.mpris.MediaPlayer2.Player', {'PlaybackStatus': 'Playing'})"
PAUSES = "self.UpdateProperties('org.mpris.MediaPlayer2.Player', {'PlaybackStatus': 'Paused'})"


def why_not() -> str:
    """Say why there can be no mpv here; empty when there can."""
    if shutil.which("mpv") is None or not _PLUGIN.exists():
        return "mpv or its plug-in is not installed; `apt-get install mpv mpv-mpris` brings them"
    return ""


class Mpv:
    """mpv that plays a minute of silence, from a folder with a cover.

    Args:
        bus: The session's bus.
        folder: An empty folder.
    """

    def __init__(self, bus: SystemBus, folder: Path) -> None:
        track = folder / "track.wav"
        with wave.open(str(track), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(struct.pack("<h", 0) * 8000 * 60)
        (folder / "cover.png").write_bytes(PICTURE)
        self._process = subprocess.Popen(
            ["mpv", "--no-config", "--no-terminal", "--ao=null", "--vo=null", "--no-video",
             f"--script={_PLUGIN}", "--force-media-title=Silence", "--pause", "--loop-file=no",
             str(track)],
            env={"HOME": str(folder), "DBUS_SESSION_BUS_ADDRESS": bus.address,
                 "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)


class FakePlayers:
    """Players that say, and do, what a test wants.

    Args:
        bus: The session's bus.
        folder: A folder for what describes them.
    """

    def __init__(self, bus: SystemBus, folder: Path) -> None:
        self._bus = bus
        self._folder = folder

    def start(
        self, name: str, *, status: str = "Stopped", art: str = "", pause: str = PAUSES
    ) -> None:
        """Start one; `pause` is what it does when it is told to pause."""
        template = self._folder / f"{name}.py"
        template.write_text(
            _TEMPLATE.format(mpris=MPRIS, name=name, path=PATH, player=PLAYER, title=name.title())
        )
        service = f"{MPRIS}.{name}"
        self._bus.play(str(template), service, status=status, art=art, play=PLAYS, pause=pause)

    def stop(self, name: str) -> None:
        self._bus.stop_mock(f"{MPRIS}.{name}")

    def change(self, name: str, **properties: tuple[str, Any]) -> None:
        """Have one tell of changed properties."""
        self._bus.call(
            f"{MPRIS}.{name}", PATH, "org.freedesktop.DBus.Mock", "UpdateProperties", "sa{sv}",
            PLAYER, properties,
        )  # fmt: skip

    def status(self, name: str) -> str:
        """Return what one says that it does."""
        service, properties = f"{MPRIS}.{name}", "org.freedesktop.DBus.Properties"
        (found,) = self._bus.call(service, PATH, properties, "Get", "ss", PLAYER, "PlaybackStatus")
        return str(found[1])
