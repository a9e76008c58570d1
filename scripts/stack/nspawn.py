"""Hosts that really boot and shut down: Debian with systemd, D-Bus, logind and polkit.

Containers of systemd-nspawn, on Linux as root. Each host has its own disk, an overlay over a
root that is built once; what it writes there stays from boot to boot. Its network is that of
this machine, or a :class:`stack.netns.Network` whose cable can be pulled.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from . import system
from .console import StackError, say
from .locks import file_lock
from .paths import ROOT, cache_dir
from .process import Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from .netns import Network

SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "polkitd",
    "python3",
    "python3-venv",
)
"""What every host has installed, besides the essential packages."""

_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nsenter": "util-linux",
}

# How systemd-nspawn ends when whoever started it is to boot the container again.
_REBOOTS = 133

SOURCE = Path("/opt/pilot/source")
LIBRARIES = Path("/opt/pilot/libraries")
"""Where hosts see the checkout and the agent's libraries, both read-only."""


def why_not() -> str:
    """Say why this machine cannot have such hosts; empty when it can."""
    if sys.platform != "linux":
        return "systemd hosts need Linux"
    if os.geteuid() != 0:
        return "only root may boot systemd hosts"
    missing = [package for tool, package in _TOOLS.items() if _which(tool) is None]
    if missing and not system.can_apt_install():
        return f"not installed: {' '.join(missing)}"
    return ""


def base_root() -> Path:
    """Return a Debian to boot; the first call downloads it (a minute, 340 MB).

    Raises:
        StackError: It cannot be had here.

    """
    if reason := why_not():
        raise StackError(reason)
    _install_tools()
    digest = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:8]
    root = cache_dir() / "roots" / f"debian-{SUITE}-{digest}"
    with file_lock(cache_dir() / "locks" / root.name, "a Debian to boot"):
        if not root.exists():
            _build(root)
    return root


def _install_tools() -> None:
    missing = [package for tool, package in _TOOLS.items() if _which(tool) is None]
    if missing:
        system.apt_install(missing)


def _build(root: Path) -> None:
    say(f"building a Debian {SUITE} to boot, once (a minute)")
    part = root.with_name(root.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    mirror = system.debian_mirror()
    if mirror is None:
        raise StackError("hosts are built from Debian's packages: this is no Debian")
    include = ",".join(PACKAGES)
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={include}",
        SUITE,
        str(part),
        mirror,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise StackError(f"debootstrap failed:\n{tail}")
    # Every host draws its own identity at its first boot.
    (part / "etc" / "machine-id").write_text("", encoding="utf-8")
    (part / "var" / "lib" / "dbus" / "machine-id").unlink(missing_ok=True)
    (part / "var" / "log" / "journal").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part / "var" / "cache" / "apt" / "archives", ignore_errors=True)
    part.rename(root)


@dataclass(frozen=True)
class Done:
    """What a command inside a host came to."""

    returncode: int
    stdout: str
    stderr: str


class SystemdHost:
    """A Debian that boots.

    >>> with SystemdHost(folder, "office-pc") as host:  # doctest: +SKIP
    ...     host.run("systemctl", "poweroff")
    ...     host.wait_until_off()
    ...     host.boot()

    Args:
        folder: For its disk and its log. It must lie on a file system that an overlay can
            write to, which temporary folders on a disk or in memory do.
        name: Its host name.
        network: Its network; that of this machine when it is not given.
        libraries: The ``site-packages`` of an environment for Python 3.11 that has the agent's
            libraries; mounted at :data:`LIBRARIES`.
        binds: More folders of this machine to show inside, read-only, by their place there.

    """

    def __init__(
        self,
        folder: Path,
        name: str = "office-pc",
        *,
        network: Network | None = None,
        libraries: Path | None = None,
        binds: Mapping[Path, Path] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.root = folder / "root"
        self.network = network
        self._binds = {SOURCE: ROOT, **(binds or {})}
        if libraries is not None:
            self._binds[LIBRARIES] = libraries
        self._leader: int | None = None
        self._process = Process(
            f"systemd host {name}",
            self._command(),
            folder / "console.log",
            stop_timeout=30,
        )

    def __enter__(self) -> Self:
        try:
            self._make_disk()
            self.boot()
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

    @property
    def running(self) -> bool:
        """Whether it is on."""
        return self._process.running

    @property
    def path(self) -> Path:
        """Where its files are, seen from this machine, whether or not it is on."""
        return self.root

    def boot(self, timeout: float = 60) -> None:
        """Switch it on and wait until it is up."""
        self._leader = None
        self._process.start()
        wait_for(self.up, f"{self.name} to be up", timeout=timeout, process=self._process)

    def up(self) -> bool:
        """Tell whether it has booted and reached its default target."""
        if not self.running or not self._find_leader():
            return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def wait_until_off(self, timeout: float = 30) -> None:
        """Wait until it has shut itself down.

        Raises:
            StackError: It did not, or it reboots.

        """
        if self._end(timeout) == _REBOOTS:
            raise StackError(f"{self.name} reboots instead of shutting down")

    def wait_until_rebooted(self, timeout: float = 60) -> None:
        """Wait until it has shut itself down to reboot, and boot it.

        Raises:
            StackError: It did not, or it stays off.

        """
        if (code := self._end(timeout)) != _REBOOTS:
            raise StackError(f"{self.name} went off ({code}) instead of rebooting")
        self.boot(timeout)

    def _end(self, timeout: float) -> int:
        code = self._process.wait(timeout)
        self._leader = None
        return code

    def power_off(self) -> None:
        """Switch it off as its power button would."""
        self._process.stop()

    def kill(self) -> None:
        """Pull its plug."""
        leader = self._leader
        self._process.kill()
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
        self._leader = None

    def remove(self) -> None:
        """Pull its plug and unmount its disk; nothing of it runs any more."""
        self.kill()
        subprocess.run(["umount", "--lazy", str(self.root)], capture_output=True, check=False)

    def run(
        self,
        *command: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> Done:
        """Run a command inside.

        Args:
            *command: The command.
            user: Who runs it; root when it is not given.
            env: More environment variables.
            check: Whether failing is an error.
            timeout: In seconds.

        Raises:
            StackError: It failed or did not end in time.

        """
        try:
            done = subprocess.run(
                self.command(*command, user=user, env=env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StackError(
                f"{self.name}: {command[0]} did not end within {timeout:g} s"
            ) from None
        if check and done.returncode:
            raise StackError(
                f"{self.name}: {' '.join(command)} ended with {done.returncode}:\n"
                f"{done.stdout}{done.stderr}"
            )
        return Done(done.returncode, done.stdout, done.stderr)

    def command(
        self, *command: str, user: str | None = None, env: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return what runs a command inside, for a :class:`stack.process.Process`.

        Raises:
            StackError: It is off.

        """
        leader = self._find_leader()
        if leader is None:
            raise StackError(f"{self.name} is off")
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{SOURCE}:{LIBRARIES}",
            **(env or {}),
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        enter = [_which("nsenter") or "nsenter", "--target", str(leader), "--all"]
        return [*enter, "--", "/usr/bin/env", "-i", *settings, *become, *command]

    def add_user(self, name: str, *, system_user: bool = False) -> None:
        """Make a user."""
        options = ["--system"] if system_user else ["--create-home", "--shell", "/bin/bash"]
        self.run("useradd", *options, name)

    def log_in(self, user: str, *, kind: str = "wayland", seat: str = "seat0") -> str:
        """Log a user in as a login manager would, and return the unit that keeps the session."""
        unit = f"login-{user}-{kind}.service"
        self.run(
            "systemd-run", f"--unit={unit}", "--quiet", "--collect",
            f"--property=User={user}", "--property=PAMName=login",
            f"--setenv=XDG_SESSION_TYPE={kind}", "--setenv=XDG_SESSION_CLASS=user",
            *([f"--setenv=XDG_SEAT={seat}"] if seat else []),
            "sleep", "infinity",
        )  # fmt: skip
        return unit

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, while it is on."""
        # In one step: who watches the folder must not read half of it, or be refused.
        script = f'cat > "$0.part" && chmod {mode:o} "$0.part" && mv "$0.part" "$0"'
        subprocess.run(
            self.command("sh", "-c", script, path),
            input=text,
            text=True,
            check=True,
            capture_output=True,
        )

    def journal(self, *arguments: str) -> str:
        """Return what was logged inside since it was made, whether or not it is on."""
        done = subprocess.run(
            [
                "journalctl",
                "--no-pager",
                "-q",
                "-D",
                str(self.root / "var/log/journal"),
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def _find_leader(self) -> int | None:
        """Return the process id that its first process has outside."""
        if self._leader is None and self.running:
            pid = self._process.pid
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found = [int(child) for child in children if _has_started(int(child))]
                self._leader = found[0] if found else None
        return self._leader

    def _make_disk(self) -> None:
        base = base_root()
        for name in ("root", "changes", "work"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={base},upperdir={self.folder}/changes,workdir={self.folder}/work"
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"no overlay on {self.folder}: {done.stderr.strip()}")
        (self.root / "etc" / "hostname").write_text(f"{self.name}\n", encoding="utf-8")

    def _command(self) -> Sequence[str]:
        network = (
            [f"--network-namespace-path=/run/netns/{self.network.name}"] if self.network else []
        )
        return [
            _which("systemd-nspawn") or "systemd-nspawn",
            "--quiet",
            "--boot",
            f"--directory={self.root}",
            # Two test runs may both have an office-pc.
            f"--machine=pilot-{os.getpid()}-{id(self) % 100000}",
            "--register=no",
            "--keep-unit",
            "--console=read-only",
            "--resolv-conf=off",
            "--timezone=off",
            *network,
            *(f"--bind-ro={outside}:{inside}" for inside, outside in self._binds.items()),
        ]


def _which(tool: str) -> str | None:
    return shutil.which(
        tool, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    )


def _has_started(pid: int) -> bool:
    """Tell whether a process is in namespaces of its own already."""
    return Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
