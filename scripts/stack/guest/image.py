"""The disk that the machine with hardware boots from, built once and kept."""

from __future__ import annotations

from dataclasses import dataclass
import functools
import hashlib
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

from stack import nspawn, system
from stack.console import StackError, say
from stack.locks import file_lock
from stack.paths import cache_dir

SUITE = "bookworm"
ARCHITECTURE = "x86_64"
PACKAGES = (
    "btrfs-progs",
    "cpio",
    "kmod",
    "mdadm",
    "qemu-guest-agent",
    "smartmontools",
    "udev",
    "xserver-xorg-core",
)
"""What it has installed, besides what the containers have."""
KERNEL = ("linux-image-amd64", "busybox-static")
"""Debian's kernel, and what its first programs are. It is unpacked and not installed: that would
make a memory disk for every machine, which takes minutes to boot here."""

_SCRIPT = Path(__file__).with_name("build.sh")
# What is installed and its free space; sparse.
_ROOT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Image:
    """What QEMU boots."""

    kernel: Path
    initrd: Path
    root: Path


def why_not() -> str:
    """Say why this machine cannot have such guests; empty when it can."""
    if sys.platform != "linux" or os.uname().machine != ARCHITECTURE:
        return f"a machine with hardware is made for Linux on {ARCHITECTURE}"
    if reason := nspawn.why_not():
        return f"{reason}, from which a machine with hardware is made"
    missing = [name for name in ("qemu", "mke2fs") if system.find(name) is None]
    if missing and not system.can_apt_install():
        return f"not installed: {' '.join(missing)}"
    return ""


@functools.cache
def image() -> Image:
    """Return the disk; the first call makes it (a minute, 700 MB).

    Raises:
        StackError: It cannot be had here.

    """
    if reason := why_not():
        raise StackError(reason)
    base = nspawn.base_root(SUITE)
    parts = [base.name, *PACKAGES, *KERNEL, _SCRIPT.read_text(encoding="utf-8")]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    folder = cache_dir() / "roots" / f"guest-{SUITE}-{digest}"
    with file_lock(cache_dir() / "locks" / folder.name, "a machine with hardware"):
        if not folder.exists():
            _build(base, folder)
    return Image(folder / "vmlinuz", folder / "initrd", folder / "root.img")


def _build(base: Path, folder: Path) -> None:
    say("building a machine with hardware, once (a minute)")
    mke2fs = system.require("mke2fs")["mke2fs"]
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pilot-guest-") as scratch,
            nspawn.disk(Path(scratch), base) as root,
        ):
            nspawn.download(root, (*PACKAGES, *KERNEL))
            binds = {Path("/opt/build.sh"): _SCRIPT}
            nspawn.run_unbooted(root, "sh", "/opt/build.sh", *PACKAGES, binds=binds)
            for name in ("vmlinuz", "initrd"):
                shutil.move(root / "boot" / name, part / name)
            _make_root(mke2fs, root, part / "root.img")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _make_root(mke2fs: str, root: Path, path: Path) -> None:
    with path.open("wb") as file:
        os.truncate(file.fileno(), _ROOT_BYTES)
    command = [mke2fs, "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(root), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"no disk for a machine with hardware: {done.stderr.strip()}")
