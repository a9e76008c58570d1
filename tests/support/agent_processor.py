"""Processors to set: the files of a driver, and what it does when one is written."""

from __future__ import annotations

from contextlib import suppress
import errno
import os
from pathlib import Path
import select
import socket
import threading
from typing import Self

from companion_agent.platforms.linux import cpufreq

from .agent_machines import FOLDER, FakeMachine, build
from .event_loop import PATIENCE

DRIVERS = tuple(sorted(path.stem for path in (FOLDER / "cpufreq").glob("*.txt")))
POLICIES = "sys/devices/system/cpu/cpufreq"
BALANCED = "balance_performance"


class FakeKernel(cpufreq.Tree):
    """A tree in which a write is taken as the driver takes it.

    Attributes:
        written: What was written, in order: the file without the folder of the policies, and what.
        ceiling: The highest frequency that heat allows now, in kHz; 0 for any.
        refusals: The number of the error that writing a file ends with, by its name.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.written: list[tuple[str, str]] = []
        self.ceiling = 0
        self.refusals: dict[str, int] = {}

    def write(self, path: str, text: str) -> None:
        """Take a value, or refuse it as the kernel does."""
        folder, _, file = path.rpartition("/")
        if file in self.refusals:
            number = self.refusals[file]
            raise OSError(number, os.strerror(number))
        governor = self.text(f"{folder}/scaling_governor")
        if file == "energy_performance_preference" and governor == "performance":
            # intel_pstate.rst: only what the governor has chosen itself.
            if text != "performance":
                raise OSError(errno.EBUSY, "Device or resource busy")
        elif file == "scaling_min_freq":
            # Up to Linux 5.3; later on both are limits that hold side by side.
            self._refuse(int(text) > (self.number(f"{folder}/scaling_max_freq") or 0))
        elif file == "scaling_max_freq":
            self._refuse(int(text) < (self.number(f"{folder}/scaling_min_freq") or 0))
            text = str(min(int(text), self.ceiling or int(text)))
        self._put(path, text)
        if file == "scaling_governor" and self.text(f"{folder}/energy_performance_preference"):
            preference = "performance" if text == "performance" else BALANCED
            self._put(f"{folder}/energy_performance_preference", preference)
        self.written.append((path.removeprefix(f"{POLICIES}/"), text))

    def set_by_hand(self, path: str, text: str) -> None:
        """Do what another program does."""
        self._put(path, text)

    def _put(self, path: str, text: str) -> None:
        Path(self.root, path).write_text(f"{text}\n")

    def _refuse(self, condition: bool) -> None:
        if condition:
            raise OSError(errno.EINVAL, "Invalid argument")


class Processor:
    """A machine with a processor that can be set.

    Attributes:
        machine: The machine.
        kernel: Its files, as the kernel has them.
        keeper: What sets them.
    """

    def __init__(self, driver: str, root: Path) -> None:
        self.machine: FakeMachine = build(f"cpufreq/{driver}", root)
        (root / cpufreq.STATE_FOLDER).mkdir(parents=True)
        self.kernel = FakeKernel(root)
        self.keeper = cpufreq.Keeper(self.kernel, patience=0)

    def set(self, name: str, value: str | int | bool) -> None:
        """Have the helper set something, in kHz for frequencies."""
        self.keeper.carry_out(cpufreq.Request(name, value))

    def value(self, name: str) -> str | int | bool | None:
        """Read a setting, in kHz for frequencies."""
        return self.settings()[name].value

    def settings(self) -> dict[str, cpufreq.Setting]:
        """Read every setting."""
        return cpufreq.Frequencies(self.kernel).read()

    def files(self) -> dict[str, str]:
        """Return the content of all files that can be set."""
        found = cpufreq.Frequencies(self.kernel)
        paths = {path for name in cpufreq.SETTINGS for path in found.beside(name)}
        return {path: text for path in paths if (text := self.kernel.text(path)) is not None}


class _Listening(socket.socket):
    """A socket on which no client comes any more once its end was told."""

    def __init__(self, family: int) -> None:
        super().__init__(family)
        self.ended = threading.Event()

    def accept(self) -> tuple[socket.socket, object]:
        """Wait for a client, or for the end."""
        while not self.ended.is_set():
            if select.select([self], [], [], 0.02)[0]:
                return super().accept()
        raise TimeoutError


class RunningHelper:
    """The helper at work on a socket, in a thread of its own.

    Attributes:
        admitted: The users that may ask, by number.
    """

    def __init__(self, processor: Processor) -> None:
        self.admitted = {os.getuid()}
        self._path = f"{processor.machine.root}/{cpufreq.SOCKET}"
        self._listening = _Listening(socket.AF_UNIX)
        self._listening.bind(self._path)
        self._listening.listen(16)
        self._thread = threading.Thread(
            target=cpufreq.serve,
            args=(self._listening, lambda uid: uid in self.admitted, processor.keeper.carry_out),
            kwargs={"idle": PATIENCE, "limit": 0.2},
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.ended.set()
        self._thread.join(PATIENCE)
        self._listening.close()
        Path(self._path).unlink()

    def connect(self) -> socket.socket:
        """Connect as a client does."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(self._path)
        return client

    def ask(self, sent: bytes) -> bytes:
        """Send something and return all that comes back."""
        with self.connect() as client:
            with suppress(OSError):  # It need not take all of it.
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionError):
                while more := client.recv(4096):
                    answer += more
            return answer
