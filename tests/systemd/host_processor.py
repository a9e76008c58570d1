"""A processor for hosts whose kernel shows none: a real one's tree, and who asks root to set it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.platforms.linux import cpufreq
from companion_agent.service.unit import PROCESSOR_SOCKET, USER
from support.agent_machines import build

if TYPE_CHECKING:
    from pathlib import Path

    from stack.nspawn import SystemdHost

SOCKET = f"/{cpufreq.SOCKET}"
POLICY = f"/{cpufreq.FOLDER}/policy0"
# A stranger's side of the conversation.
ASK = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as helper:
    helper.settimeout(20)
    helper.connect(sys.argv[1])
    helper.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin-1"))
    print(helper.recv(4096).decode(), end="")
"""


class HostProcessor:
    """The processor of a host, whose tree lies where the kernel has its own.

    Args:
        host: The host, which runs.
        folder: Where the tree is made.
    """

    def __init__(self, host: SystemdHost, folder: Path) -> None:
        self._host = host
        build("cpufreq/raspberrypi", folder)
        host.run("mkdir", "-p", "/srv/cpufreq/policy0")
        for file in (folder / cpufreq.FOLDER / "policy0").iterdir():
            host.write(f"/srv/cpufreq/policy0/{file.name}", file.read_text())
        self.mount()

    def mount(self) -> None:
        """Show it to the host, until that reboots."""
        self._host.run("mount", "--bind", "/srv/cpufreq", f"/{cpufreq.FOLDER}")

    def read(self, file: str) -> str:
        return self._host.run("cat", f"{POLICY}/{file}").stdout.strip()

    def ask(self, line: str, user: str = USER) -> str:
        """Ask as one user or another; return the answer, or what kept it from asking."""
        done = self._host.run("python3", "-c", ASK, SOCKET, line, user=user, check=False)
        return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]

    def socket(self) -> str:
        """Return the state of the socket on which root is asked."""
        command = ("systemctl", "is-active", PROCESSOR_SOCKET)
        return self._host.run(*command, check=False).stdout.strip()
