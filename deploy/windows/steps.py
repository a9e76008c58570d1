"""What the installer has Python do: ``steps.py LOG SAID agent service stop``.

It runs in the agent's own Python, once for each step. What a step says goes to the log as UTF-8,
and its last lines into the file SAID for the installer, which reads UTF-16.
"""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
import io
import os
from pathlib import Path
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWN = 900
"""How many characters of what was said the installer has room for."""


def main() -> int:
    """Run as a program."""
    log, said, step, *arguments = sys.argv[1:]
    text = io.StringIO()
    code = 1
    try:
        with redirect_stdout(text), redirect_stderr(text):
            code = STEPS[step](*arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        code = 130
    except Exception:  # noqa: BLE001  (the installer goes back to what was there, whatever it is)
        text.write(traceback.format_exc())
    spoken = text.getvalue().strip()
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    # A log that cannot be written keeps no computer from its agent.
    with suppress(OSError), Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{now} {step} {' '.join(_for_the_log(arguments))}: {code}\n")
        file.writelines(f"    {line}\n" for line in spoken.splitlines())
    # The page has a box for what the command line calls `--untested`.
    shown = "\n".join(line for line in spoken.splitlines() if "--untested" not in line)
    show(Path(said), shown[-SHOWN:])
    return code


def _for_the_log(arguments: list[str]) -> list[str]:
    """Return arguments without the login that the broker's address may hold."""
    try:
        from companion_agent.secret import without_login  # noqa: PLC0415  (may be what is broken)
    except ImportError:
        return ["(…)"]
    return [without_login(argument) for argument in arguments]


def show(path: Path, text: str) -> None:
    """Write a text for the installer, as one line and all at once."""
    line = " ".join(text.split())
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(line, encoding="utf-16-le")
    fresh.replace(path)


def agent(*arguments: str) -> int:
    """Run a command of the agent."""
    from companion_agent.cli import main as command  # noqa: PLC0415  (may be what does not start)

    return command(arguments)


def check() -> int:
    """Load what the service needs."""
    if not _is_safe_here():
        return 1
    for module in ("cli.run", "plugins.registry", "runtime"):
        import_module(f"companion_agent.{module}")
    return 0


def _is_safe_here() -> bool:
    """Say so where others could change what the service runs."""
    from companion_agent.service.changes import ServiceError  # noqa: PLC0415  (as above)
    from companion_agent.service.windows import this_program  # noqa: PLC0415  (as above)

    try:
        this_program()
    except ServiceError as error:
        print(error)
        return False
    return True


def stop(folder: str) -> int:
    """Stop the service, and end what else runs a program of a folder."""
    agent("service", "stop")
    return close(folder)


def remove(folder: str, *options: str) -> int:
    """Remove the service, and take a folder that nothing runs from any more off the PATH."""
    if code := agent("service", "remove", *options):
        return code
    path("remove", folder)
    close(folder)
    return 0


def close(folder: str) -> int:
    """End the session helpers, and whatever else runs a program of a folder."""
    import psutil  # noqa: PLC0415  (the agent brings it)

    inside = os.path.normcase(folder) + os.sep
    found = []
    for process in psutil.process_iter():
        # The system's own do not say what they run, and are none of ours.
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and os.path.normcase(process.exe()).startswith(inside):
                print("ending", process.pid, process.exe())
                process.terminate()
                found.append(process)
    _, left = psutil.wait_procs(found, timeout=10)
    return len(left)


def adopt(prepared: str, configuration: str) -> int:
    """Take a configuration that was prepared; the one from before is kept beside it."""
    from companion_agent.storage import files  # noqa: PLC0415  (as above)

    wanted, kept = Path(prepared).read_bytes(), Path(configuration)
    if kept.exists():
        if kept.read_bytes() == wanted:
            return 0
        files.write_private(kept.with_name(f"{kept.name}.old"), kept.read_bytes())
    files.write_private(kept, wanted)
    return 0


def path(action: str, folder: str) -> int:
    """Put a folder on the PATH of the machine, or take it off."""
    import ctypes  # noqa: PLC0415  (as below)
    import winreg  # noqa: PLC0415  (Windows' own)

    where = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    access = winreg.KEY_READ | winreg.KEY_WRITE
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, where, 0, access) as key:
        try:
            value, kind = winreg.QueryValueEx(key, "Path")
        except FileNotFoundError:
            value, kind = "", winreg.REG_EXPAND_SZ
        changed = changed_path(value, folder, add=action == "add")
        if changed == value:
            return 0
        winreg.SetValueEx(key, "Path", 0, kind, changed)
    # Programs that are started from now on see it (WM_SETTINGCHANGE to all windows).
    ctypes.windll.user32.SendMessageTimeoutW(0xFFFF, 0x1A, 0, "Environment", 2, 1000, None)
    return 0


def changed_path(value: str, folder: str, *, add: bool) -> str:
    """Return a PATH with a folder at its end, or without it; the rest stays as it is written."""
    parts = value.split(";")
    kept = [part for part in parts if part.rstrip("\\").lower() != folder.rstrip("\\").lower()]
    if not add:
        return ";".join(kept)
    return value if len(kept) < len(parts) else ";".join([*filter(None, parts), folder])


def pair(folder: str, configuration: str) -> int:
    """Keep a pairing open until it is used or the installer leaves its page."""
    stop = Path(folder, "stop")

    def watch() -> None:
        import _thread  # noqa: PLC0415

        while not stop.exists():
            time.sleep(0.3)
        _thread.interrupt_main()

    threading.Thread(target=watch, daemon=True).start()
    with redirect_stdout(CodeFiles(Path(folder))):
        return agent("pair", "--json", "--config", configuration)


class CodeFiles(io.TextIOBase):
    """Takes what ``pilot-agent pair --json`` prints, and makes files that a page can show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._out = sys.stdout

    def write(self, text: str) -> int:
        """Take a line."""
        import json  # noqa: PLC0415

        for line in filter(str.strip, text.splitlines()):
            said = json.loads(line)
            if "code" in said:
                (self._folder / "code.bmp").write_bytes(picture(said["link"]))
                show(self._folder / "code.txt", f"{said['code'][:4]} {said['code'][4:]}")
            elif "paired" in said:
                print(f"Paired with Home Assistant “{said['paired']}”.", file=self._out)
        return len(text)


def picture(text: str) -> bytes:
    """Draw a QR code as a bitmap of one bit for each pixel (BITMAPINFOHEADER, bottom up)."""
    import struct  # noqa: PLC0415

    import segno  # noqa: PLC0415  (the agent brings it)

    scale, border = 4, 4
    rows = list(segno.make(text, error="l", micro=False).matrix_iter(scale=scale, border=border))
    width = len(rows[0])
    stride = (width + 31) // 32 * 4
    pixels = bytearray()
    for row in reversed(rows):
        bits = int("".join("0" if dark else "1" for dark in row).ljust(stride * 8, "0"), 2)
        pixels += bits.to_bytes(stride, "big")
    offset = 14 + 40 + 8
    header = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, width, len(rows), 1, 1, 0, len(pixels), 2835, 2835, 2, 2)
    return header + info + b"\0\0\0\0\xff\xff\xff\0" + bytes(pixels)


STEPS: dict[str, Callable[..., int]] = {
    "agent": agent,
    "check": check,
    "stop": stop,
    "remove": remove,
    "adopt": adopt,
    "path": path,
    "pair": pair,
}

if __name__ == "__main__":
    sys.exit(main())
