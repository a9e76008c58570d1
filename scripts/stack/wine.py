"""A Windows PC without Windows: Wine, with CPython for Windows and the agent's libraries.

Wine is not Windows: it has no session 0, no access control between users, and many functions that
only say that they worked. It proves that calls, structures, installers and life cycles hold.
docs/development.md, "A Windows PC", says what is real.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path
import platform
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from . import nspawn, system, toolchain
from .console import StackError, say
from .forwarding_dll import forwarding_dll
from .linux_host import Done
from .locks import file_lock
from .paths import REQUIREMENTS, ROOT, cache_dir
from .process import Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

__all__ = [
    "Display", "WinePc", "compile_agent", "debian_13", "python_folder", "template", "why_not",
]  # fmt: skip

ARCHITECTURE = "x86_64"
# Wine 8 ends on CPython 3.13, whose `platform` asks WMI.
_PYTHON, _PYTHON_ON_DEBIAN_13 = "3.11", "3.13"
_REQUIREMENTS = {_PYTHON: "windows.txt", _PYTHON_ON_DEBIAN_13: "windows-runtime.txt"}

# The root of a Debian 13 whose Wine is used in place of this machine's.
_DEBIAN_13 = "PILOT_WINE_ROOT"
# This machine's, among them where the tests make their PCs. Of its processors Wine reads in /sys:
# without it a PC has none, and psutil's readings of them end with ERROR_INVALID_FUNCTION.
_SHOWN_INSIDE = ("/proc", "/sys", "/dev", "/tmp")

# What plays sound there is plug-ins of GStreamer, a WAV too.
_DEBIAN_13_PACKAGES = (
    "wine", "wine64", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good",
)  # fmt: skip

# Raised when they have to be made anew although no version changed.
_PYTHON_RECIPE = 1
_TEMPLATE_RECIPE = 4

# Without these a new prefix would ask for .NET and a browser, and write menus into this user's
# desktop.
_OVERRIDES = "mscoree=;mshtml=;winemenubuilder.exe="
_BOOT_LIMIT = 180.0
_TEMPLATE_LIMIT = 600.0


def why_not() -> str:
    """Say why this machine cannot have such PCs; empty when it can."""
    if sys.platform != "linux" or platform.machine() != ARCHITECTURE:
        return f"Windows PCs are made by Wine for Linux on {ARCHITECTURE}"
    missing = [name for name in ("wine", "Xvfb") if system.find(name) is None]
    if missing and not system.can_apt_install():
        return f"not installed: {' '.join(missing)}; {system.install_command(missing)}"
    return ""


@functools.cache
def python_folder() -> Path:
    """Return the folder of CPython for Windows with the agent's libraries; downloaded once.

    Raises:
        StackError: It cannot be had.
    """
    version = _python_version()
    requirements = [REQUIREMENTS / _REQUIREMENTS[version], REQUIREMENTS / "agent.txt"]
    parts = [str(_PYTHON_RECIPE), *(path.read_text(encoding="utf-8") for path in requirements)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    folder = cache_dir() / "windows" / f"python-{version}-{digest}"
    _made_once(folder, "CPython for Windows", _make_python)
    return folder


@functools.cache
def template() -> Path:
    """Return the prefix that PCs are copies of; made once.

    Raises:
        StackError: Wine does not make one.
    """
    asked = [*_wine(), "--version"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(f"{_TEMPLATE_RECIPE}\0{version}".encode()).hexdigest()[:12]
    folder = cache_dir() / "windows" / f"prefix-{digest}"
    _made_once(folder, "a Windows PC", _make_template)
    return folder


@functools.cache
def compile_agent() -> None:
    """Have this machine's Python compile the agent of this checkout, which PCs then only read.

    The same minor version has the same code, and without that each PC compiles every module again.

    Raises:
        StackError: It failed.
    """
    host = str(toolchain.interpreter(_python_version()))
    toolchain.run(
        [host, "-m", "compileall", "-q", str(ROOT / "companion_agent")],
        "the agent could not be compiled",
    )


def _windows_path(path: Path) -> str:
    """Return what a file of this machine is called in every PC."""
    return f"Z:{path.absolute()}".replace("/", "\\")


class Display(Process):
    """An X server without a screen, on which the windows of PCs are.

    Args:
        folder: For its log.
    """

    def __init__(self, folder: Path) -> None:
        program = system.require("Xvfb")["Xvfb"]
        # It finds a number that is free, and says which.
        options = ["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "1280x800x24"]
        super().__init__("Xvfb", [program, *options], folder / "xvfb.log")

    @property
    def name_of_display(self) -> str:
        """What `DISPLAY` is set to, `:99`."""
        return f":{self.wait_for_output(r'^([0-9]+)$')[1]}"


class WinePc:
    """A PC with Windows 10, as far as Wine has it: a prefix of its own, which is a PC's disk.

    >>> with WinePc(folder) as pc:  # doctest: +SKIP
    ...     pc.run("python", "-m", "companion_agent", "--version")
    ...     pc.power_cut()
    ...     pc.boot()

    Programs are named as Windows does, except for `python` and `pythonw`, which are those of
    `python_folder()` with the checkout on their path. This machine's files are below `Z:`, and its
    network is the PC's, loopback included.

    Args:
        folder: For its drive and its logs.
        display: The X display of its windows, `:99`; without one it has no windows.

    Attributes:
        drive: Its drive C:, as a folder of this machine.
        env: More environment variables for all that is started from here.
    """

    def __init__(self, folder: Path, display: str = "") -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self._prefix = folder / "prefix"
        self.drive = self._prefix / "drive_c"
        self._display = display
        self._wine = _wine()
        self._agent = ROOT
        self._started: list[Process] = []
        self._socket: Path | None = None
        self._server = Process(
            "wineserver",
            # In the foreground it ends with us, and all programs of the PC with it.
            [*_server(), "--foreground", "--persistent"],
            folder / "wineserver.log",
            env=self._environment(),
        )

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(template(), self._prefix, symlinks=True, copy_function=_share_or_copy)
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
    def on(self) -> bool:
        """Whether it is switched on."""
        return self._server.running

    def boot(self) -> None:
        """Switch it on and wait until it has started its services and the user's programs.

        Raises:
            StackError: It is on already, or does not start.
        """
        self._server.start()
        # Where Debian's Wine listens has a random name; the server goes there.
        folder = Path(f"/proc/{self._server.pid}/cwd")
        wait_for(
            (folder / "socket").exists, "wineserver that listens", interval=0.02,
            process=self._server,
        )  # fmt: skip
        self._socket = folder.readlink() / "socket"
        # The first program of a PC starts Windows, and the services would keep its output open.
        _run([*self._wine, "wineboot"], self._environment(), _BOOT_LIMIT)

    def power_cut(self) -> None:
        """Pull its plug: all its programs end at once, and its disk stays as it is."""
        if self.on:
            _run([*_server(), "--kill"], self._environment(), _BOOT_LIMIT)
        self._server.kill()
        self.end_started()
        if self._socket:
            # Of a server that was killed it stays, and the next start would take it for its own.
            self._socket.unlink(missing_ok=True)

    def end_started(self) -> None:
        """End what `start()` has started, as the task manager does."""
        for program in self._started:
            program.kill()
        self._started.clear()

    def remove(self) -> None:
        """Pull its plug, and throw its disk away."""
        self.power_cut()
        shutil.rmtree(self._prefix, ignore_errors=True)

    def path(self, path: Path) -> str:
        r"""Return what a file of this machine is called in the PC, ``C:\x`` or ``Z:\tmp\x``."""
        if path.is_relative_to(self.drive):
            return "C:\\" + str(path.relative_to(self.drive)).replace("/", "\\")
        return _windows_path(path)

    def install_agent(self) -> None:
        r"""Copy the agent below `C:\Program Files`, from where programs then have it.

        A service is made only of what administrators alone can change, and a checkout may be
        anywhere: in a folder for all users, say.
        """
        self._agent = self.drive / "Program Files" / "pilot-agent checkout"
        package = "companion_agent"
        compile_agent()
        # What another run is about to write.
        unfinished = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / package, self._agent / package, ignore=unfinished)
        # Not from the working folder.
        self.env["PYTHONSAFEPATH"] = "1"

    @property
    def helpers_log(self) -> str:
        """What the session helpers of all its users have written."""
        logs = sorted(self.drive.glob("users/*/AppData/Local/Pilot/session.log"))
        return "".join(log.read_text("utf-8") for log in logs)

    def path_of_python(self, program: str = "python") -> str:
        """Return where `python` or `pythonw` is in the PC."""
        return _windows_path(python_folder() / f"{program}.exe")

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        text: str = "",
        check: bool = True,
        timeout: float = 120,
    ) -> Done:
        """Run a program and wait for its end.

        Args:
            *command: The program and its arguments.
            env: More environment variables.
            text: What it reads from its standard input, as UTF-8.
            check: Whether failing is an error.
            timeout: In seconds.

        Returns:
            Its exit code and output; the output as UTF-8, with Linux' ends of lines.

        Raises:
            StackError: It failed or did not end in time.
        """
        with subprocess.Popen(
            self._command(command),
            env=toolchain.clean_env(**self._environment(env)),
            # Pipes: to a file of Linux, Python for Windows does not write.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                output = process.communicate(text.encode(), timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise StackError(
                    f"{command[0]} did not end within {timeout:g} s: {' '.join(command)}"
                ) from None
        stdout, stderr = (part.decode("utf-8", "replace").replace("\r\n", "\n") for part in output)
        if check and process.returncode:
            raise StackError(
                f"{' '.join(command)} ended with {process.returncode}:\n{stdout}{stderr}"
            )
        return Done(process.returncode, stdout, stderr)

    def open(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program whose output, errors among it, is read from its `stdout`."""
        return subprocess.Popen(
            self._command(command),
            env=toolchain.clean_env(**self._environment()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def start(self, *command: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a program, which ends with the PC.

        Its `stop()` is Ctrl-C, its `kill()` the task manager's "End task".
        """
        program = Process(
            Path(command[0]).name,
            self._command(command),
            self.folder / f"{Path(command[0]).stem}-{len(self._started)}.log",
            env=self._environment(env),
            # What Wine takes for Ctrl-C.
            stop_signal=signal.SIGINT,
            piped=True,
        )
        self._started.append(program)
        program.start()
        return program

    def _command(self, command: tuple[str, ...]) -> list[str]:
        if not self.on:
            raise StackError(f"the PC is off: {' '.join(command)}")
        program, *arguments = command
        if program in {"python", "pythonw"}:
            program = self.path_of_python(program)
        return [*self._wine, program, *arguments]

    def _environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "WINEPREFIX": str(self._prefix),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": _OVERRIDES,
            "DISPLAY": self._display,
            "PYTHONPATH": ";".join(
                self.path(path) for path in (self._agent, ROOT / "tests", ROOT / "scripts")
            ),
            **self.env,
            **(more or {}),
        }


def _made_once(folder: Path, what: str, make: Callable[[Path], None]) -> None:
    """Make a folder of the cache unless it is there; whole or not at all."""
    with file_lock(cache_dir() / "locks" / folder.name, what):
        if folder.exists():
            return
        say(f"making {what}, once")
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            make(part)
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _make_python(folder: Path) -> None:
    version = _python_version()
    host = str(toolchain.interpreter(version))
    target = ["--python-platform", "windows", "--python-version", version]
    install = [toolchain.uv(), "pip", "install", "-q", "--python", host, *target]
    toolchain.run(
        [
            *(*install, "--no-deps", "--require-hashes", "--target", str(folder)),
            *("-r", str(REQUIREMENTS / _REQUIREMENTS[version])),
        ],
        "CPython for Windows could not be installed",
    )
    libraries = folder / "Lib" / "site-packages"
    # It comes with tools of its own, which are not the agent's.
    shutil.rmtree(libraries)
    shutil.rmtree(folder / "Scripts")
    toolchain.run(
        [
            *(*install, "--only-binary", ":all:", "--target", str(libraries)),
            *("-r", str(REQUIREMENTS / "agent.txt")),
        ],
        "the agent's libraries for Windows could not be installed",
    )
    # Compiled here, where it is faster: the same minor version has the same code.
    toolchain.run(
        [host, "-m", "compileall", "-q", "-x", "lib2to3|test", str(folder / "Lib")],
        "CPython for Windows could not be compiled",
    )


def _make_template(folder: Path) -> None:
    env = {"WINEPREFIX": str(folder), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": _OVERRIDES}
    _run([*_wine(), "wineboot", "--init"], env, _TEMPLATE_LIMIT)
    # Wine 8 is Windows 7 otherwise, on which no supported Python runs.
    _run([*_wine(), "winecfg", "-v", "win10"], env, _TEMPLATE_LIMIT)
    # Two minutes otherwise, from Wine 10 on, which knows services that start later than others.
    delay = ("/v", "AutoStartDelay", "/t", "REG_DWORD", "/d", "0", "/f")
    control = r"HKLM\System\CurrentControlSet\Control"
    _run([*_wine(), "reg", "add", control, *delay], env, _TEMPLATE_LIMIT)
    _run([*_server(), "--wait"], env, _TEMPLATE_LIMIT)
    for path in (folder / "drive_c" / "users").glob("*/*"):
        # Links to the folders of the user who runs this.
        if path.is_symlink():
            path.unlink()
            path.mkdir()
    # What Wine 8 lacks and programs in Rust need, cryptography among them.
    missing = folder / "drive_c" / "windows" / "system32" / "bcryptprimitives.dll"
    if not missing.exists():
        functions = {"ProcessPrng": "advapi32.SystemFunction036"}
        missing.write_bytes(forwarding_dll(missing.name, functions))
    devices = folder / "dosdevices"
    for path in devices.glob("com*"):
        path.unlink()
    # The label of Z: is looked for on this machine's own disk otherwise, which Wine complains of.
    (devices / "z::").symlink_to("/dev/zero")


@contextlib.contextmanager
def debian_13(folder: Path) -> Iterator[None]:
    """Have PCs made by the Wine of Debian 13 and with CPython 3.13, for as long as this lasts.

    Args:
        folder: For its mounts.

    Raises:
        StackError: It cannot be had here.
    """
    packages = nspawn.installed("wine", "trixie", _DEBIAN_13_PACKAGES)
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(nspawn.disk(folder, packages, nspawn.base_root("trixie")))
        for shown in (*_SHOWN_INSIDE, str(ROOT), str(cache_dir())):
            inside = root / shown.lstrip("/")
            inside.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--bind", shown, str(inside)], check=True)
            stack.callback(subprocess.run, ["umount", str(inside)], check=True)
        os.environ[_DEBIAN_13] = str(root)
        stack.callback(os.environ.pop, _DEBIAN_13)
        for made in (python_folder, template, compile_agent):
            made.cache_clear()
            stack.callback(made.cache_clear)
        yield


def _python_version() -> str:
    return _PYTHON_ON_DEBIAN_13 if os.environ.get(_DEBIAN_13) else _PYTHON


def _wine() -> list[str]:
    """Return the command that runs a program of Windows."""
    return _of_debian_13("wine") or [system.require("wine")["wine"]]


def _server() -> list[str]:
    """Return Wine's server, which is the kernel of a PC."""
    found = shutil.which("wineserver") or shutil.which("wineserver-stable")
    command = _of_debian_13("wineserver") or ([found] if found else [])
    if not command:
        raise StackError("Wine has no wineserver")
    return command


def _of_debian_13(program: str) -> list[str]:
    """Return the command of a program there; none where this machine's Wine is used."""
    root = os.environ.get(_DEBIAN_13)
    # Each replaces itself by the next: the process that was started is the program.
    return ["chroot", root, "env", f"--chdir={ROOT}", program] if root else []


def _run(command: Sequence[str], env: Mapping[str, str], limit: float) -> None:
    """Run a program of Wine's that may leave others behind: nothing of ours stays open."""
    try:
        done = subprocess.run(
            command,
            env=toolchain.clean_env(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"not done after {limit:g} s: {' '.join(command)}") from None
    if done.returncode:
        raise StackError(f"{' '.join(command)} ended with {done.returncode}")


def _share_or_copy(source: str, target: str) -> None:
    """Copy a file of a prefix; Windows' own programs, which nothing changes, are shared."""
    if f"{os.sep}system32{os.sep}" in source:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            pass  # Another file system.
        else:
            return
    shutil.copy2(source, target, follow_symlinks=False)
