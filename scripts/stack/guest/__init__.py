"""A machine with hardware: Debian's own kernel in QEMU, with disks, a monitor and drivers.

Containers have this machine's kernel and none of its hardware. Here the kernel is Debian's, and
what it drives is QEMU's: monitors with power states (DRM), an X server on them, NVMe and SATA disks
with SMART, md, btrfs; and what the kernel plays by itself: I²C buses (`i2c-stub`), hwmon chips,
cameras (`vivid`), Wi-Fi (`mac80211_hwsim`). It boots without virtualisation too, in half a minute.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Self

from stack import system
from stack.console import StackError
from stack.linux_host import Done, LinuxHost, with_environment
from stack.paths import ROOT
from stack.process import Process

from .image import Image, image, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["Guest", "Image", "image", "why_not"]

_MEMORY_MIB = 1024
_DISK_BYTES = 256 * 2**20
# The port by which QEMU's guest agent is spoken to.
_AGENT = "org.qemu.guest_agent.0"
_LOOK_EVERY = 0.05
# A command is ended inside before the wait for it ends.
_GRACE = 30
_TIMED_OUT = (124, 137)


class Guest(LinuxHost):
    """A virtual machine; what it writes is gone when it ends.

    >>> with Guest(folder) as guest:  # doctest: +SKIP
    ...     guest.run("modprobe", "vivid")
    ...     print(guest.run("smartctl", "--all", "--json", "/dev/nvme0").stdout)

    In it are a monitor on `bochs-drm`, an NVMe disk (`/dev/nvme0n1`), two SATA disks (`/dev/sda`,
    `/dev/sdb`), and this checkout with the agent's libraries for Python 3.11, as in the containers.

    Args:
        folder: For its disks and its log.
        libraries: The ``site-packages`` of an environment for Python 3.11 that has the agent's
            libraries.
        name: Its host name.

    """

    def __init__(self, folder: Path, libraries: Path, name: str = "guest") -> None:
        super().__init__(name)
        self._folder = folder
        self._libraries = libraries
        self._socket = folder / "agent.sock"
        self._connection: socket.socket | None = None
        self._heard = b""
        self._numbers = itertools.count(1)
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = Process(f"guest {self.name}", self._command(), self._folder / "serial.log")
        try:
            self._process.start()
            self._connect()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Pull its plug."""
        if self._connection:
            self._connection.close()
        if self._process:
            self._process.kill()

    def run(
        self,
        *command: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        text: str = "",
        check: bool = True,
        timeout: float = 180,
    ) -> Done:
        """Run a command inside, as every host does."""
        limited = ("timeout", "--kill-after=5", f"{timeout:g}", *command)
        path, *arguments = with_environment(limited, user, env)
        started = self._ask(
            "guest-exec",
            {
                "path": path,
                "arg": arguments,
                "capture-output": True,
                "input-data": base64.b64encode(text.encode()).decode(),
            },
        )
        deadline = time.monotonic() + timeout + _GRACE
        while not (ended := self._ask("guest-exec-status", started))["exited"]:
            if time.monotonic() > deadline:
                raise StackError(f"{self.name}: {command[0]} did not end within {timeout:g} s")
            time.sleep(_LOOK_EVERY)
        code = ended.get("exitcode", -ended.get("signal", 0))
        stdout, stderr = (
            base64.b64decode(ended.get(f"{stream}-data", "")).decode(errors="replace")
            for stream in ("out", "err")
        )
        if code in _TIMED_OUT:
            raise StackError(
                f"{self.name}: {command[0]} did not end within {timeout:g} s:\n{stdout}{stderr}"
            )
        if check and code:
            raise StackError(
                f"{self.name}: {' '.join(command)} ended with {code}:\n{stdout}{stderr}"
            )
        return Done(code, stdout, stderr)

    # --- QEMU's guest agent ---------------------------------------------------------------

    def _connect(self, timeout: float = 600) -> None:
        """Wait until the agent inside answers, which is when it has booted far enough."""
        assert self._process is not None
        deadline = time.monotonic() + timeout
        connection = self._connection = socket.socket(socket.AF_UNIX)
        while True:
            try:
                connection.connect(str(self._socket))
                break
            except OSError as error:
                if not self._process.running or time.monotonic() > deadline:
                    tail = self._process.log_tail()
                    raise StackError(f"{self.name} does not start: {error}\n{tail}") from error
                time.sleep(_LOOK_EVERY)
        # What is asked waits in the port until the agent opens it.
        self._ask("guest-ping", timeout=timeout)

    def _ask(
        self, what: str, arguments: Mapping[str, Any] | None = None, timeout: float = 300
    ) -> dict[str, Any]:
        if self._connection is None or self._process is None:
            raise StackError(f"{self.name} is off")
        number = next(self._numbers)
        message: dict[str, Any] = {"execute": what, "id": number}
        if arguments:
            message["arguments"] = arguments
        self._connection.sendall(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while True:
            line, separator, rest = self._heard.partition(b"\n")
            if separator:
                self._heard = rest
                answer = json.loads(line)
                if answer.get("id") != number:
                    continue
                if "error" in answer:
                    raise StackError(f"{self.name}: {what}: {answer['error']['desc']}")
                result: dict[str, Any] = answer["return"]
                return result
            self._read(what, deadline)

    def _read(self, what: str, deadline: float) -> None:
        assert self._connection is not None
        assert self._process is not None
        self._connection.settimeout(max(0.01, deadline - time.monotonic()))
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            received = self._connection.recv(65536)
        if not received:
            state = "does not answer" if self._process.running else "has ended"
            raise StackError(f"{self.name} {state}: {what}\n{self._process.log_tail()}")
        self._heard += received

    # --- QEMU -----------------------------------------------------------------------------

    def _command(self) -> list[str]:
        made = image()
        qemu = system.require("qemu")["qemu"]
        return [
            qemu,
            # The same on every machine: with KVM inside of another virtual machine QEMU may
            # abort, or the guest stand still.
            *("-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", str(_MEMORY_MIB)),
            *("-display", "none", "-vga", "none", "-device", "bochs-display"),
            *("-nic", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"),
            *("-kernel", str(made.kernel), "-initrd", str(made.initrd)),
            *("-append", "console=ttyS0 panic=-1 quiet mitigations=off"),
            # What is written to the root goes to a file that is gone with QEMU.
            "-drive",
            f"file={made.root},format=raw,if=virtio,snapshot=on",
            *("-device", "virtio-serial", "-device", f"virtserialport,chardev=agent,name={_AGENT}"),
            *("-chardev", f"socket,id=agent,path={self._socket},server=on,wait=off"),
            *self._disks(),
            *_share("source", ROOT),
            *_share("libraries", self._libraries),
        ]

    def _disks(self) -> list[str]:
        """Return disks whose state is not that of the root."""
        arguments = ["-device", "ahci,id=ahci"]
        for name, device in (
            ("nvme0", "nvme,serial=PILOT-NVME"),
            ("sata0", "ide-hd,bus=ahci.0,serial=PILOT-SATA-0"),
            ("sata1", "ide-hd,bus=ahci.1,serial=PILOT-SATA-1"),
        ):
            path = self._folder / f"{name}.img"
            with path.open("wb") as file:
                os.truncate(file.fileno(), _DISK_BYTES)
            arguments += ["-drive", f"file={path},format=raw,if=none,id={name}"]
            arguments += ["-device", f"{device},drive={name}"]
        return arguments


def _share(tag: str, folder: Path) -> list[str]:
    options = "security_model=none,readonly=on,multidevs=remap"
    return ["-virtfs", f"local,path={folder},mount_tag={tag},{options}"]
