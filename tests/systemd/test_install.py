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
import threading
from typing import TYPE_CHECKING

from conftest import both
from host_processor import HostProcessor
from installing import (
    CONFIG,
    DEPLOY,
    DIST,
    NEWER,
    STATE,
    UV,
    WHEELS,
    HostListener,
    add,
    address,
    drop_in,
    install,
    left_behind,
    show,
)
import pytest

from companion_agent import __version__
from stack import system, toolchain
from stack.broker import Mosquitto
from stack.console import StackError
from stack.netns import Network
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.nspawn import SystemdHost


# Until it has shown its code.
PAIR = """\
pilot-agent pair > /run/pair &
while kill -0 $! && ! grep -qE '[0-9]{4} [0-9]{4}' /run/pair; do sleep 0.2; done
kill $!
cat /run/pair
"""


@pytest.fixture
def installed(
    make_packaged_host: Callable[..., SystemdHost], broker: Mosquitto, listener: HostListener
) -> SystemdHost:
    """A host with the package, set up and online."""
    host = make_packaged_host()
    host.run("pilot-agent", "setup", "--yes", "--broker", address(broker))
    listener.wait()
    return host


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


def test_rpmlint_misses_the_signature_alone(dist: Path) -> None:
    if not shutil.which("rpmlint") or not list(dist.glob("*.rpm")):
        pytest.skip("rpmlint or rpmbuild is not installed")
    (package,) = dist.glob(f"*-{__version__}-1.*.rpm")
    done = subprocess.run(["rpmlint", str(package)], capture_output=True, text=True, check=False)
    found = re.findall(r": E: (\S+)", done.stdout)
    # Packages are signed when they are released.
    assert found == ["no-signature"]


# --- The package, from nothing to nothing ----------------------------------------------------


@both
def test_life_of_a_package(
    make_host: Callable[..., SystemdHost],
    dist: Path,
    broker: Mosquitto,
    listener: HostListener,
    tmp_path: Path,
) -> None:
    host = make_host(binds={DIST: dist})
    processor = HostProcessor(host, tmp_path / "tree")
    before = left_behind(host)
    assert "sudo pilot-agent setup" in install(host, __version__)
    assert show(host, "ActiveState") == "inactive"

    # One command, and Home Assistant knows the host.
    said = host.run("pilot-agent", "setup", "--yes", "--broker", address(broker)).stdout
    assert "service started" in said
    listener.wait()
    assert show(host, "StatusText") == f"Connected to {address(broker)}"

    # What it reports from its cage is what root sees outside; of updates each says so when the
    # package manager has answered it.
    seen = json.loads(host.run("pilot-agent", "read", "--json").stdout)
    announce = listener.announce(lambda body: body.get("commands"))
    outside = set(seen["readings"])
    inside = {reading["key"] for reading in announce["readings"]}
    assert {key for key in inside ^ outside if not key.startswith("updates.")} == set()
    assert {command["key"] for command in announce["commands"]} >= {"power.shutdown"}
    assert not any("missing" in command for command in announce["commands"])

    # Only root and the service read its files, and only root changes the configuration.
    modes = host.run("stat", "-c", "%a %U %G", "/etc/pilot-agent", CONFIG, STATE).stdout
    assert modes.splitlines() == [
        "750 root pilot-agent",
        "640 root pilot-agent",
        "700 pilot-agent pilot-agent",
    ]
    rated = host.run("systemd-analyze", "security", "--no-pager", "pilot-agent", check=False)
    level = re.search(r"Overall exposure level .*: ([\d.]+)", rated.stdout)
    assert level
    # 0.5 of it is PrivateUsers=, which would hide the users that session helpers run as.
    assert float(level[1]) <= 2.1
    verified = host.run("systemd-analyze", "verify", "pilot-agent.service", check=False)
    assert "pilot-agent" not in verified.stderr

    # The code for Home Assistant, with the libraries that only pairing needs.
    pairing = host.run("sh", "-c", PAIR).stdout
    assert re.search(r"\b\d{4} \d{4}\b", pairing)

    # A second time nothing has to be done, and nothing is.
    pid = show(host, "MainPID")
    again = host.run("pilot-agent", "setup", "--yes").stdout
    assert "Nothing had to be changed." in again
    assert show(host, "MainPID") == pid

    # After a reboot it is the same host.
    host.run("systemctl", "reboot", "--no-block")
    listener.wait("off")
    listener.forget()
    host.wait_until_rebooted()
    listener.wait()
    assert listener.announce()["host"]["id"] == announce["host"]["id"]

    # Root sets its processor.
    processor.mount()
    assert processor.ask("governor powersave\\n") == "ok"

    # An upgrade keeps the configuration, and goes on with what runs.
    host.run("sh", "-c", f"echo '# mine' >> {CONFIG}")
    listener.forget()
    install(host, NEWER)
    listener.announce(lambda said: said["agent"]["version"] == NEWER)
    assert "# mine" in host.run("cat", CONFIG).stdout
    # The agent has started anew, and what root runs for it with it.
    assert processor.read("scaling_governor") == "ondemand"
    assert processor.ask("governor powersave\\n") == "ok"
    host.run("systemctl", "stop", "pilot-agent")
    install(host, NEWER)
    assert (show(host, "ActiveState"), processor.socket()) == ("inactive", "inactive")
    assert processor.read("scaling_governor") == "ondemand"

    # Removing leaves what is the user's; purging leaves nothing.
    host.run("systemctl", "start", "pilot-agent")
    assert processor.ask("governor powersave\\n") == "ok"
    host.run("dpkg", "--remove", "pilot-agent")
    listener.wait("off")
    assert processor.read("scaling_governor") == "ondemand"
    host.run("test", "-e", CONFIG)
    host.run("dpkg", "--purge", "pilot-agent")
    assert left_behind(host) == before
    assert host.run("getent", "passwd", "pilot-agent", check=False).returncode
    assert host.run("systemctl", "--failed", "--no-legend").stdout == ""


# --- The script --------------------------------------------------------------------------------


# Six virtual environments, each ten seconds of a processor or more.
@pytest.mark.timeout(600)
def test_life_of_a_scripted_installation(
    make_host: Callable[..., SystemdHost], wheels: Path, broker: Mosquitto, listener: HostListener
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
    listener.wait()
    assert listener.announce()["host"]["name"] == "Office"
    units = host.run("systemctl", "cat", "pilot-agent", "pilot-agent-smart").stdout
    assert "ExecStart=/usr/local/bin/pilot-agent run" in units
    # They outlive the release that wrote them.
    assert "/opt/pilot-agent/releases" not in units

    # Again, it ends at the same place, with the service on the new release.
    listener.forget()
    assert "Nothing had to be changed." in host.run("sh", script, *arguments).stdout
    listener.announce()
    update = f"{DEPLOY}/update.sh"
    host.run("sh", update, "--from", str(WHEELS))
    assert len(host.run("ls", "/opt/pilot-agent/releases").stdout.split()) == 2
    listener.wait()

    # A version that does not start gives way to the one before.
    program = ("readlink", "-f", "/usr/local/bin/pilot-agent")
    runs = host.run(*program).stdout
    drop_in(host, "[Service]\nExecStartPre=/bin/sh -c '! test -e /run/broken'\n")
    host.run("touch", "/run/broken")
    broken = host.run("sh", update, "--from", str(WHEELS), check=False)
    assert broken.returncode
    assert "undoing" in broken.stdout
    assert host.run(*program).stdout == runs
    host.run("rm", "/run/broken")
    host.run("systemctl", "reset-failed", "pilot-agent")
    host.run("systemctl", "restart", "pilot-agent")

    host.run("sh", script, "--uninstall", "--no-purge")
    host.run("test", "-e", CONFIG)
    host.run("sh", script, "--from", str(WHEELS), "--", "--yes")
    host.run("sh", script, "--uninstall", "--purge")
    assert left_behind(host) == before


@pytest.mark.parametrize(
    ("suite", "way"), [("bookworm", "uv"), ("trixie", "pipx")], indirect=["suite"]
)
def test_a_tool_in_an_environment_of_its_own(
    make_host: Callable[..., SystemdHost],
    wheels: Path,
    broker: Mosquitto,
    listener: HostListener,
    way: str,
) -> None:
    host = make_host(binds={WHEELS: wheels, UV: Path(toolchain.uv()).parent})
    before = left_behind(host)
    program = "pilot-agent[i2c,setup,sound,update]"
    if way == "uv":
        # In root's home: the service sees the program there, and nothing else.
        offline = ("--offline", "--no-cache", "--no-index", "--find-links", str(WHEELS))
        python = ("--python", "/usr/bin/python3")
        host.run(f"{UV}/uv", "tool", "install", *offline, *python, program)
        called = "/root/.local/bin/pilot-agent"
    else:
        add(host, "pipx")
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
        host.run("pipx", "install", "--global", program, env=index, timeout=120)
        called = "pilot-agent"
    host.write("/root/secret", "for no other user", mode=0o644)
    host.run(called, "setup", "--yes", "--broker", address(broker))
    listener.wait()
    pid = show(host, "MainPID")
    seen = host.run("nsenter", "--target", pid, "--mount", "ls", "-A", "/root").stdout.split()
    assert way == "pipx" or seen == [".local"]
    host.run(called, "setup", "--remove", "--purge")
    if way == "uv":
        host.run(f"{UV}/uv", "tool", "uninstall", "pilot-agent")
    else:
        host.run("pipx", "uninstall", "--global", "pilot-agent")
    assert left_behind(host) == before


# --- The other package -------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["trixie"], indirect=True)
def test_life_of_an_rpm(
    make_host: Callable[..., SystemdHost],
    dist: Path,
    broker: Mosquitto,
    listener: HostListener,
    tmp_path: Path,
) -> None:
    """On a Debian, whose rpm knows no dependencies; files, scriptlets and service are the same."""
    if not list(dist.glob("*.rpm")):
        pytest.skip("rpmbuild is not installed")
    host = make_host(binds={DIST: dist})
    processor = HostProcessor(host, tmp_path / "tree")
    add(host, "rpm")
    before = left_behind(host)
    machine = os.uname().machine
    rpm = ("rpm", "--nodeps", "--quiet")
    host.run(*rpm, "--install", f"{DIST}/pilot-agent-{__version__}-1.{machine}.rpm")
    assert show(host, "ActiveState") == "inactive"
    host.run("pilot-agent", "setup", "--yes", "--broker", address(broker))
    listener.wait()
    identity = listener.announce()["host"]["id"]
    assert processor.ask("governor powersave\\n") == "ok"
    host.run("sh", "-c", f"echo '# mine' >> {CONFIG}")
    listener.forget()
    host.run(*rpm, "--upgrade", f"{DIST}/pilot-agent-{NEWER}-1.{machine}.rpm")
    announce = listener.announce(lambda said: said["agent"]["version"] == NEWER)
    assert announce["host"]["id"] == identity
    assert "# mine" in host.run("cat", CONFIG).stdout
    assert processor.read("scaling_governor") == "ondemand"
    assert processor.ask("governor powersave\\n") == "ok"
    host.run("rpm", "--erase", "pilot-agent")
    listener.wait("off")
    assert (processor.socket(), processor.read("scaling_governor")) == ("inactive", "ondemand")
    host.run("test", "-e", CONFIG)
    host.run("rm", "-r", "/etc/pilot-agent", STATE, "/etc/polkit-1/rules.d/50-pilot-agent.rules")
    assert left_behind(host) == before
    assert host.run("systemctl", "--failed", "--no-legend").stdout == ""


# --- A container with a /proc of its own -------------------------------------------------------


def test_the_service_sees_the_memory_of_its_container(
    make_packaged_host: Callable[..., SystemdHost], broker: Mosquitto, listener: HostListener
) -> None:
    host = make_packaged_host()
    # As lxcfs does in a container of LXC.
    change = "s/^MemTotal:.*/MemTotal: 524288 kB/"
    host.run("sh", "-c", f"sed '{change}' /proc/meminfo > /root/meminfo")
    host.run("mount", "--bind", "/root/meminfo", "/proc/meminfo")

    said = host.run("pilot-agent", "setup", "--yes", "--broker", address(broker)).stdout
    listener.wait()
    seen = checks_of(host)

    drop_in_file = "/etc/systemd/system/pilot-agent.service.d/pilot-container.conf"
    assert drop_in_file in said
    assert seen["service"]["verdict"] == "ok", seen["service"]

    # Without it the difference is named, and the way out.
    host.run("rm", drop_in_file)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "pilot-agent")
    differs = wait_for(
        lambda: "memory.total" in (check := checks_of(host)["service"])["detail"] and check,
        "the difference",
        timeout=60,
    )
    assert "this shell 512.0 MiB" in differs["detail"]
    assert "sudo pilot-agent setup" in differs["hint"]
    host.run("pilot-agent", "setup", "--yes")
    wait_for(lambda: checks_of(host)["service"]["verdict"] == "ok", "the same sight", timeout=60)


def checks_of(host: SystemdHost) -> dict[str, dict[str, str]]:
    """Return what `doctor` finds, by name."""
    checks = json.loads(host.run("pilot-agent", "doctor", "--json", check=False).stdout)
    return {"service": {"verdict": "", "detail": ""}} | {check["name"]: check for check in checks}


# --- Setup says what is wrong ------------------------------------------------------------------


def test_setup_explains_and_keeps_secrets(
    make_packaged_host: Callable[..., SystemdHost], tmp_path: Path
) -> None:
    host = make_packaged_host()
    unanswered = host.run("pilot-agent", "setup", "--yes", "--broker", "127.0.0.1:1", check=False)
    assert (unanswered.returncode, "nothing listens on port 1" in unanswered.stdout) == (1, True)
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
        # What was added by hand stays when the broker moves.
        host.run("sh", "-c", f"printf 'name: Office # mine\\n' >> {CONFIG}")
        with Mosquitto(tmp_path / "other") as other:
            host.run("pilot-agent", "setup", "--yes", "--broker", address(other))
        assert "name: Office # mine" in host.run("cat", CONFIG).stdout
        assert str(other.port) in host.run("cat", CONFIG).stdout


# --- What goes wrong later -----------------------------------------------------------------------


def test_broken_configuration_and_hanging_agent(
    installed: SystemdHost, listener: HostListener
) -> None:
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
        "lock is not a plain file; delete it"
        in host.run("systemctl", "status", "pilot-agent", check=False).stdout
    )
    host.run("rmdir", f"{STATE}/lock")
    # One that hangs is noticed and started anew.
    drop_in(host, "[Service]\nWatchdogSec=2\n")
    host.run("systemctl", "reset-failed", "pilot-agent")
    host.run("systemctl", "start", "pilot-agent")
    # It is left alone while it gives signs of life.
    began = int(show(host, "ActiveEnterTimestampMonotonic"))
    wait_for(
        lambda: int(show(host, "WatchdogTimestampMonotonic")) - began > 3_000_000,
        "signs of life for longer than they may be missed",
        timeout=60,
    )
    pid = show(host, "MainPID")
    assert show(host, "NRestarts") == "0"
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", "pilot-agent")
    wait_for(lambda: show(host, "MainPID") not in {pid, "0"}, "a new start", timeout=30)
    assert "watchdog" in host.journal("-u", "pilot-agent").lower()


@both
def test_disk_full_and_root_read_only(installed: SystemdHost, listener: HostListener) -> None:
    host = installed
    # The state on a small disk of its own, which fills up under a running agent.
    host.run("systemctl", "stop", "pilot-agent")
    mount = f"mount -t tmpfs -o size=64k,mode=0700 tmpfs {STATE}"
    host.run("sh", "-c", f"cp -a {STATE} /root/state && {mount} && cp -a /root/state/. {STATE}")
    host.run("chown", "pilot-agent:", STATE)
    host.run("systemctl", "start", "pilot-agent")
    listener.wait()
    identity = listener.announce()["host"]["id"]
    host.run("sh", "-c", f"dd if=/dev/zero of={STATE}/filler bs=1k 2>/dev/null || true")
    listener.forget()
    wait_for(lambda: listener.last("state"), "readings in spite of that", timeout=60)
    assert show(host, "ActiveState") == "active"
    # Started on a full disk it reports, or says that it cannot; and comes back by itself.
    listener.forget()
    drop_in(host, "[Service]\nRestartSec=2\n")
    host.run("systemctl", "restart", "pilot-agent", check=False)
    wait_for(
        lambda: (
            listener.availability[-1:] == ["online"]
            or "No space left" in host.journal("-u", "pilot-agent")
        ),
        "the agent, or why it cannot start",
        timeout=60,
    )
    host.run("rm", f"{STATE}/filler")
    listener.wait()
    assert listener.announce()["host"]["id"] == identity
    # Where nothing can be written, as on a read-only root, the state's own disk is all it needs.
    for folder in ("/etc", "/usr", "/var/lib"):
        host.run("mount", "--rbind", folder, folder)
        host.run("mount", "-o", "remount,bind,ro", folder)
    listener.forget()
    host.run("systemctl", "restart", "pilot-agent")
    listener.wait()
    assert listener.announce()["host"]["id"] == identity
    refused = host.run("pilot-agent", "setup", "--yes", "--name", "Other", check=False)
    assert refused.returncode == 1
    assert "Read-only file system" in refused.stderr


def test_power_cut_while_it_writes(installed: SystemdHost, listener: HostListener) -> None:
    host = installed
    before = listener.announce()
    for _ in range(2):
        # Every start writes: the lock, the number of starts.
        stop = threading.Event()
        worker = threading.Thread(target=restart_forever, args=(host, stop))
        worker.start()
        for _ in range(2):
            number = starts(host)
            wait_for(
                lambda number=number: starts(host) not in {0, number},
                "a start",
                interval=0.02,
                timeout=60,
            )
        host.kill()
        stop.set()
        worker.join()
        listener.forget()
        host.boot()
        listener.wait()
        after = listener.announce()
        assert after["host"]["id"] == before["host"]["id"]
        assert after["sequence"] > before["sequence"]


def starts(host: SystemdHost) -> int:
    """Return the number of the agent's last start, as its state folder has it."""
    try:
        return int((host.path / STATE.lstrip("/") / "starts").read_text())
    except (OSError, ValueError):  # While it is written anew.
        return 0


def restart_forever(host: SystemdHost, stop: threading.Event) -> None:
    drop_in(host, "[Unit]\nStartLimitIntervalSec=0\n")
    while not stop.is_set():
        with suppress(StackError):
            host.run("systemctl", "restart", "pilot-agent", check=False)


@both
def test_boots_without_network_and_without_broker(
    make_packaged_host: Callable[..., SystemdHost], tmp_path: Path
) -> None:
    if not Network.available():
        pytest.skip("no network namespaces here")
    system.require("mosquitto")
    with Network() as network:
        bind = ("127.0.0.1", network.gateway)
        with Mosquitto(tmp_path / "broker", bind=bind) as broker:
            listener = HostListener(broker)
            host = make_packaged_host(network=network)
            there = address(broker, network.gateway)
            host.write("/root/more.yaml", "backlog: {write_interval: 1}\n")
            more = ("--settings", "/root/more.yaml")
            host.run("pilot-agent", "setup", "--yes", "--broker", there, *more)
            listener.wait()
            host.power_off()
            listener.forget()
            network.cut()
            host.boot()
            assert show(host, "ActiveState") == "active"
            wait_for(lambda: "Not connected" in show(host, "StatusText"), "the trouble told")
            network.heal()
            listener.wait(timeout=60)
            host.power_off()
            broker.stop()
            host.boot()
            assert show(host, "ActiveState") == "active"
            wait_for(
                lambda: "nothing listens on port" in show(host, "StatusText"), "the trouble told"
            )
            kept = ("test", "-s", f"{STATE}/backlog.db")
            wait_for(lambda: host.run(*kept, check=False).returncode == 0, "readings on the disk")
            broker.start()
            wait_for(lambda: "Connected to" in show(host, "StatusText"), "the broker", timeout=60)
            assert listener.backlog()["values"]
            listener.close()
