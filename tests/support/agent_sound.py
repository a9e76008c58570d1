"""A PulseAudio server of a test's own, with devices that make no sound."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from io import BytesIO
import math
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any
import wave

from .event_loop import PATIENCE, wait_until
from .unix_socket import accepts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MODULES = (
    "module-null-sink sink_name=speaker sink_properties=device.description=Speaker",
    "module-null-sink sink_name=headset sink_properties=device.description=Headset",
    "module-null-source source_name=mic description=Microphone",
)


_PIPEWIRE = ("pipewire", "pipewire-pulse", "wireplumber")
_PIPEWIRE_DEVICES = (
    ("speaker", "Speaker", ""),
    ("headset", "Headset", ""),
    ("mic", "Microphone", "media.class=Audio/Source/Virtual channel_map=mono"),
)
_RATE = 8000


def tone(seconds: float) -> bytes:
    """Return a WAV file with a tone of 440 Hz at half of the full volume."""
    written = BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(
            b"".join(
                struct.pack("<h", int(16_000 * math.sin(2 * math.pi * 440 * at / _RATE)))
                for at in range(int(seconds * _RATE))
            )
        )
    return written.getvalue()


def why_not() -> str:
    """Say why there can be no such server here; empty when there can."""
    if shutil.which("pulseaudio") is None:
        return "PulseAudio is not installed; `apt-get install pulseaudio` brings it"
    return ""


class SoundServer:
    """PulseAudio with two outputs and a microphone.

    Args:
        folder: An empty folder for its socket and its state.

    Attributes:
        address: What programs connect to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "native"
        self.address = f"unix:{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        modules = [f"--load=module-native-protocol-unix auth-anonymous=1 socket={self._socket}"]
        modules += [f"--load={module}" for module in _MODULES]
        self._process = subprocess.Popen(
            # What the system configures would look for hardware.
            ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
             "--log-level=error", *modules],
            env={"HOME": str(self._folder), "XDG_RUNTIME_DIR": str(self._folder),
                 "PULSE_RUNTIME_PATH": str(self._folder), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        wait_until(lambda: accepts(self._socket))

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    @contextmanager
    def by_hand(self) -> Iterator[Any]:
        """Connect as another program, a mixer say."""
        from pulsectl import Pulse

        with Pulse("mixer", server=self.address) as pulse:
            yield pulse

    @contextmanager
    def listen(self, sink: str) -> Iterator[Callable[[], float]]:
        """Record what a sink plays; what is yielded returns the loudest so far, from 0 to 1."""
        with (self._folder / f"{sink}.raw").open("w+b") as recorded:
            recorder = subprocess.Popen(
                ["parec", f"--server={self.address}", f"--device={sink}.monitor", "--raw",
                 "--format=s16le", "--channels=1", f"--rate={_RATE}"],
                stdout=recorded,
            )  # fmt: skip

            def loudest() -> float:
                recorded.seek(0)
                heard = recorded.read()
                return max(map(abs, array("h", heard[: len(heard) // 2 * 2])), default=0) / 32768

            try:
                yield loudest
            finally:
                recorder.kill()
                recorder.wait()

    def streams_of(self, program: str) -> list[Any]:
        """Return what a program plays, by what it calls itself."""
        with self.by_hand() as mixer:
            return [
                one
                for one in mixer.sink_input_list()
                if one.proplist.get("application.name") == program
            ]


def why_no_pipewire() -> str:
    """Say why there can be no PipeWire here; empty when there can."""
    if not all(map(shutil.which, _PIPEWIRE)):
        packages = " ".join(_PIPEWIRE)
        return f"PipeWire is not installed; `apt-get install {packages}` brings it"
    return ""


class PipeWireServer(SoundServer):
    """PipeWire with a session manager and the interface of PulseAudio, and the same devices.

    Args:
        folder: An empty folder for its sockets and its state.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._socket = folder / "pulse" / "native"
        self.address = f"unix:{self._socket}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        bus, core = self._folder / "bus", self._folder / "pipewire-0"
        for socket in (bus, core, self._socket):
            socket.unlink(missing_ok=True)
        self._run("dbus-daemon", "--session", f"--address=unix:path={bus}", "--nofork")
        wait_until(lambda: accepts(bus))
        self._run("pipewire")
        wait_until(lambda: accepts(core))
        self._run("wireplumber")
        self._run("pipewire-pulse")
        wait_until(lambda: accepts(self._socket))
        with self.by_hand() as mixer:
            for name, description, more in _PIPEWIRE_DEVICES:
                properties = f"sink_properties=device.description={description}"
                mixer.module_load("module-null-sink", f"sink_name={name} {properties} {more}")
            wait_until(lambda: mixer.server_info().default_source_name == "mic")

    def stop(self) -> None:
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            process.wait(PATIENCE)

    def _run(self, *command: str) -> None:
        folder = str(self._folder)
        address = f"unix:path={folder}/bus"
        environment = {"HOME": folder, "XDG_RUNTIME_DIR": folder, "PATH": "/usr/bin:/bin",
                       "DBUS_SESSION_BUS_ADDRESS": address,
                       "DBUS_SYSTEM_BUS_ADDRESS": address}  # fmt: skip
        self._processes.append(subprocess.Popen(command, env=environment))
