"""A host that updates itself inside its cage, and goes back when that does not work."""

from __future__ import annotations

from contextlib import contextmanager
import functools
import http.server
from pathlib import Path
import threading
from typing import TYPE_CHECKING

from installing import CONFIG, STATE, HostListener, address, drop_in, show
import pytest

from companion_agent import __version__
from stack import releases as broken
from stack.linux_host import LIBRARIES, SOURCE
from stack.process import wait_for
from stack.releases import Maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

pytestmark = pytest.mark.proves("agent.update")

SHARE = Path("/srv/pilot")
# Its half, in which a release has to stay, is longer than the three seconds of one that does not.
TRIAL = 20
# As the package's, with the checkout in the place of the installed files.
PROGRAM = f"""\
#!/usr/bin/python3 -I
import sys

sys.path[:0] = ["{SOURCE}", "{LIBRARIES}"]

from companion_agent.cli import main

sys.exit(main())
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as an index, with the releases below the project's name."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def install(host: SystemdHost, program: str) -> None:
    """Put the program where people's installations have it."""
    host.write("/usr/local/bin/pilot-agent", program)
    host.run("chmod", "755", "/usr/local/bin/pilot-agent")


def configure(host: SystemdHost, maker: Maker, source: str) -> None:
    """Say in the configuration where releases come from, and whose signature counts."""
    update = f"update: {{source: {source}, keys: ['{maker.key}'], trial: {TRIAL}}}"
    host.run("sed", "-i", "/^update:/d", CONFIG)
    host.run("sh", "-c", f'echo "{update}" >> {CONFIG}')
    host.run("systemctl", "restart", "pilot-agent")


def update(host: SystemdHost, *arguments: str) -> str:
    """Update, and return what went wrong."""
    return host.run("pilot-agent", "update", *arguments, check=False, timeout=100).stderr


def test_bad_releases_never_leave_a_host_without_an_agent(
    make_agent_host: Callable[..., SystemdHost],
    broker: Mosquitto,
    listener: HostListener,
    tmp_path: Path,
) -> None:
    maker = Maker(tmp_path / "share")
    host = make_agent_host(binds={SHARE: maker.folder})
    install(host, PROGRAM)
    host.run("pilot-agent", "setup", "--yes", "--broker", address(broker))
    configure(host, maker, str(SHARE))
    listener.announce(lambda said: "cannot" not in said.get("update", {"cannot": True}))
    pid = show(host, "MainPID")
    listener.forget()

    # More ends than the unit allows starts, in less than its ten minutes.
    twice, soon = "it ended 2 times before it was online", "it ended soon after it was online"
    for version, modules, why in (
        ("99.0.0", broken.CRASHES, twice),
        ("99.1.0", broken.ENDS, twice),
        ("99.2.0", broken.CRASHES, twice),
        ("99.3.0", broken.DIES, soon),
        ("99.4.0", broken.DIES, soon),
    ):
        maker.make(version, modules)
        assert f"version {version} was left again: {why}; {__version__} runs" in update(host)
        failed = {"version": version, "reason": why}
        listener.announce(lambda said, failed=failed: said["update"].get("failed") == failed)

    assert host.run("systemctl", "is-failed", "pilot-agent", check=False).returncode
    assert [show(host, name) for name in ("ActiveState", "NRestarts", "MainPID")] == [
        *("active", "0", pid),
    ]
    # Between two versions it is off, and never lost.
    assert listener.availability == 5 * ["off", "online"]

    # A power cut during a trial that is never passed.
    maker.make("99.5.0", broken.HANGS)
    host.run("sh", "-c", "pilot-agent update > /dev/null 2>&1 &")
    on_trial = ("grep", "-q", '"starts": 1', f"{STATE}/releases/state.json")
    wait_for(lambda: host.run(*on_trial, check=False).returncode == 0, "the trial", timeout=60)
    host.kill()
    listener.forget()
    host.boot()
    said = listener.announce(lambda said: "failed" in said["update"])
    assert said["update"]["failed"]["version"] == "99.5.0"
    assert (show(host, "ActiveState"), show(host, "NRestarts")) == ("active", "0")

    # One that passes its trial, and never starts again: fewer ends than the unit allows.
    drop_in(host, "[Service]\nRestartSec=1\n")
    maker.make("99.6.0", broken.STARTS_ONCE)
    assert update(host) == ""
    listener.announce(lambda said: said["agent"]["version"] == "99.6.0")
    host.run("systemctl", "restart", "pilot-agent", check=False)
    failed = {"version": "99.6.0", "reason": "it ended 4 times soon after its start"}
    listener.announce(lambda said: said["update"].get("failed") == failed)
    assert (show(host, "ActiveState"), show(host, "NRestarts")) == ("active", "4")


def test_a_host_updates_itself_and_goes_back(
    make_agent_host: Callable[..., SystemdHost],
    broker: Mosquitto,
    listener: HostListener,
    tmp_path: Path,
) -> None:
    maker = Maker(tmp_path / "index" / "pilot-agent")
    host = make_agent_host(binds={SHARE: maker.folder})
    install(host, PROGRAM)
    host.run("pilot-agent", "setup", "--yes", "--broker", address(broker))
    drop_in(host, "[Service]\nRestartSec=1\n")
    listener.wait()
    assert "trusts no key" in listener.announce(lambda said: "update" in said)["update"]["cannot"]

    # From a file share, without root and without a new process.
    configure(host, maker, str(SHARE))
    listener.announce(lambda said: "cannot" not in said["update"])
    pid = show(host, "MainPID")
    maker.make("99.0.0")
    assert update(host) == ""
    listener.announce(lambda said: said["agent"]["version"] == "99.0.0")
    assert show(host, "MainPID") == pid
    assert show(host, "StatusText") == f"Connected to {address(broker)}"
    owner = host.run("stat", "-c", "%U", "/var/lib/pilot-agent/releases/99.0.0").stdout.strip()
    assert owner == "pilot-agent"

    # What crashes and what hangs is left again, and said.
    for version, modules, why in (
        ("99.1.0", broken.CRASHES, "it ended 2 times before it was online"),
        ("99.2.0", broken.HANGS, f"it was not online within {TRIAL} s"),
    ):
        maker.make(version, modules)
        assert f"version {version} was left again: {why}; 99.0.0 runs" in update(host)
        failed = {"version": version, "reason": why}
        # The one before is still told until the agent that came back has announced itself.
        said = listener.announce(lambda said, failed=failed: said["update"].get("failed") == failed)
        assert said["agent"]["version"] == "99.0.0"
    assert show(host, "ActiveState") == "active"

    # From an index; a damaged wheel there changes nothing.
    with served(tmp_path / "index") as index:
        configure(host, maker, index)
        listener.announce(lambda said: said["update"]["source"] == "index")
        wheel = maker.make("99.3.0")
        good = wheel.read_bytes()
        wheel.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert "its hash differs" in update(host)
        wheel.write_bytes(good)
        assert update(host) == ""
    said = listener.announce(lambda said: said["agent"]["version"] == "99.3.0")
    assert "failed" not in said["update"]

    # A power cut: it comes back as what it was.
    host.kill()
    listener.forget()
    host.boot()
    listener.wait()
    assert listener.announce()["agent"]["version"] == "99.3.0"

    assert update(host, "--back") == ""
    listener.announce(lambda said: said["agent"]["version"] == "99.0.0")

    # A package that brings something newer takes over.
    packaged = 'import companion_agent\ncompanion_agent.__version__ = "99.9.0"\n'
    install(host, PROGRAM.replace("from", f"{packaged}from", 1))
    host.run("systemctl", "restart", "pilot-agent")
    listener.announce(lambda said: said["agent"]["version"] == "99.9.0")
