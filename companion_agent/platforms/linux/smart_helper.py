"""What root runs to learn how well the disks are: it asks smartctl, the agent reads what it leaves.

This file is a program. systemd starts it as root, in a sandbox, now and then while the agent runs
(`service/unit.py`). So it is one file, of Python's standard library only, and imports nothing of
the agent's. It takes one thing of the agent: which disks are wanted, by the patterns of its
configuration. No disk is opened that is not, and none while the agent wants none. A disk that
sleeps is not woken, and what it last reported stays.

Sources: smartctl(8); Documentation/ABI/stable/sysfs-block.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from fnmatch import fnmatchcase
import json
import os
import re
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
WANTED = "run/pilot-agent/disk_health.json"
"""Which disks the agent wants: `include` and `exclude`, lists of patterns."""
FOLDER = "var/lib/pilot-agent-smart"
REPORT = f"{FOLDER}/report.json"
"""What smartctl last said of each disk. It outlives a start of the system, since a disk may sleep
through one, and Home Assistant would forget one that nothing is said of."""
BLOCK = "sys/block"
BOOT_ID = "proc/sys/kernel/random/boot_id"
PLACES = ("usr/sbin/smartctl", "usr/bin/smartctl")
"""Where distributions put it."""
PERIOD = 30 * 60
"""Seconds between two looks, as smartd's."""
DISK = re.compile(r"sd[a-z]{1,3}|nvme\d{1,4}n\d{1,4}")
"""The names of what may answer: SATA, SAS and USB, and NVMe."""
MOST_DISKS = 64
MOST_BYTES = 1024 * 1024
"""Of a whole report."""

_MOST_WANTED = 16 * 1024
_MOST_OF_A_DISK = MOST_BYTES // MOST_DISKS - 512
# How long one disk may take: one that is about to fail repeats its reads.
_LIMIT = 30.0
# Two of smartctl's bits that it never sets together by itself: the disk sleeps.
_ASLEEP = 3
# Bits that say that nothing, or not all, was read.
_NOT_PARSED, _NOT_OPENED = 1, 2
# Types are checked for Windows too, which has none of these.
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
_KEPT = (
    "ata_device_statistics",
    "ata_smart_attributes",
    "device",
    "endurance_used",
    "model_name",
    "nvme_smart_health_information_log",
    "power_on_time",
    "scsi_grown_defect_list",
    "scsi_model_name",
    "scsi_percentage_used_endurance_indicator",
    "serial_number",
    "smart_status",
    "temperature",
)


class RefusedError(Exception):
    """It is not done; the text says why."""


def read_wanted(root: str) -> tuple[list[str], list[str]]:
    """Read which disks the agent wants: the patterns of those, and of those that it does not.

    Raises:
        RefusedError: It wants none, or says it in no form that is known.
    """
    try:
        content = _read_plain(f"{root}/{WANTED}", _MOST_WANTED)
    except FileNotFoundError:
        raise RefusedError("the agent wants to know of no disk") from None
    except OSError as error:
        raise RefusedError(f"/{WANTED} cannot be read: {error.strerror}") from None
    try:
        said = json.loads(content)
        lists = said["include"], said["exclude"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RefusedError(f"/{WANTED} is damaged") from None
    for one in lists:
        if not isinstance(one, list) or not all(isinstance(text, str) for text in one):
            raise RefusedError(f"/{WANTED} is damaged")
    return lists


def disks(root: str) -> dict[str, str]:
    """Return what names each disk for ever, by its present name."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(f"{root}/{BLOCK}")):  # noqa: PTH208 - names, not paths
        if DISK.fullmatch(name) and len(found) < MOST_DISKS:
            found[name] = identity(root, name)
    uses = Counter(found.values())
    # Bridges and cheap disks have one for all of their kind. Two ways to one disk have one serial.
    return {
        name: of if uses[of] == 1 else f"{of} {_serial(root, name)}".strip()
        for name, of in found.items()
    }


def identity(root: str, name: str) -> str:
    """Return what names a disk for ever; its present name where nothing does."""
    for path in (f"{BLOCK}/{name}/wwid", f"{BLOCK}/{name}/device/wwid"):
        with suppress(OSError):
            text = _read_plain(f"{root}/{path}", 4096).decode("utf-8", "replace")
            if words := " ".join(text.split()):
                return words[:255]
    return name


def _serial(root: str, name: str) -> str:
    """Return the serial number that a disk has told the kernel; empty where it has not."""
    # Of SCSI it is a page of "vital product data" with a header of four bytes.
    for path, header in (("device/serial", 0), ("device/vpd_pg80", 4)):
        with suppress(OSError):
            data = _read_plain(f"{root}/{BLOCK}/{name}/{path}", 4096)[header:]
            if words := " ".join(data.decode("utf-8", "replace").replace("\0", " ").split()):
                return words[:255]
    return ""


def ask(program: str, name: str, limit: float = _LIMIT) -> dict[str, Any]:
    """Return what smartctl says of a disk: `report`, `asleep`, or the `failure`.

    With a failure may come `waits`, the number of a smartctl that still waits for the disk.
    """
    try:
        asked = subprocess.Popen(
            _command(program, name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        return {"failure": f"smartctl cannot be started: {error.strerror}"}
    try:
        output, _ = asked.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        # It may wait for the disk in the kernel, where nothing ends it: it is not waited for.
        asked.kill()
        return {"failure": f"it did not answer within {limit:g} s", "waits": asked.pid}
    try:
        said = json.loads(output)
        messages = said["smartctl"].get("messages", [])
        words = "; ".join(str(one["string"]) for one in messages)[:200]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"failure": f"smartctl ended with {asked.returncode} and said nothing"}
    if asked.returncode == _ASLEEP:
        return {"asleep": True}
    if asked.returncode & (_NOT_PARSED | _NOT_OPENED):
        return {"failure": words or f"smartctl ended with {asked.returncode}"}
    report = {key: said[key] for key in _KEPT if key in said}
    if len(json.dumps(report)) > _MOST_OF_A_DISK:
        return {"failure": "smartctl said too much"}
    return {"report": report}


def _command(program: str, name: str) -> list[str]:
    return [
        program, "--nocheck", f"standby,{_ASLEEP}", "--all", "--log", "ssd", "--json=c",
        f"/dev/{name}",
    ]  # fmt: skip


def _still_waits(root: str, program: str, name: str, pid: object) -> bool:
    """Tell whether the smartctl that was left behind is there; the number may be another's."""
    if not isinstance(pid, int):
        return False
    try:
        line = _read_plain(f"{root}/proc/{pid}/cmdline", 4096)
    except OSError:
        return False
    return line.decode("utf-8", "replace").split("\0")[:-1] == _command(program, name)


def look(root: str, program: str, limit: float = _LIMIT) -> dict[str, Any]:
    """Ask for every disk that is wanted, and return the whole report.

    Raises:
        RefusedError: No disk is wanted.
    """
    include, exclude = read_wanted(root)
    before = load(root)
    found: dict[str, Any] = {}
    for name, of in disks(root).items():
        if any(fnmatchcase(name, one) for one in exclude):
            continue
        if include and not any(fnmatchcase(name, one) for one in include):
            continue
        last = before.get(of, {})
        if _still_waits(root, program, name, last.get("waits")):
            # Another one would wait as well, and in the end there would be no room for more.
            said = {"failure": "it has not answered for a long time", "waits": last["waits"]}
        else:
            said = ask(program, name, limit)
        kept = {"report": last.get("report", {})} if "report" not in said else {}
        found[name] = {"identity": of, **kept, **said}
    boot = _read_plain(f"{root}/{BOOT_ID}", 64).decode().strip()
    return {"format": FORMAT, "boot": boot, "at": time.monotonic(), "disks": found}


def load(root: str) -> Mapping[str, Any]:
    """Return what was last left of each disk, by what names it for ever."""
    try:
        before = json.loads(_read_plain(f"{root}/{REPORT}", MOST_BYTES))
        if before["format"] != FORMAT:
            return {}
        return {disk["identity"]: dict(disk) for disk in before["disks"].values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # There is none, or it is another version's: each disk that does not sleep says it again.
        return {}


def save(root: str, report: Mapping[str, Any]) -> None:
    """Replace the report as a whole."""
    part = f"{root}/{REPORT}.part"
    with open(part, "w", encoding="utf-8") as file:  # noqa: PTH123 - as everywhere here
        json.dump(report, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, f"{root}/{REPORT}")  # noqa: PTH105 - as everywhere here


def _read_plain(path: str, most: int) -> bytes:
    """Read a small file that is one; the agent's user could put anything in its place.

    Raises:
        OSError: It is none, is larger, or cannot be read.
    """
    file = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(0, "it is no plain file", path)
        content = b""
        while more := os.read(file, most + 1 - len(content)):
            content += more
        if len(content) > most:
            raise OSError(0, "it is too large", path)
        return content
    finally:
        os.close(file)


def main(root: str = "") -> int:
    """Run as a program."""
    program = next((path for path in PLACES if os.access(f"{root}/{path}", os.X_OK)), None)
    if program is None:
        print("smartctl is not installed", file=sys.stderr)
        return 1
    try:
        report = look(root, f"{root}/{program}")
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 0
    save(root, report)
    for name, disk in report["disks"].items():
        print(f"{name}: {disk.get('failure') or ('asleep' if disk.get('asleep') else 'read')}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
