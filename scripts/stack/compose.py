"""Docker Compose: this machine's own, or Debian 13's, which Debian 12 can run."""

from __future__ import annotations

import functools
from pathlib import Path
import shutil
import subprocess
import tempfile

from . import debian_python, system
from .console import StackError, say
from .locks import file_lock
from .paths import cache_dir

_SUITE = "trixie"
_PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


@functools.cache
def command() -> list[str]:
    """Return the command that is Docker Compose, in a version of today.

    Raises:
        StackError: There is none, and none can be had.
    """
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    program = cache_dir() / "tools" / f"docker-compose-{_SUITE}"
    with file_lock(cache_dir() / "locks" / program.name, "Docker Compose"):
        if not program.exists():
            _fetch(program)
    return [str(program)]


def _fetch(program: Path) -> None:
    mirror = system.debian_mirror() if debian_python.available() else None
    if mirror is None:
        raise StackError("no Docker Compose", "install the plug-in compose of Docker")
    say(f"fetching Docker Compose from Debian {_SUITE}")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pilot-compose-") as folder:
        packages = debian_python.download(["docker-compose"], mirror, _SUITE, Path(folder, "apt"))
        (package,) = [path for path in packages if path.name.startswith("docker-compose_")]
        unpacked = Path(folder, "root")
        subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True)
        shutil.move(unpacked / _PLUGIN, program)
