"""A private Python from a newer Debian suite, which leaves the system untouched.

For machines that can reach their Debian mirror but not the builds that ``uv``
downloads. The packages are unpacked, not installed, into a prefix of their own
together with the C library that they were built against.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
import shutil
import subprocess

from .console import StackError, say
from .system import debian_mirror

# The suites to look in, oldest first.
_SUITES = ("forky", "sid")
_KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)


def available() -> bool:
    """Tell whether this is a Debian on which the way is open (root, apt, its keyring)."""
    return (
        os.geteuid() == 0
        and all(shutil.which(tool) for tool in ("apt-get", "dpkg", "dpkg-deb"))
        and any(Path(keyring).exists() for keyring in _KEYRINGS)
        and debian_mirror() is not None
    )


def install(version: str, prefix: Path, patchelf: str) -> Path:
    """Unpack ``python<version>`` into ``prefix`` and return its interpreter.

    Args:
        version: Such as ``3.14``.
        prefix: The folder for it, which must not exist yet.
        patchelf: The path of the ``patchelf`` program.

    """
    mirror = debian_mirror()
    if mirror is None:
        raise StackError("no Debian mirror among apt's sources")
    work = prefix.with_name(prefix.name + ".part")
    errors = []
    for suite in _SUITES:
        shutil.rmtree(work, ignore_errors=True)
        try:
            say(f"downloading Python {version} from Debian {suite}")
            wanted = [f"python{version}", f"libpython{version}-dev", "libstdc++6"]
            packages = download(wanted, mirror, suite, work / "apt")
            say(f"unpacking Python {version} from Debian {suite} ({len(packages)} packages)")
            root = work / "root"
            root.mkdir()
            for package in packages:
                _run(["dpkg-deb", "-x", str(package), str(root)])
            _relocate(version, root, prefix, patchelf)
        except StackError as error:
            errors.append(str(error))
            continue
        root.rename(prefix)
        shutil.rmtree(work, ignore_errors=True)
        return prefix / "usr" / "bin" / f"python{version}"
    shutil.rmtree(work, ignore_errors=True)
    raise StackError(f"no Python {version} from Debian:\n" + "\n".join(errors))


def download(names: list[str], mirror: str, suite: str, state: Path) -> list[Path]:
    """Fetch packages and all that they depend on with an apt state of our own."""
    keyring = next(path for path in _KEYRINGS if Path(path).exists())
    for folder in ("lists/partial", "cache/archives/partial", "sources.d"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    # An empty status file: nothing counts as installed, so that every library
    # comes along, the C library included.
    (state / "status").touch()
    (state / "sources.list").write_text(
        f"deb [signed-by={keyring}] {mirror} {suite} main\n", encoding="utf-8"
    )
    apt = [
        "apt-get",
        "-qq",
        "-o",
        f"Dir::Etc::SourceList={state}/sources.list",
        "-o",
        f"Dir::Etc::SourceParts={state}/sources.d",
        "-o",
        "Dir::Etc::Preferences=/dev/null",
        "-o",
        "Dir::Etc::PreferencesParts=/dev/null",
        "-o",
        f"Dir::State={state}",
        "-o",
        f"Dir::State::Lists={state}/lists",
        "-o",
        f"Dir::State::status={state}/status",
        "-o",
        f"Dir::Cache={state}/cache",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "APT::Install-Recommends=false",
        "-o",
        "Acquire::Languages=none",
        "-o",
        "Acquire::Retries=3",
    ]
    _run([*apt, "update"])
    _run([*apt, "-y", "--download-only", "install", *names])
    packages = sorted((state / "cache" / "archives").glob("*.deb"))
    if not packages:
        raise StackError(f"apt downloaded nothing from {suite}")
    return packages


def _relocate(version: str, root: Path, prefix: Path, patchelf: str) -> None:
    """Make the interpreter use the loader and libraries of its own prefix.

    ``root`` is where the files are now, ``prefix`` where they will be.
    """
    python = root / "usr" / "bin" / f"python{version}"
    loader = Path(_run([patchelf, "--print-interpreter", str(python)]).strip()).name
    found = sorted(path for path in root.rglob(loader) if path.is_file())
    if not found:
        raise StackError(f"the C library's loader {loader} is not among the packages")
    libraries = next((path.parent for path in sorted(root.rglob("libc.so.6"))), found[0].parent)
    _run(
        [
            patchelf,
            "--set-interpreter",
            str(prefix / found[0].relative_to(root)),
            "--force-rpath",
            "--set-rpath",
            str(prefix / libraries.relative_to(root)),
            str(python),
        ]
    )
    # Debian's pyconfig.h is a shim that includes the real one by a path that
    # only exists in place; packages that compile need the real one.
    for real in (root / "usr" / "include").glob(f"*/python{version}/pyconfig.h"):
        shutil.copyfile(real, root / "usr" / "include" / f"python{version}" / "pyconfig.h")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        # Credentials that a mirror's address may hold stay out of the log.
        tail = re.sub(r"://[^/@\s]+@", "://…@", tail)
        raise StackError(f"{command[0]} failed ({done.returncode}): {tail}")
    return done.stdout
