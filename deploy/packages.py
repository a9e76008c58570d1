#!/usr/bin/env python3
"""Builds the packages: ``deploy/packages.py deb rpm --output dist``.

The agent and the libraries of the lock file go into one folder, which works with every Python
from 3.11 on: a virtual environment would belong to one version, and break when the distribution
moves to the next. Two builds of one tree are the same, byte for byte.

Needs uv, for Debian's packages dpkg-deb, for the others rpmbuild.
"""

from __future__ import annotations

import argparse
from email.utils import formatdate
import gzip
import hashlib
import os
from pathlib import Path, PurePosixPath
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "deploy"
LIBRARY = PurePosixPath("usr/lib/pilot-agent")

# Debian's name of an architecture, and for each what wheels and rpm call it.
ARCHITECTURES = {
    "amd64": ("x86_64-manylinux_2_28", "x86_64"),
    "arm64": ("aarch64-manylinux_2_28", "aarch64"),
}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# One library (cffi) has a binary for each Python; the others' have one for all of them.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = ("i2c", "setup", "sound", "update")


class Compression(NamedTuple):
    """How a package is compressed, by the names that dpkg-deb and rpmbuild have for it."""

    deb: str
    rpm: str
    level: int


SMALL = Compression("xz", "xzdio", 6)
FAST = Compression("gzip", "gzdio", 1)
"""What tests build and install: xz needs most of the time of both."""

LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/pilot-agent")

from companion_agent.cli import main

sys.exit(main())
"""


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Builds the agent's packages.")
    parser.add_argument("kinds", nargs="+", choices=["deb", "rpm"], metavar="deb|rpm")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder for them")
    parser.add_argument(
        "--architecture",
        choices=ARCHITECTURES,
        default=MACHINES.get(platform.machine(), "amd64"),
        help="Debian's name of it (default: this machine's)",
    )
    parser.add_argument("--version", help="another version than the tree's")
    parser.add_argument("--fast", action="store_true", help="compress little, to try something")
    wanted = parser.parse_args()
    wanted.output.mkdir(parents=True, exist_ok=True)
    version = wanted.version or tree_version()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    with tempfile.TemporaryDirectory(prefix="pilot-packages-") as folder:
        tree = Path(folder, "tree")
        make_tree(tree, wanted.architecture, version)
        for kind in wanted.kinds:
            build = {"deb": build_deb, "rpm": build_rpm}[kind]
            compression = FAST if wanted.fast else SMALL
            built = build(
                tree, Path(folder), version, wanted.architecture, wanted.output, compression
            )
            digest = hashlib.sha256(built.read_bytes()).hexdigest()
            print(f"{digest}  {built}")
    return 0


def tree_version() -> str:
    """Return the version that the tree says it is."""
    text = (ROOT / "companion_agent/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    if not found:
        sys.exit("companion_agent/__init__.py names no version")
    return found[1]


def epoch() -> int:
    """Return the time that all files get: the last commit's, unless the caller names one."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 1_767_225_600


# --- The tree ------------------------------------------------------------------------------


def make_tree(tree: Path, architecture: str, version: str) -> None:
    """Put everything where the package will have it."""
    library = tree / LIBRARY
    install_libraries(library, architecture)
    copy_agent(library / "companion_agent", version)
    write(tree / "usr/bin/pilot-agent", LAUNCHER, mode=0o755)
    sys.path.insert(0, str(ROOT))
    from companion_agent.service import unit  # noqa: PLC0415  (of this tree, not an installed one)

    program = unit.Program(PurePosixPath("/usr/bin/pilot-agent"))
    write(tree / "usr/lib/systemd/system/pilot-agent.service", unit.unit(program))
    write(tree / "usr/lib/systemd/user" / unit.SESSION_SERVICE, unit.session_unit(program))
    helper = unit.Helper(
        PurePosixPath("/usr/bin/python3"),
        PurePosixPath("/", LIBRARY, "companion_agent/platforms/linux"),
    )
    system = tree / "usr/lib/systemd/system"
    write(system / unit.PROCESSOR_SOCKET, unit.processor_socket(helper))
    write(system / unit.PROCESSOR_SERVICE, unit.processor_service(helper))
    write(system / unit.SMART_TIMER, unit.smart_timer())
    write(system / unit.SMART_SERVICE, unit.smart_service(helper))
    write(tree / "etc/xdg/autostart" / unit.AUTOSTART, unit.autostart(program))
    write(tree / "usr/lib/sysusers.d/pilot-agent.conf", unit.sysusers())
    write(tree / "usr/lib/udev/rules.d/60-pilot-agent.rules", unit.udev())


def install_libraries(library: Path, architecture: str) -> None:
    """Install what the lock file names, from wheels alone."""
    wheels, _ = ARCHITECTURES[architecture]
    with tempfile.TemporaryDirectory(prefix="pilot-libraries-") as folder:
        pinned = Path(folder, "pinned.txt")
        uv(
            "pip", "compile", "--quiet", "--no-header", "--no-annotate",
            "--no-emit-index-url", "--no-emit-find-links", "--python-version", PYTHONS[0],
            "--python-platform", wheels, "--constraint", str(ROOT / "requirements/agent.txt"),
            *(f"--extra={extra}" for extra in EXTRAS), "--output-file", str(pinned),
            str(ROOT / "pyproject.toml"),
        )  # fmt: skip
        install_for(library, PYTHONS[0], wheels, "--requirement", str(pinned))
        cffi = re.search(r"^cffi==\S+", pinned.read_text(encoding="utf-8"), re.MULTILINE)
        for number, python in enumerate(PYTHONS[1:] if cffi else ()):
            other = Path(folder, str(number))
            install_for(other, python, wheels, cffi[0] if cffi else "")
            for binary in other.glob("_cffi_backend.*.so"):
                shutil.copy2(binary, library)
    for path in sorted(library.rglob("*"), reverse=True):
        if is_left_out(path, library):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif path.suffix == ".py":
            drop_shebang(path)


def install_for(library: Path, python: str, wheels: str, *what: str) -> None:
    """Install wheels for a Python that need not be here."""
    uv(
        "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target",
        str(library), "--python-version", python, "--python-platform", wheels,
        "--link-mode", "copy", *what,
    )  # fmt: skip


def is_left_out(path: Path, library: Path) -> bool:
    """Tell what is of no use in a package, or differs between two builds."""
    # Accelerators for one Python only; the same modules are there in Python.
    if path.suffix == ".so" and ".cpython-" in path.name:
        return not path.name.startswith("_cffi_backend.")
    if path.parent == library and path.name in {"bin", "share", ".lock"}:
        return True
    in_metadata = path.parent.suffix == ".dist-info"
    useful = {"METADATA", "licenses", "LICENSE", "COPYING"}
    if in_metadata and path.name not in useful:
        return not path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE"))
    return path.name == "__pycache__" or path.suffix in {".pxd", ".pyx", ".pyi", ".c", ".h"}


def drop_shebang(module: Path) -> None:
    """Take off the line that makes a module look like a program."""
    content = module.read_bytes()
    if content.startswith(b"#!"):
        module.write_bytes(content.partition(b"\n")[2])


def copy_agent(target: Path, version: str) -> None:
    """Copy the agent's own modules."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "companion_agent", target, ignore=ignored)
    init = target / "__init__.py"
    text = init.read_text(encoding="utf-8")
    init.write_text(
        re.sub(r'__version__ = "[^"]+"', f'__version__ = "{version}"', text), encoding="utf-8"
    )


def settle(tree: Path) -> None:
    """Give every file the same time, and rights that do not depend on who builds."""
    moment = epoch()
    for path in [tree, *tree.rglob("*")]:
        if path.is_symlink():
            continue
        program = path.is_dir() or path.parent.name == "bin"
        maintainers = path.parent.name == "DEBIAN" and path.suffix == ""
        script = maintainers and path.name in {"postinst", "prerm", "postrm"}
        path.chmod(0o755 if program or script else 0o644)
        os.utime(path, (moment, moment))


# --- The packages --------------------------------------------------------------------------


def build_deb(
    tree: Path,
    folder: Path,
    version: str,
    architecture: str,
    output: Path,
    compression: Compression,
) -> Path:
    """Build Debian's package."""
    staged = folder / "deb"
    shutil.copytree(tree, staged, symlinks=True)
    documents = staged / "usr/share/doc/pilot-agent"
    documents.mkdir(parents=True)
    shutil.copy(HERE / "debian/copyright", documents)
    dated = formatdate(epoch(), usegmt=True).replace("GMT", "+0000")
    changelog = (
        f"pilot-agent ({version}) unstable; urgency=medium\n\n  * See the project's release "
        f"notes.\n\n -- Pilot maintainers <pilot@users.noreply.github.com>  {dated}\n"
    )
    with (documents / "changelog.gz").open("wb") as file:
        file.write(gzip.compress(changelog.encode(), mtime=0))
    shutil.copytree(HERE / "debian/lintian", staged / "usr/share/lintian/overrides")
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    size = sum((path.stat().st_size + 1023) // 1024 for path in files)
    sums = "".join(
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  "
        f"{path.relative_to(staged)}\n"
        for path in files
    )
    control = (HERE / "debian/control.in").read_text(encoding="utf-8")
    control = fill(control, VERSION=version, ARCHITECTURE=architecture, SIZE=str(size))
    write(staged / "DEBIAN/control", control)
    write(staged / "DEBIAN/md5sums", sums)
    configuration = (
        path.relative_to(staged) for path in files if path.is_relative_to(staged / "etc")
    )
    write(staged / "DEBIAN/conffiles", "".join(f"/{path}\n" for path in configuration))
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(HERE / "debian" / script, staged / "DEBIAN")
    settle(staged)
    built = output / f"pilot-agent_{version}_{architecture}.deb"
    run(
        "dpkg-deb", "--root-owner-group", f"-Z{compression.deb}", f"-z{compression.level}",
        "--build", str(staged), str(built),
    )  # fmt: skip
    return built


def build_rpm(
    tree: Path,
    folder: Path,
    version: str,
    architecture: str,
    output: Path,
    compression: Compression,
) -> Path:
    """Build the package of Fedora, openSUSE and their like."""
    staged = folder / "rpm"
    shutil.copytree(tree, staged, symlinks=True)
    documents = staged / "usr/share/doc/pilot-agent"
    documents.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", documents)
    settle(staged)
    _, machine = ARCHITECTURES[architecture]
    spec = folder / "pilot-agent.spec"
    text = (HERE / "rpm/pilot-agent.spec.in").read_text(encoding="utf-8")
    date = time.strftime("%a %b %d %Y", time.gmtime(epoch()))
    # In rpm a dash separates the version from the release.
    spelled = version.replace("-", "~")
    text = fill(text, VERSION=spelled, ARCHITECTURE=machine, TREE=str(staged), DATE=date)
    write(spec, text)
    top = folder / "rpmbuild"
    run(
        "rpmbuild", "-bb", "--quiet", "--target", f"{machine}-linux", "--define",
        f"_topdir {top}", "--define",
        f"_binary_payload w{compression.level}.{compression.rpm}", "--define",
        f"_rpmdir {folder}/rpms", str(spec),
    )  # fmt: skip
    (made,) = Path(folder, "rpms").rglob("*.rpm")
    return Path(shutil.copy(made, output / f"pilot-agent-{spelled}-1.{machine}.rpm"))


def fill(template: str, **values: str) -> str:
    """Put values where a template has their names."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def uv(*arguments: str) -> None:
    """Run uv: the one that $UV names, or the one on the PATH."""
    run(os.environ.get("UV", "uv"), *arguments)


def run(*command: str) -> None:
    """Run a command that says what is wrong itself."""
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    sys.exit(main())
