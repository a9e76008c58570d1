"""Hosts on networks of their own, which can be cut and healed (Linux, as root)."""

from __future__ import annotations

import itertools
import os
import subprocess
from typing import TYPE_CHECKING, Self

from . import system
from .console import StackError

if TYPE_CHECKING:
    from types import TracebackType

_numbers = itertools.count()


class Network:
    """A network namespace, joined to this machine by a cable that can be pulled.

    >>> with Network() as network:  # doctest: +SKIP
    ...     broker = Mosquitto(folder, bind=("127.0.0.1", network.gateway))
    ...     agent = Agent(folder, broker, host=network.gateway, prefix=network.prefix)
    ...     network.cut()

    Args:
        lan: A network that several namespaces are in; one of its own when it is not given.

    Attributes:
        gateway: This machine's address, as the namespace sees it.
        address: The namespace's own address.
        prefix: Put before a command to run it inside.

    """

    def __init__(self, lan: Lan | None = None) -> None:
        number = next(_numbers)
        self._lan = lan
        subnet = lan.subnet if lan else _subnet(number)
        self.gateway = f"{subnet}.1"
        self.address = f"{subnet}.{lan.next_address() if lan else 2}"
        self.name = f"pilot-{os.getpid()}-{number}"
        self.prefix = (system.require("ip")["ip"], "netns", "exec", self.name)
        # Named as containers' cables are, which agents on this machine leave out.
        self._outer = f"vethp{os.getpid() % 10**7}n{number}"
        self._inner = "eth0"

    @staticmethod
    def available() -> bool:
        """Tell whether this machine lets us make namespaces."""
        if os.geteuid() != 0 or system.find("ip") is None:
            return False
        name = f"pilot-probe-{os.getpid()}"
        # Containers often allow the first, but not the mounts that the second takes.
        commands = (["add", name], ["exec", name, "true"])
        try:
            return not any(
                subprocess.run(["ip", "netns", *c], capture_output=True, check=False).returncode
                for c in commands
            )
        finally:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def __enter__(self) -> Self:
        try:
            self._ip("netns", "add", self.name)
            self._ip(
                "link", "add", self._outer, "type", "veth",
                "peer", "name", self._inner, "netns", self.name,
            )  # fmt: skip
            if self._lan:
                self._ip("link", "set", self._outer, "master", self._lan.name)
            else:
                self._ip("addr", "add", f"{self.gateway}/24", "dev", self._outer)
            self._ip("link", "set", self._outer, "up")
            self._inside("addr", "add", f"{self.address}/24", "dev", self._inner)
            self._inside("link", "set", self._inner, "up")
            self._inside("link", "set", "lo", "up")
            self._inside("route", "add", "default", "via", self.gateway)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def cut(self) -> None:
        """Pull the cable: packets are lost without an error."""
        self._ip("link", "set", self._outer, "down")

    def heal(self) -> None:
        """Plug the cable in again."""
        self._ip("link", "set", self._outer, "up")

    def _remove(self) -> None:
        # The pair of interfaces goes with either of its ends.
        for command in (["link", "del", self._outer], ["netns", "del", self.name]):
            subprocess.run([self.prefix[0], *command], capture_output=True, check=False)

    def _inside(self, *arguments: str) -> None:
        self._ip("-n", self.name, *arguments)

    def _ip(self, *arguments: str) -> None:
        _ip(*arguments)


class Lan:
    """A switch that this machine and several namespaces are plugged into.

    >>> with Lan() as lan, Network(lan) as one, Network(lan) as other:  # doctest: +SKIP
    ...     host = SystemdHost(folder, network=one)

    Attributes:
        subnet: The first three numbers of its addresses; this machine's ends in 1.
        name: The switch's name on this machine.

    """

    def __init__(self) -> None:
        number = next(_numbers)
        self.subnet = _subnet(number)
        # Agents leave bridges of this kind out, as they do Docker's.
        self.name = f"br-{os.getpid() % 10**7}n{number}"
        self._addresses = itertools.count(11)

    def next_address(self) -> int:
        """Return the last number of an address that is still free."""
        return next(self._addresses)

    def __enter__(self) -> Self:
        try:
            _ip("link", "add", self.name, "type", "bridge")
            _ip("addr", "add", f"{self.subnet}.1/24", "dev", self.name)
            _ip("link", "set", self.name, "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        command = [system.require("ip")["ip"], "link", "del", self.name]
        subprocess.run(command, capture_output=True, check=False)


def _subnet(number: int) -> str:
    """Return the first three numbers of addresses that nothing on this machine has.

    Test runs begin to look at different places, and those that were killed leave networks behind.
    """
    command = [system.require("ip")["ip"], "-o", "-4", "addr"]
    used = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for other in range(256):
        subnet = f"10.{200 + number % 50}.{(os.getpid() + other) % 256}"
        if f" {subnet}." not in used:
            return subnet
    raise StackError("no addresses are left; delete the networks of tests that were killed")


def _ip(*arguments: str) -> None:
    command = [system.require("ip")["ip"], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
