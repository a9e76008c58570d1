"""Real hosts: Debian with systemd, logind and polkit, in containers."""

from __future__ import annotations

import json
from pathlib import Path
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from stack.nspawn import SOURCE, SystemdHost, why_not
from stack.process import Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AGENT = "pilot-agent"
RULE = "/etc/polkit-1/rules.d/50-pilot-agent.rules"


class Bench:
    """A host, and what the agent's parts find and do inside it.

    Args:
        host: The host.
    """

    def __init__(self, host: SystemdHost) -> None:
        self.host = host

    def probe(self, user: str = AGENT) -> dict[str, Any]:
        found: dict[str, Any] = self._run(user, "probe")
        return found

    def locked(self, user: str = AGENT) -> bool | str:
        """Return whether somebody has to log in first, or why that is not known."""
        found: bool | str = self._run(user, "locked")
        return found

    def power(self, action: str, delay: float = 0, user: str = AGENT) -> dict[str, str]:
        done: dict[str, str] = self._run(user, "power", action, str(delay))
        return done

    def session(self, action: str, user: str = AGENT) -> dict[str, str]:
        done: dict[str, str] = self._run(user, "session", action)
        return done

    def fix(self, user: str = AGENT) -> str:
        """Return the polkit rule that the agent asks for."""
        fix: str = self.probe(user)["power"]["shutdown"]["fix"]
        return fix[fix.index("//") :]

    def permit(self) -> None:
        """Do what the agent asks the administrator for, and wait until polkit has seen it."""
        self.host.write(RULE, self.fix())
        wait_for(lambda: not any(self.probe()["power"].values()), "the rule to be seen")

    def watch(self, folder: Path, seconds: float = 0) -> Process:
        """Watch what happens; it holds sleep and shutdown up for some seconds."""
        script = str(SOURCE / "tests/systemd/inside.py")
        command = self.host.command("python3", script, "watch", str(seconds), user=AGENT)
        return Process("watch", command, folder / "watch.log")

    def _run(self, user: str, *arguments: str) -> Any:
        script = str(SOURCE / "tests/systemd/inside.py")
        return json.loads(self.host.run("python3", script, *arguments, user=user).stdout)


def types(watch: Process) -> list[str]:
    """Return what a watch has seen."""
    lines = [line for line in watch.output().splitlines() if line.startswith("{")]
    return [json.loads(line)["type"] for line in lines]


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., SystemdHost]]:
    """Make hosts that have booted; they are gone after the test."""
    if reason := why_not():
        pytest.skip(reason)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the hosts have Python 3.11 and borrow the libraries of this environment")
    made: list[SystemdHost] = []

    def make(name: str = "office-pc", **options: Any) -> SystemdHost:
        libraries = Path(sysconfig.get_path("purelib"))
        host = SystemdHost(tmp_path / name, name, libraries=libraries, **options)
        made.append(host)
        host.__enter__()
        host.add_user(AGENT, system_user=True)
        return host

    yield make
    for host in made:
        host.remove()


@pytest.fixture
def bench(make_host: Callable[..., SystemdHost]) -> Bench:
    """A host on which the agent's user may do nothing yet."""
    return Bench(make_host())
