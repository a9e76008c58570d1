"""A real server of Network UPS Tools, with a driver that plays a UPS from a file."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import TYPE_CHECKING

from .agent_mqtt import free_port, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Mapping

# Beside the driver lies the server itself: Debian's on the PATH asks /etc whether it may run.
PROGRAMS = Path("/lib/nut")
DRIVER, SERVER = PROGRAMS / "dummy-ups", PROGRAMS / "upsd"

NAME = "office"
SAYS = {
    "ups.mfr": "Eaton",
    "ups.model": "5E 850i",
    "ups.serial": "G095",
    "ups.status": "OL CHRG",
    "ups.load": "17",
    "battery.charge": "96",
    "battery.runtime": "1840",
    "battery.voltage": "13.5",
    "input.voltage": "231.4",
    "output.voltage": "231.4",
}


def is_installed() -> bool:
    """Tell whether this machine has them."""
    # Wine shows those of Linux.
    return sys.platform != "win32" and DRIVER.exists() and SERVER.exists()


class Nut:
    """A server with one UPS, named `NAME`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._running: list[subprocess.Popen[bytes]] = []
        self._driver: subprocess.Popen[bytes] | None = None
        self._log = (folder / "nut.log").open("wb")
        (folder / "ups.conf").write_text(
            f"pollinterval = 1\nmaxretry = 1\n[{NAME}]\ndriver = dummy-ups\n"
            f'port = {folder}/ups.dev\ndesc = "The \\"office\\" UPS"\n'
        )
        (folder / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {self._port}\nMAXAGE 3\n")
        (folder / "upsd.users").touch()
        for path in folder.iterdir():
            path.chmod(0o600)
        self.say(SAYS)

    @property
    def port(self) -> int:
        """The server's."""
        return self._port

    def say(self, variables: Mapping[str, str]) -> None:
        """Have the UPS say this from the next second on."""
        text = "".join(f"{name}: {value}\n" for name, value in variables.items())
        (self._folder / "ups.part").write_text(text)
        (self._folder / "ups.part").replace(self._folder / "ups.dev")

    def start(self) -> None:
        """Start the driver, and the server."""
        self._driver = self._run(DRIVER, "-a", NAME, "-F")
        server = self._run(SERVER, "-F")
        wait_for_port("127.0.0.1", self._port, server, self._folder / "nut.log")

    def pull(self) -> None:
        """End the driver, as when the cable to the UPS is pulled."""
        assert self._driver
        self._driver.kill()
        self._driver.wait()

    def stop(self) -> None:
        """End both."""
        for one in self._running:
            one.kill()
            one.wait()
        self._log.close()

    def _run(self, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(program), *arguments, "-u", "root"]
        folder = str(self._folder)
        environment = {"NUT_CONFPATH": folder, "NUT_STATEPATH": folder, "NUT_PIDPATH": folder}
        started = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=self._log, cwd=folder
        )
        self._running.append(started)
        return started
