"""Programs that come from the operating system's packages.

As root on a Debian they are installed when they are missing. Everywhere else
the error names the command to type: a test run must not ask for a password.
"""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import platform
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from .console import StackError, say
from .locks import file_lock
from .paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Program:
    """A program, and the package that brings it on each kind of system."""

    commands: tuple[str, ...]
    """Names it goes by; any one of them will do."""
    debian: tuple[str, ...]
    fedora: str | None = None
    brew: str | None = None
    files: tuple[str, ...] = ()
    """Files that must exist as well."""


PROGRAMS: Mapping[str, Program] = {
    "mosquitto": Program(("mosquitto",), ("mosquitto",), "mosquitto", "mosquitto"),
    "nats-server": Program(("nats-server",), ("nats-server",), brew="nats-server"),
    "nginx": Program(("nginx",), ("nginx-light",), "nginx", "nginx"),
    # Debian keeps its drivers off the PATH, and wants no configuration to run them by hand.
    "nut": Program(
        ("upsd",),
        ("nut-server",),
        "nut",
        files=("/lib/nut/dummy-ups",),
    ),
    "rabbitmq": Program(("rabbitmq-server",), ("rabbitmq-server",), "rabbitmq-server", "rabbitmq"),
    "chromium": Program(
        ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
        ("chromium", "fonts-dejavu-core"),
        "chromium",
        "--cask chromium",
    ),
    "ip": Program(("ip",), ("iproute2",), "iproute"),
    "openssl": Program(("openssl",), ("openssl",), "openssl", "openssl"),
    "ssh": Program(("ssh",), ("openssh-client",), "openssh-clients", "openssh"),
    "dbus-daemon": Program(("dbus-daemon",), ("dbus",), "dbus-daemon", "dbus"),
    "dbusmock": Program(
        ("/usr/bin/python3",),
        ("python3-dbusmock",),
        "python3-dbusmock",
        files=("/usr/lib/python3/dist-packages/dbusmock/__init__.py",),
    ),
    "umockdev": Program(("umockdev-wrapper",), ("umockdev",), "umockdev"),
    "power-profiles-daemon": Program(
        ("powerprofilesctl",),
        ("power-profiles-daemon",),
        "power-profiles-daemon",
        files=("/usr/libexec/power-profiles-daemon",),
    ),
    "packagekit": Program(("/usr/libexec/packagekitd",), ("packagekit",), "PackageKit"),
    "Xvfb": Program(("Xvfb",), ("xvfb",), "xorg-x11-server-Xvfb"),
    "wine": Program(("wine",), ("wine", "wine64"), "wine", "--cask wine-stable"),
    # Wine plays sound by its plug-ins, a WAV too.
    "gstreamer": Program(
        ("gst-inspect-1.0",),
        ("gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"),
        "gstreamer1 gstreamer1-plugins-base gstreamer1-plugins-good",
        "gstreamer",
    ),
    "dunst": Program(("dunst",), ("dunst",), "dunst"),
    "pulseaudio": Program(("pulseaudio",), ("pulseaudio",), "pulseaudio", "pulseaudio"),
    "pipewire": Program(
        ("pipewire",),
        ("pipewire", "pipewire-pulse", "wireplumber"),
        "pipewire pipewire-pulseaudio wireplumber",
        files=("/usr/bin/pipewire-pulse", "/usr/bin/wireplumber"),
    ),
    # With the plug-in that has it speak MPRIS.
    "mpv": Program(
        ("mpv",), ("mpv", "mpv-mpris"), "mpv", "mpv", files=("/usr/lib/mpv-mpris/mpris.so",)
    ),
    # Debian keeps its servers' own programs off the PATH.
    "postgresql": Program(("pg_ctlcluster", "postgres"), ("postgresql",), "postgresql-server"),
    "mariadb": Program(("mariadbd",), ("mariadb-server",), "mariadb-server", "mariadb"),
    "debootstrap": Program(("debootstrap",), ("debootstrap",), "debootstrap"),
    "lintian": Program(("lintian",), ("lintian",)),
    "rpmlint": Program(("rpmlint",), ("rpmlint",), "rpmlint"),
    "dbus-send": Program(("dbus-send",), ("dbus-bin",), "dbus-tools", "dbus"),
    "rpmbuild": Program(("rpmbuild",), ("rpm",), "rpm-build", "rpm"),
    "makensis": Program(("makensis",), ("nsis",), "mingw32-nsis", "makensis"),
    "osslsigncode": Program(("osslsigncode",), ("osslsigncode",), "osslsigncode", "osslsigncode"),
    "systemd-nspawn": Program(("systemd-nspawn",), ("systemd-container",), "systemd-container"),
    "qemu": Program(("qemu-system-x86_64",), ("qemu-system-x86",), "qemu-system-x86-core", "qemu"),
    "mke2fs": Program(("mke2fs",), ("e2fsprogs",), "e2fsprogs", "e2fsprogs"),
    "faketime": Program(("faketime",), ("faketime",), "libfaketime", "libfaketime"),
    "cc": Program(("gcc", "clang"), ("gcc", "g++", "libc6-dev"), "gcc gcc-c++", "llvm"),
}

# Where Debian and Homebrew put programs that an ordinary PATH may lack.
_EXTRA_PATH = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt")
_MAC_CHROMIUM = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def find(name: str) -> str | None:
    """Return the path of a program of :data:`PROGRAMS`, or ``None``."""
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *_EXTRA_PATH))
    if not all(Path(file).exists() for file in PROGRAMS[name].files):
        return None
    for command in PROGRAMS[name].commands:
        if found := shutil.which(command, path=search):
            return found
    if name == "chromium":
        return next((path for path in _MAC_CHROMIUM if Path(path).exists()), None)
    return None


def require(*names: str) -> dict[str, str]:
    """Return the paths of the programs, after installing those that are missing.

    Raises:
        StackError: A program is missing and cannot be installed from here.
    """
    missing = [name for name in names if find(name) is None]
    if missing:
        install(missing)
    found = {name: find(name) for name in names}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        raise StackError(f"still not found after its installation: {', '.join(absent)}")
    return {name: path for name, path in found.items() if path is not None}


def install(names: Iterable[str]) -> None:
    """Install the packages of these programs, or say which command does."""
    wanted = list(names)
    if can_apt_install():
        apt_install([package for name in wanted for package in PROGRAMS[name].debian])
        return
    raise StackError(
        f"not installed: {', '.join(wanted)}",
        f"install it with: {install_command(wanted)}",
    )


def install_command(names: Iterable[str]) -> str:
    """Return the command that installs these programs on this kind of system."""
    programs = [PROGRAMS[name] for name in names]
    if platform.system() == "Darwin":
        return "brew install " + " ".join(p.brew for p in programs if p.brew)
    if shutil.which("dnf"):
        return "sudo dnf install " + " ".join(p.fedora for p in programs if p.fedora)
    return "sudo apt install " + " ".join(package for p in programs for package in p.debian)


def can_apt_install() -> bool:
    """Tell whether this process may install Debian packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> None:
    """Install Debian packages as root, with a fresh package list where needed."""
    say(f"installing with apt: {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = [
        "apt-get",
        "-qq",
        "-y",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=300",
        # A bare container has no init that could start a service, and the
        # broker that a package would start is not wanted in any case.
        "-o",
        "Dpkg::Use-Pty=0",
        "install",
        *packages,
    ]
    with file_lock(cache_dir() / "locks" / "apt", "Debian packages"), _NoServices():
        first = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if first.returncode == 0:
            return
        # Stale lists are the usual reason: the versions they name are gone.
        _apt_update(env)
        second = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if second.returncode:
            tail = "\n".join((second.stdout + second.stderr).splitlines()[-15:])
            raise StackError(f"apt could not install {' '.join(packages)}:\n{tail}")


def debian_mirror() -> str | None:
    """Return the address of the Debian mirror that this machine itself uses."""
    codename = _os_release().get("VERSION_CODENAME", "")
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(RELEASE) $(REPO_URI)",
            "Created-By: Packages",
            "Component: main",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        release, _, mirror = line.partition(" ")
        if release in {codename, "stable"} and _os_release().get("ID") == "debian":
            return mirror
    return None


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {
        key: value.strip('"')
        for key, _, value in (line.partition("=") for line in text.splitlines())
    }


def _apt_update(env: Mapping[str, str]) -> None:
    """Refresh the package lists; two tries, since mirrors have bad moments."""
    for attempt in range(2):
        done = subprocess.run(
            ["apt-get", "-qq", "update"], env=env, capture_output=True, check=False
        )
        if done.returncode == 0:
            return
        time.sleep(2 * (attempt + 1))


class _NoServices:
    """Keep packages from starting the services they bring (``policy-rc.d``).

    A broker that listens on the default port would be a side effect, and the
    stack starts its own one.
    """

    _path = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self._ours = not self._path.exists()
        if self._ours:
            self._path.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
            self._path.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._path.unlink(missing_ok=True)
