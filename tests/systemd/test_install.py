"""Installed as people do it, on hosts that boot: package, script, setup, and what goes wrong then.

Each host lives through a story, since booting one is what takes time.
"""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
import pytest

from companion_agent import __version__
from stack import system, toolchain
from stack.broker import Mosquitto
from stack.console import StackError
from stack.netns import Network
from stack.nspawn import SystemdHost, why_not
from stack.paths import ROOT
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEWER = "99.0.0"
DIST = Path("/opt/pilot/dist")
WHEELS = Path("/opt/pilot/wheels")
DEPLOY = "/opt/pilot/source/deploy"
CONFIG = "/etc/pilot-agent/config.yaml"
STATE = "/var/lib/pilot-agent"


class Ear:
    """Hears what hosts say to a broker."""

    def __init__(self, broker: Mosquitto) -> None:
        self._heard: dict[str, bytes] = {}
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("pilot/v2/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        self._heard[message.topic.split("/", 3)[3]] = message.payload

    def forget(self) -> None:
        self._heard.clear()

    def wait(self, availability: str = "online", timeout: float = 40) -> None:
        wait_for(
            lambda: self._heard.get("availability") == availability.encode(),
            f"a host that is {availability}",
            timeout=timeout,
        )

    def announce(self, wanted: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            payload = self._heard.get("announce")
            body: dict[str, Any] = json.loads(payload) if payload else {}
            return body if body and wanted(body) else None

        return wait_for(found, "such an announce", timeout=40)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages of this version and of a newer one, and the first a second time."""
    if reason := why_not():
        pytest.skip(reason)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("once is enough")
    folder = tmp_path_factory.mktemp("dist")
    kinds = ["deb", *(["rpm"] if shutil.which("rpmbuild") else [])]
    builds = [
        subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "deploy/packages.py"),
                "--fast",
                *wanted,
                "--output",
                str(output),
            ],
            env={**toolchain.clean_env(), "UV": toolchain.uv()},
        )
        for wanted, output in (
            (kinds, folder),
            (kinds, folder / "again"),
            (["deb", "--version", NEWER], folder),
        )
    ]
    assert [build.wait(200) for build in builds] == [0, 0, 0]
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a host without a network is installed from."""
    if why_not() or sys.version_info[:2] != (3, 11):
        pytest.skip("no systemd hosts here, or another Python has done it")
    folder = tmp_path_factory.mktemp("wheels")
    uv = toolchain.uv()
    env = toolchain.clean_env()
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)],
        check=True,
        env=env,
    )
    (folder / ".gitignore").unlink(missing_ok=True)
    (agent,) = folder.glob("*.whl")
    subprocess.run(
        [
            *(uv, "tool", "run", "--quiet", "pip", "download", "--quiet", "--dest", str(folder)),
            *("--only-binary", ":all:", "--python-version", "3.11"),
            *(f"--platform=manylinux_2_{minor}_{os.uname().machine}" for minor in (17, 28, 34)),
            f"--platform=manylinux2014_{os.uname().machine}",
            *("--constraint", str(ROOT / "requirements/agent.txt"), f"{agent}[i2c,setup]"),
        ],
        check=True,
        env=env,
    )
    return folder


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    system.require("mosquitto")
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def ear(broker: Mosquitto) -> Iterator[Ear]:
    ear = Ear(broker)
    yield ear
    ear.leave()


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., SystemdHost]]:
    made: list[SystemdHost] = []

    def make(**options: Any) -> SystemdHost:
        host = SystemdHost(tmp_path / f"host{len(made)}", **options)
        made.append(host)
        return host.__enter__()

    yield make
    for host in made:
        host.remove()


@pytest.fixture
def installed(
    make_host: Callable[..., SystemdHost], dist: Path, broker: Mosquitto, ear: Ear
) -> SystemdHost:
    """A host with the package, set up and online."""
    host = make_host(binds={DIST: dist})
    install(host, __version__)
    host.run("pilot-agent", "setup", "--yes", "--broker", address(broker))
    ear.wait()
    return host


def address(broker: Mosquitto, host: str = "") -> str:
    return f"{host or broker.host}:{broker.port}"


def install(host: SystemdHost, version: str) -> str:
    machine = host.run("dpkg", "--print-architecture").stdout.strip()
    return host.run("dpkg", "--install", f"{DIST}/pilot-agent_{version}_{machine}.deb").stdout


def show(host: SystemdHost, name: str) -> str:
    return host.run(
        "systemctl", "show", "--property", name, "--value", "pilot-agent"
    ).stdout.strip()


def drop_in(host: SystemdHost, text: str) -> None:
    folder = "/etc/systemd/system/pilot-agent.service.d"
    host.run("mkdir", "-p", folder)
    host.write(f"{folder}/test.conf", text)
    host.run("systemctl", "daemon-reload")


def left_behind(host: SystemdHost) -> list[str]:
    """Find files that are named after the agent; logs may go on telling of it."""
    found = host.run(
        *("find", "/", "-xdev", "(", "-path", "/opt/pilot", "-o", "-path", "/proc", ")", "-prune"),
        *("-o", "-name", "*pilot-agent*", "-print"),
    ).stdout.split()
    return [path for path in found if not path.startswith(("/var/log/", "/var/lib/systemd/"))]


# --- Building ------------------------------------------------------------------------------


def test_two_builds_are_the_same(dist: Path) -> None:
    packages = [path for path in (dist / "again").iterdir() if path.suffix in {".deb", ".rpm"}]
    assert packages
    for package in packages:
        assert package.read_bytes() == (dist / package.name).read_bytes()


def test_lintian_finds_no_error(dist: Path) -> None:
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    (package,) = dist.glob(f"*_{__version__}_*.deb")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", str(package)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


# --- The package, from nothing to nothing ----------------------------------------------------


def test_life_of_a_package(
    make_host: Callable[..., SystemdHost], dist: Path, broker: Mosquitto, ear: Ear
) -> None:
    host = make_host(binds={DIST: dist})
    before = left_behind(host)
    assert "sudo pilot-agent setup" in install(host, __version__)
    assert show(host, "ActiveState") == "inactive"

    # One command, and Home Assistant knows the host.
    said = host.run("pilot-agent", "setup", "--yes", "--broker", address(broker)).stdout
    assert "service started" in said
    ear.wait()
    assert show(host, "StatusText") == f"Connected to {address(broker)}"

    # What it reports from its cage is what root sees outside.
    seen = json.loads(host.run("pilot-agent", "read", "--json").stdout)
    announce = ear.announce(lambda body: body.get("commands"))
    outside = set(seen["readings"])
    inside = {reading["key"] for reading in announce["readings"]}
    assert inside == outside
    assert {command["key"] for command in announce["commands"]} >= {"power.shutdown"}
    assert not any("missing" in command for command in announce["commands"])

    # Nobody but root and the service reads its files, and only root changes the configuration.
    modes = host.run("stat", "-c", "%a %U %G", "/etc/pilot-agent", CONFIG, STATE).stdout
    assert modes.splitlines() == [
        "750 root pilot-agent",
        "640 root pilot-agent",
        "700 pilot-agent pilot-agent",
    ]
    rated = host.run("systemd-analyze", "security", "--no-pager", "pilot-agent", check=False)
    level = re.search(r"Overall exposure level .*: ([\d.]+)", rated.stdout)
    assert level
    assert float(level[1]) <= 2.0
    verified = host.run("systemd-analyze", "verify", "pilot-agent.service", check=False)
    assert "pilot-agent" not in verified.stderr

    # The code for Home Assistant, with the libraries that only pairing needs.
    pairing = host.run("timeout", "--signal=INT", "4", "pilot-agent", "pair", check=False)
    assert re.search(r"\b\d{4} \d{4}\b", pairing.stdout)

    # A second time nothing has to be done, and nothing is.
    pid = show(host, "MainPID")
    again = host.run("pilot-agent", "setup", "--yes").stdout
    assert "Nothing had to be changed." in again
    assert show(host, "MainPID") == pid

    # After a reboot it is the same host.
    host.run("systemctl", "reboot", "--no-block")
    ear.wait("off")
    ear.forget()
    host.wait_until_rebooted()
    ear.wait()
    assert ear.announce()["host"]["id"] == announce["host"]["id"]

    # An upgrade keeps the configuration, and goes on with what runs.
    host.run("sh", "-c", f"echo '# mine' >> {CONFIG}")
    ear.forget()
    install(host, NEWER)
    assert ear.announce()["agent"]["version"] == NEWER
    assert "# mine" in host.run("cat", CONFIG).stdout
    host.run("systemctl", "stop", "pilot-agent")
    install(host, NEWER)
    assert show(host, "ActiveState") == "inactive"

    # Removing leaves what is the user's; purging leaves nothing.
    host.run("systemctl", "start", "pilot-agent")
    host.run("dpkg", "--remove", "pilot-agent")
    ear.wait("off")
    host.run("test", "-e", CONFIG)
    host.run("dpkg", "--purge", "pilot-agent")
    assert left_behind(host) == before
    assert host.run("getent", "passwd", "pilot-agent", check=False).returncode
    assert host.run("systemctl", "--failed", "--no-legend").stdout == ""


# --- The script --------------------------------------------------------------------------------


def test_life_of_a_scripted_installation(
    make_host: Callable[..., SystemdHost], wheels: Path, broker: Mosquitto, ear: Ear
) -> None:
    host = make_host(binds={WHEELS: wheels})
    before = left_behind(host)
    script = f"{DEPLOY}/install.sh"

    # What cannot work leaves everything as it was, and says why.
    failed = host.run("sh", script, "--from", "/var/empty-folder", check=False)
    assert failed.returncode
    assert "Everything is as it was" in failed.stdout
    assert left_behind(host) == before

    arguments = (
        "--from",
        str(WHEELS),
        "--",
        "--yes",
        "--broker",
        address(broker),
        "--name",
        "Office",
    )
    host.run("sh", script, *arguments)
    ear.wait()
    assert ear.announce()["host"]["name"] == "Office"
    unit = host.run("systemctl", "cat", "pilot-agent").stdout
    assert "ExecStart=/usr/local/bin/pilot-agent run" in unit

    # Again, it ends at the same place, with the service on the new release.
    ear.forget()
    assert "Nothing had to be changed." in host.run("sh", script, *arguments).stdout
    ear.announce()
    update = f"{DEPLOY}/update.sh"
    host.run("sh", update, "--from", str(WHEELS))
    assert len(host.run("ls", "/opt/pilot-agent/releases").stdout.split()) == 2
    ear.wait()

    # A version that does not start gives way to the one before.
    link = host.run("readlink", "/usr/local/bin/pilot-agent").stdout
    drop_in(host, "[Service]\nExecStartPre=/bin/sh -c '! test -e /run/broken'\n")
    host.run("touch", "/run/broken")
    broken = host.run("sh", update, "--from", str(WHEELS), check=False)
    assert broken.returncode
    assert "undoing" in broken.stdout
    assert host.run("readlink", "/usr/local/bin/pilot-agent").stdout == link
    host.run("rm", "/run/broken")
    host.run("systemctl", "reset-failed", "pilot-agent")
    host.run("systemctl", "restart", "pilot-agent")

    host.run("sh", script, "--uninstall", "--no-purge")
    host.run("test", "-e", CONFIG)
    host.run("sh", script, "--from", str(WHEELS), "--", "--yes")
    host.run("sh", script, "--uninstall", "--purge")
    assert left_behind(host) == before


def test_a_program_in_a_home(
    make_host: Callable[..., SystemdHost], wheels: Path, broker: Mosquitto, ear: Ear
) -> None:
    """As pipx and uv install it for root: the service sees it, and nothing else there."""
    host = make_host(binds={WHEELS: wheels})
    home = "/root/.local/share/venvs/pilot-agent"
    host.run("python3", "-m", "venv", home)
    pip = ("-m", "pip", "install", "--quiet", "--no-index", f"--find-links={WHEELS}")
    host.run(f"{home}/bin/python", *pip, "pilot-agent")
    host.write("/root/secret", "for nobody else", mode=0o644)
    host.run(f"{home}/bin/pilot-agent", "setup", "--yes", "--broker", address(broker))
    ear.wait()
    pid = show(host, "MainPID")
    seen = host.run("nsenter", "--target", pid, "--mount", "ls", "-A", "/root").stdout.split()
    assert seen == [".local"]
    host.run(f"{home}/bin/pilot-agent", "setup", "--remove", "--purge")
    assert [path for path in left_behind(host) if not path.startswith("/root")] == []


# --- Setup says what is wrong ------------------------------------------------------------------


def test_setup_explains_and_keeps_secrets(
    make_host: Callable[..., SystemdHost], dist: Path, tmp_path: Path
) -> None:
    host = make_host(binds={DIST: dist})
    install(host, __version__)
    nobody = host.run("pilot-agent", "setup", "--yes", "--broker", "127.0.0.1:1", check=False)
    assert (nobody.returncode, "nothing listens on port 1" in nobody.stdout) == (1, True)
    assert host.run("test", "-e", CONFIG, check=False).returncode
    with Mosquitto(tmp_path / "locked", username="pilot", password="right") as broker:
        login = ("--broker", address(broker), "--username", "pilot", "--password-file", "/root/pw")
        host.write("/root/pw", "wrong\n", mode=0o600)
        refused = host.run("pilot-agent", "setup", "--yes", *login, check=False)
        assert refused.returncode == 1
        assert "it refused the login" in refused.stdout
        host.write("/root/pw", "right\n", mode=0o600)
        host.run("pilot-agent", "setup", "--yes", *login)
        stat = host.run("stat", "-c", "%a %U", "/etc/pilot-agent/broker-password").stdout
        assert stat.split() == ["600", "pilot-agent"]
        assert "right" not in host.run("cat", CONFIG).stdout
        assert (
            "Nothing had to be changed." in host.run("pilot-agent", "setup", "--yes", *login).stdout
        )
        # What somebody added by hand stays when the broker moves.
        host.run("sh", "-c", f"printf 'name: Office # mine\\n' >> {CONFIG}")
        with Mosquitto(tmp_path / "other") as other:
            host.run("pilot-agent", "setup", "--yes", "--broker", address(other))
        assert "name: Office # mine" in host.run("cat", CONFIG).stdout
        assert str(other.port) in host.run("cat", CONFIG).stdout


# --- What goes wrong later -----------------------------------------------------------------------


def test_broken_configuration_and_hanging_agent(installed: SystemdHost, ear: Ear) -> None:
    host = installed
    # Mistakes are said once; trying again would change nothing.
    good = host.run("cat", CONFIG).stdout
    host.write(CONFIG, "broker:\n  hots: x\n", mode=0o644)
    assert host.run("systemctl", "restart", "pilot-agent", check=False).returncode
    assert (show(host, "ActiveState"), show(host, "NRestarts")) == ("failed", "0")
    assert "did you mean host?" in host.journal("-u", "pilot-agent")
    host.write(CONFIG, good, mode=0o644)
    # What fails each time is given up, with its reason in the status.
    drop_in(host, "[Service]\nRestartSec=50ms\n")
    host.run("mv", f"{STATE}/lock", "/root/lock")
    host.run("mkdir", f"{STATE}/lock")
    host.run("systemctl", "reset-failed", "pilot-agent")
    host.run("systemctl", "start", "pilot-agent", check=False)
    wait_for(lambda: show(host, "ActiveState") == "failed", "the end of trying", timeout=30)
    assert int(show(host, "NRestarts")) >= 5
    assert (
        "cannot write to the state folder"
        in host.run("systemctl", "status", "pilot-agent", check=False).stdout
    )
    host.run("rmdir", f"{STATE}/lock")
    # One that hangs is noticed and started anew.
    drop_in(host, "[Service]\nWatchdogSec=2\n")
    host.run("systemctl", "reset-failed", "pilot-agent")
    host.run("systemctl", "start", "pilot-agent")
    time.sleep(4)
    pid = show(host, "MainPID")
    assert show(host, "NRestarts") == "0"
    host.run("systemctl", "kill", "--signal=SIGSTOP", "pilot-agent")
    wait_for(lambda: show(host, "MainPID") not in {pid, "0"}, "a new start", timeout=30)
    assert "watchdog" in host.journal("-u", "pilot-agent").lower()


def test_disk_full_and_root_read_only(installed: SystemdHost, ear: Ear) -> None:
    host = installed
    # The state on a small disk of its own, which fills up under a running agent.
    host.run("systemctl", "stop", "pilot-agent")
    mount = f"mount -t tmpfs -o size=64k,mode=0700 tmpfs {STATE}"
    host.run("sh", "-c", f"cp -a {STATE} /root/state && {mount} && cp -a /root/state/. {STATE}")
    host.run("chown", "pilot-agent:", STATE)
    host.run("systemctl", "start", "pilot-agent")
    ear.wait()
    identity = ear.announce()["host"]["id"]
    host.run("sh", "-c", f"dd if=/dev/zero of={STATE}/filler bs=1k 2>/dev/null || true")
    time.sleep(2)
    assert show(host, "ActiveState") == "active"
    # Started on a full disk it reports, or says that it cannot; and comes back by itself.
    ear.forget()
    drop_in(host, "[Service]\nRestartSec=2\n")
    host.run("systemctl", "restart", "pilot-agent", check=False)
    time.sleep(1)
    host.run("rm", f"{STATE}/filler")
    ear.wait()
    assert ear.announce()["host"]["id"] == identity
    # Where nothing can be written, as on a read-only root, the state's own disk is all it needs.
    for folder in ("/etc", "/usr", "/var/lib"):
        host.run("mount", "--rbind", folder, folder)
        host.run("mount", "-o", "remount,bind,ro", folder)
    ear.forget()
    host.run("systemctl", "restart", "pilot-agent")
    ear.wait()
    assert ear.announce()["host"]["id"] == identity
    refused = host.run("pilot-agent", "setup", "--yes", "--name", "Other", check=False)
    assert refused.returncode == 1
    assert "Read-only file system" in refused.stderr


def test_power_cut_while_it_writes(installed: SystemdHost, ear: Ear) -> None:
    host = installed
    before = ear.announce()
    for _ in range(2):
        # Every start writes: the lock, the number of starts.
        stop = threading.Event()
        worker = threading.Thread(target=restart_forever, args=(host, stop))
        worker.start()
        time.sleep(1.5)
        host.kill()
        stop.set()
        worker.join()
        ear.forget()
        host.boot()
        ear.wait()
        after = ear.announce()
        assert after["host"]["id"] == before["host"]["id"]
        assert after["sequence"] > before["sequence"]


def restart_forever(host: SystemdHost, stop: threading.Event) -> None:
    drop_in(host, "[Unit]\nStartLimitIntervalSec=0\n")
    while not stop.is_set():
        with suppress(StackError):
            host.run("systemctl", "restart", "pilot-agent", check=False)


def test_boots_without_network_and_without_broker(
    make_host: Callable[..., SystemdHost], dist: Path, tmp_path: Path
) -> None:
    if not Network.available():
        pytest.skip("no network namespaces here")
    system.require("mosquitto")
    with Network() as network:
        bind = ("127.0.0.1", network.gateway)
        with Mosquitto(tmp_path / "broker", bind=bind) as broker:
            ear = Ear(broker)
            host = make_host(binds={DIST: dist}, network=network)
            install(host, __version__)
            there = address(broker, network.gateway)
            host.run("pilot-agent", "setup", "--yes", "--broker", there)
            ear.wait()
            host.power_off()
            ear.forget()
            network.cut()
            host.boot()
            assert show(host, "ActiveState") == "active"
            wait_for(lambda: "Not connected" in show(host, "StatusText"), "the trouble told")
            network.heal()
            ear.wait(timeout=60)
            host.power_off()
            broker.stop()
            host.boot()
            assert show(host, "ActiveState") == "active"
            wait_for(
                lambda: "nothing listens on port" in show(host, "StatusText"), "the trouble told"
            )
            broker.start()
            wait_for(lambda: "Connected to" in show(host, "StatusText"), "the broker", timeout=60)
            ear.leave()
