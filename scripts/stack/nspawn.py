"""Hosts that really boot and shut down: Debian with systemd, D-Bus, logind and polkit.

Containers of systemd-nspawn, on Linux as root. Each host has its own disk, an overlay over a
root that is built once; what it writes there stays from boot to boot. Its network is that of
this machine, or a :class:`stack.netns.Network` whose cable can be pulled.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Self

from . import system
from .console import StackError, say
from .linux_host import LIBRARIES, SOURCE, Done, LinuxHost, with_environment
from .locks import file_lock
from .paths import ROOT, cache_dir
from .process import Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from .netns import Network

SUITES = ("bookworm", "trixie")
"""Debian 12 and 13."""
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
STOCK = ("openssh-server", "mosquitto", "rpm", "pipx", "python3-apt")
"""What every host can install with apt although it has no network."""
STOCK_OF = {"trixie": ("sway",)}
"""What hosts of one Debian can install besides; the desktop of Debian 12 cannot switch a screen."""
DESKTOPS = {
    "trixie": (
        "dbus-user-session",
        "sway",
        "mutter",
        "mako-notifier",
        "sway-notification-center",
        "mpv",
        "mpv-mpris",
    )
}
"""What :func:`desktops` installs, where a Debian's desktops do what these tests ask of them."""
LARGE_DESKTOPS = {
    "trixie": ("gnome-shell", "dconf-gsettings-backend", "libglib2.0-bin", "kwin-wayland")
}
"""What :func:`large_desktops` installs besides, which few tests need."""

_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nsenter": "util-linux",
}

# Without a console the first process of Debian 13 takes /dev/null for it, and for itself alone.
_NULL = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/chmod 0666 /dev/null

[Install]
WantedBy=sysinit.target
"""

_OUTSIDE_STAYS = ("--resolv-conf=off", "--timezone=off")
"""Nothing of this machine's settings comes into a host."""

_APT_CACHE = ("var/cache/apt/srcpkgcache.bin", "var/cache/apt/pkgcache.bin")

# The exit status with which systemd-nspawn asks its caller to boot the container again.
_REBOOTS = 133


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


def base_root(suite: str = SUITES[0]) -> Path:
    """Return a Debian to boot; the first call downloads it (a minute, 400 MB).

    Args:
        suite: Which Debian, by its code name.

    Raises:
        StackError: It cannot be had here.

    """
    if reason := why_not():
        raise StackError(reason)
    _install_tools()
    wanted = " ".join((suite, *PACKAGES, *_stock(suite)))
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    root = cache_dir() / "roots" / f"debian-{suite}-{digest}"
    with file_lock(cache_dir() / "locks" / root.name, f"a Debian {suite} to boot"):
        if not root.exists():
            _build(root, suite)
        if not (root / _APT_CACHE[-1]).exists():
            _have_apt_read(root)
    return root


def _have_apt_read(root: Path) -> None:
    """Have a Debian's own apt keep what it reads of its lists, as it has on any Debian.

    Without that each call of it, and an agent's for the updates that wait is one, reads 50 MB and
    needs three seconds of a processor, twice as long.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pilot-apt-", dir=root.parent) as folder,
        disk(Path(folder), root) as mounted,
    ):
        run_unbooted(mounted, "apt-cache", "gencaches")
        for name in _APT_CACHE:
            (Path(folder) / "changes" / name).replace(root / name)


def _stock(suite: str) -> tuple[str, ...]:
    return (*STOCK, *STOCK_OF.get(suite, ()))


def _install_tools() -> None:
    missing = [package for tool, package in _TOOLS.items() if _which(tool) is None]
    if missing:
        system.apt_install(missing)


def _build(root: Path, suite: str) -> None:
    say(f"building a Debian {suite} to boot, once (a minute)")
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
        suite,
        str(part),
        mirror,
    ]
    try:
        _run(command)
        shutil.rmtree(part / "var" / "cache" / "apt" / "archives", ignore_errors=True)
        download(part, _stock(suite))
    except StackError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    # Every host draws its own identity at its first boot.
    (part / "etc" / "machine-id").write_text("", encoding="utf-8")
    (part / "var" / "lib" / "dbus" / "machine-id").unlink(missing_ok=True)
    (part / "var" / "log" / "journal").mkdir(parents=True, exist_ok=True)
    part.rename(root)


def download(root: Path, packages: Sequence[str]) -> None:
    """Have a Debian hold packages, with all that they need, for its own apt to install.

    Raises:
        StackError: They cannot be had.

    """
    for arguments in (("update",), ("-y", "--download-only", "install", *packages)):
        _run([*_apt(root), *arguments])


def _apt(root: Path) -> list[str]:
    """Return this machine's apt, with its own way to the mirror, at work for another root."""
    keyring = root / "usr/share/keyrings/debian-archive-keyring.gpg"
    settings = {
        "Dir::State": root / "var/lib/apt",
        "Dir::State::status": root / "var/lib/dpkg/status",
        "Dir::Cache": root / "var/cache/apt",
        "Dir::Etc::SourceList": root / "etc/apt/sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Trusted": keyring,
        "Dir::Etc::TrustedParts": root / "etc/apt/trusted.gpg.d",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
    }
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    options = [f"{name}={value}" for name, value in settings.items()]
    return ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        # Credentials that a mirror's address may hold stay out of the log.
        tail = re.sub(r"://[^/@\s]+@", "://…@", tail)
        raise StackError(f"no Debian to boot: {command[0]} failed:\n{tail}")


def layer(folder: Path, suite: str, *command: str, binds: Mapping[Path, Path]) -> Path:
    """Run a command on a Debian that is not booted, and return what it has changed.

    Args:
        folder: For the changes.
        suite: Which Debian, by its code name.
        *command: The command.
        binds: Folders of this machine to show inside, read-only, by their place there.

    Raises:
        StackError: It failed.

    """
    with disk(folder, base_root(suite)) as root:
        run_unbooted(root, *command, binds=binds)
    return folder / "changes"


def run_unbooted(
    root: Path,
    *command: str,
    binds: Mapping[Path, Path] | None = None,
    options: Sequence[str] = (),
) -> None:
    """Run a command on a Debian that is not booted.

    Args:
        root: Where its files are.
        *command: The command.
        binds: Folders of this machine to show inside, read-only, by their place there.
        options: More options of systemd-nspawn.

    Raises:
        StackError: It failed.

    """
    done = subprocess.run(
        [
            _which("systemd-nspawn") or "systemd-nspawn",
            *("--quiet", f"--directory={root}", f"--machine=pilot-{os.getpid()}"),
            *("--register=no", "--keep-unit", "--pipe", *_OUTSIDE_STAYS, *_shown(binds or {})),
            *options,
            *command,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def disk(folder: Path, *lower: Path) -> Iterator[Path]:
    """Mount a disk whose changes stay in ``changes``, and give its place.

    Args:
        folder: For the changes, on a file system that an overlay can write to.
        *lower: What it begins with, the uppermost first.

    """
    _mount(folder, *lower)
    try:
        yield folder / "root"
    finally:
        subprocess.run(["umount", str(folder / "root")], check=True)


def desktops(suite: str) -> Path:
    """Return a layer with desktops installed, for any number of hosts at the same time.

    The first call downloads and installs it (two minutes, 700 MB).

    Raises:
        StackError: It cannot be had here.

    """
    return installed("desktops", suite, DESKTOPS[suite])


def large_desktops(suite: str) -> tuple[Path, ...]:
    """Return layers with GNOME's shell and KWin over the other desktops, the uppermost first.

    The first call downloads and installs them (two minutes, 650 MB).

    Raises:
        StackError: They cannot be had here.

    """
    below = desktops(suite)
    return installed("large-desktops", suite, LARGE_DESKTOPS[suite], below), below


def installed(name: str, suite: str, packages: Sequence[str], *over: Path) -> Path:
    """Return a layer with packages installed; the first call downloads and installs them.

    Args:
        name: What they are together.
        suite: Which Debian, by its code name.
        packages: The packages.
        *over: Layers that they are installed over, the uppermost first.

    Raises:
        StackError: They cannot be had here.

    """
    lower = (*over, base_root(suite))
    digest = hashlib.sha256(" ".join((lower[0].name, *packages)).encode()).hexdigest()[:8]
    made = cache_dir() / "roots" / f"{name}-{suite}-{digest}"
    with file_lock(cache_dir() / "locks" / made.name, f"{name} for Debian {suite}"):
        if not made.exists():
            say(f"installing {name} for Debian {suite}, once (two minutes)")
            _install(made, packages, *lower)
    return made


def _install(made: Path, packages: Sequence[str], *lower: Path) -> None:
    part = made.with_name(made.name + ".part")
    # One that was killed left its disk mounted.
    while (part / "root").is_mount():
        subprocess.run(["umount", "--lazy", str(part / "root")], check=True)
    shutil.rmtree(part, ignore_errors=True)
    install = ("apt-get", "-qq", "-y", "--no-install-recommends", "install", *packages)
    try:
        with disk(part, *lower) as root:
            download(root, packages)
        with disk(part, *lower) as root:
            run_unbooted(root, "env", "DEBIAN_FRONTEND=noninteractive", *install)
    except StackError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    changes = part / "changes"
    shutil.rmtree(changes / "var" / "cache" / "apt" / "archives", ignore_errors=True)
    changes.rename(made)
    shutil.rmtree(part)


def _mount(folder: Path, *lower: Path) -> None:
    """Mount a disk at ``root`` whose changes stay in ``changes``."""
    for name in ("root", "changes", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    below = ":".join(str(path) for path in lower)
    layers = f"lowerdir={below},upperdir={folder}/changes,workdir={folder}/work"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", layers, str(folder / "root")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"no overlay on {folder}: {done.stderr.strip()}")


def compile_agent(suite: str) -> None:
    """Have a Debian's own Python compile the agent of this checkout, which its hosts only read.

    Without that each start of an agent there compiles every module again.

    Raises:
        StackError: It failed.

    """
    with (
        tempfile.TemporaryDirectory(prefix="pilot-compile-") as folder,
        disk(Path(folder), base_root(suite)) as root,
    ):
        source = ROOT / "companion_agent"
        inside = SOURCE / "companion_agent"
        compiler = ("python3", "-m", "compileall", "-q", str(inside))
        run_unbooted(root, *compiler, options=(f"--bind={source}:{inside}",))


def _shown(binds: Mapping[Path, Path]) -> list[str]:
    return [f"--bind-ro={outside}:{inside}" for inside, outside in binds.items()]


class SystemdHost(LinuxHost):
    """A Debian that boots.

    >>> with SystemdHost(folder, "office-pc") as host:  # doctest: +SKIP
    ...     host.run("systemctl", "poweroff")
    ...     host.wait_until_off()
    ...     host.boot()

    Args:
        folder: For its disk and its log. It must lie on a file system that an overlay can
            write to, which temporary folders on a disk or in memory do.
        name: Its host name.
        suite: Which Debian, by its code name.
        network: Its network; that of this machine when it is not given.
        libraries: The ``site-packages`` of an environment for Python 3.11 that has the agent's
            libraries; mounted at :data:`LIBRARIES`.
        binds: More folders of this machine to show inside, read-only, by their place there.
        layers: What :func:`layer` has returned, the uppermost first: its disk begins with these.

    """

    def __init__(
        self,
        folder: Path,
        name: str = "office-pc",
        *,
        suite: str = SUITES[0],
        network: Network | None = None,
        libraries: Path | None = None,
        binds: Mapping[Path, Path] | None = None,
        layers: Sequence[Path] = (),
    ) -> None:
        super().__init__(name)
        self.suite = suite
        self.folder = folder
        self.root = folder / "root"
        self.network = network
        self._binds = {SOURCE: ROOT, **(binds or {})}
        if libraries is not None:
            self._binds[LIBRARIES] = libraries
        self._layers = layers
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

    def boot(self, timeout: float = 120) -> None:
        """Switch it on and wait until it is up."""
        self._leader = None
        self._process.start()
        wait_for(
            lambda: self._is_up(timeout),
            f"{self.name} to be up",
            timeout=timeout,
            process=self._process,
        )

    def _is_up(self, timeout: float) -> bool:
        """Wait, once its systemd can be asked, until it has reached its default target."""
        if not self.running or not self._find_leader():
            return False
        asked = ("systemctl", "is-system-running", "--wait")
        return self.run(*asked, check=False, timeout=timeout).stdout.strip() in {
            "running",
            "degraded",
        }

    def wait_until_off(self, timeout: float = 30) -> None:
        """Wait until it has shut itself down.

        Raises:
            StackError: It did not, or it reboots.

        """
        if self._end(timeout) == _REBOOTS:
            raise StackError(f"{self.name} reboots instead of shutting down")

    def wait_until_rebooted(self, timeout: float = 120) -> None:
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
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
            # systemd-nspawn takes in what ran there, and with it the processor time that it used.
            with contextlib.suppress(StackError):
                self._process.wait(10)
        self._process.kill()
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
        text: str = "",
        check: bool = True,
        timeout: float = 180,
    ) -> Done:
        """Run a command inside, as every host does."""
        try:
            done = subprocess.run(
                self.command(*command, user=user, env=env),
                input=text,
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
        enter = [_which("nsenter") or "nsenter", "--target", str(leader), "--all"]
        return [*enter, "--", *with_environment(command, user, env)]

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
        _mount(self.folder, *self._layers, base_root(self.suite))
        (self.root / "etc" / "hostname").write_text(f"{self.name}\n", encoding="utf-8")
        units = self.root / "etc" / "systemd" / "system"
        (units / "null.service").write_text(_NULL, encoding="utf-8")
        wanted = units / "sysinit.target.wants" / "null.service"
        wanted.parent.mkdir(exist_ok=True)
        wanted.symlink_to("../null.service")

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
            *_OUTSIDE_STAYS,
            *network,
            *_shown(self._binds),
        ]


def _which(tool: str) -> str | None:
    return shutil.which(
        tool, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    )


def _has_started(pid: int) -> bool:
    """Tell whether a process is in namespaces of its own already."""
    return Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
