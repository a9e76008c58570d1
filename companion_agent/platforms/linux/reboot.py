"""Whether an update waits for a reboot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

_FLAGS = ("run/reboot-required", "var/run/reboot-required")
_CONTAINER = ("run/systemd/container", "run/.containerenv", ".dockerenv")
_NUMBER = re.compile(r"\d+")


def pending(files: Files, running: str) -> bool | None:
    """Tell whether an update waits for a reboot.

    Debian and Ubuntu leave a flag. Elsewhere the kernels tell: a newer one of the same flavour is
    installed, or the modules of the running one, some of which it has loaded, are gone.

    Args:
        files: The machine's files.
        running: The running kernel's version.

    Returns:
        `None` where neither is known, as in a container, which does not choose its kernel.
    """
    if any(files.exists(flag) for flag in _FLAGS):
        return True
    # update-notifier writes the flag; where it is installed, no flag means no.
    writes_flag = files.is_folder("usr/share/update-notifier")
    if any(files.exists(mark) for mark in _CONTAINER):
        return False if writes_flag else None
    installed = [
        name
        for name in files.names("lib/modules")
        if files.exists(f"lib/modules/{name}/modules.dep")
    ]
    if running in installed:
        return any(_is_newer(name, running) for name in installed)
    if installed and files.read("proc/modules"):
        return True
    return False if writes_flag else None


def _is_newer(name: str, running: str) -> bool:
    # "-amd64" and "-rt-amd64", "-v8" and "-2712" are different kernels, not newer and older.
    return _flavour(name) == _flavour(running) and _numbers(name) > _numbers(running)


def _flavour(version: str) -> str:
    return re.sub(r"[\d.]+", "", version)


def _numbers(version: str) -> list[int]:
    return [int(number[:18]) for number in _NUMBER.findall(version)]
