"""How well the disks say they are, from what root's helper leaves (`smart_helper.py`).

What smartctl says is checked like the word of a stranger: firmware makes mistakes. Sources:
smartctl's JSON as of smartmontools 7.3 and 7.5, its drivedb.h for the names of attributes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
import re
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import DiskHealth
from companion_agent.platforms.linux import smart_helper
from companion_agent.storage import files as storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from companion_agent.models import Selection
    from companion_agent.platforms.linux.files import Files

# One look may be missed: the machine was busy, or a disk slow.
_STALE_AFTER = 2.5 * smart_helper.PERIOD

_REALLOCATED, _PENDING = 5, 197
# Their normalized value is what is left, in percent.
_LIFE_LEFT = frozenset(
    {
        "Media_Wearout_Indicator",
        "Perc_Rated_Life_Remain",
        "Perc_Rated_Life_Used",
        "Percent_Life_Remaining",
        "Percent_Lifetime_Remain",
        "Percent_Lifetime_Used",
        "Remaining_Lifetime_Perc",
        "SSD_Life_Left",
        "Wear_Leveling_Count",
    }
)
_UNSAFE_SHUTDOWNS = frozenset(
    {"POR_Recovery_Count", "Unexpect_Power_Loss_Ct", "Unsafe_Shutdown_Count"}
)
# ATA Command Set, device statistics, page 7.
_USED = "Percentage Used Endurance Indicator"
_MOST = 2**48 - 1
_HOTTEST = 200
_COLDEST = -60


class Facts(NamedTuple):
    """What a disk has said.

    Attributes:
        model: What it is; empty where it does not say.
        serial: Its serial number; empty where it does not say.
        values: What it measures of itself, by the names of `DiskHealth.values`.
    """

    model: str
    serial: str
    values: Mapping[str, float | str]


class Smart:
    """The disks of one machine."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._asked = b""
        self._seen: tuple[int, ...] = ()
        self._report: Mapping[str, Any] = {}

    def read(self, selection: Selection, now: float | None = None) -> list[DiskHealth]:
        """Read what is known of the disks that are selected by name.

        Raises:
            Unavailable: No disk tells anything, or root does not ask.
            OSError: What root's helper left cannot be read.
        """
        names = [name for name in self._files.names(smart_helper.BLOCK) if _is_disk(name)]
        if not names:
            raise Unavailable("there is no SATA, SAS, USB or NVMe disk")
        if not any(self._files.exists(path) for path in smart_helper.PLACES):
            raise Unavailable("smartctl is not installed", "install the package smartmontools")
        self._ask(selection)
        report = self._load()
        late = self._why_late(report, time.monotonic() if now is None else now)
        return [
            _health(name, disk, late)
            for name, disk in report["disks"].items()
            if name in names and selection.wants(name)
        ]

    def _ask(self, selection: Selection) -> None:
        """Tell root's helper which disks are wanted, where this is the service."""
        wanted = {"include": selection.include, "exclude": selection.exclude}
        content = json.dumps(wanted).encode()
        if content == self._asked:
            return
        path = Path(self._files.path(smart_helper.WANTED))
        try:
            # A person who looks with `pilot-agent read` changes nothing.
            if _is_own(path.parent):
                storage.write(path, content, mode=0o644)
                self._asked = content
        except OSError:
            # Not the service: it has no such folder.
            return

    def _load(self) -> Mapping[str, Any]:
        """Read the report, if it is another than before."""
        path = Path(self._files.path(smart_helper.REPORT))
        try:
            found = path.stat()
        except FileNotFoundError:
            raise Unavailable(
                "root has not asked the disks yet",
                "it does within minutes of the agent's start, where 'sudo pilot-agent setup' has "
                "installed pilot-agent-smart.timer",
            ) from None
        seen = found.st_ino, found.st_mtime_ns, found.st_size
        if seen != self._seen:
            self._report = _checked(storage.read_bytes(path, smart_helper.MOST_BYTES))
            self._seen = seen
        return self._report

    def _why_late(self, report: Mapping[str, Any], now: float) -> str:
        if report["boot"] != self._files.text(smart_helper.BOOT_ID):
            return "root has not asked since the system started"
        age = now - report["at"]
        if age > _STALE_AFTER:
            return f"root asked last {age / 3600:.0f} hours ago"
        return ""


def parse(report: object) -> Facts:
    """Read what smartctl says of a disk; what makes no sense is left out."""
    passed = _at(report, "smart_status", "passed")
    health = ("passed" if passed else "failed") if isinstance(passed, bool) else None
    attributes = dict(_attributes(report))
    by_name = {name: one for name, one in attributes.values() if name}
    said: dict[str, float | str | None] = {
        "health": health,
        "wear": _wear(report, by_name),
        "temperature": _number(_at(report, "temperature", "current"), _COLDEST, _HOTTEST),
        "reallocated_sectors": _reallocated(report, attributes),
        "pending_sectors": _raw(attributes.get(_PENDING)),
        "power_on_time": _number(_at(report, "power_on_time", "hours")),
        "unsafe_shutdowns": _unsafe_shutdowns(report, by_name),
    }
    values = {name: value for name, value in said.items() if value is not None}
    model = _text(_at(report, "model_name")) or _text(_at(report, "scsi_model_name"))
    return Facts(model, _text(_at(report, "serial_number")), values)


if sys.platform == "win32":

    def _is_own(_: Path) -> bool:
        return False

else:

    def _is_own(folder: Path) -> bool:
        return folder.stat().st_uid == os.geteuid()


def _is_disk(name: str) -> bool:
    return smart_helper.DISK.fullmatch(name) is not None


def _checked(content: bytes) -> Mapping[str, Any]:
    """Return a report whose frame is as it should be.

    Raises:
        OSError: It is not.
    """
    try:
        report = json.loads(content)
        whole = (
            report["format"] == smart_helper.FORMAT
            and isinstance(report["boot"], str)
            and _number(report["at"], 0, 1e12) is not None
            and all(isinstance(disk["identity"], str) for disk in report["disks"].values())
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise OSError(errno.EBADMSG, "the report is damaged", f"/{smart_helper.REPORT}")
    checked: Mapping[str, Any] = report
    return checked


def _health(name: str, disk: Mapping[str, Any], late: str) -> DiskHealth:
    facts = parse(disk.get("report"))
    digest = hashlib.sha256(disk["identity"].encode("utf-8", "replace")).hexdigest()
    return DiskHealth(
        name=name,
        id=digest[:12],
        model=facts.model,
        serial=facts.serial,
        values=facts.values,
        asleep=disk.get("asleep") is True,
        missing=late or _text(disk.get("failure")) or _why_nothing(facts, disk),
    )


def _why_nothing(facts: Facts, disk: Mapping[str, Any]) -> str:
    if facts.values:
        return ""
    return "it sleeps" if disk.get("asleep") else "it has no SMART"


def _at(data: object, *keys: str) -> object:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _items(data: object) -> Iterator[object]:
    if isinstance(data, list):
        yield from data


def _number(value: object, low: float = 0, high: float = _MOST) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if low <= value <= high else None


def _text(value: object) -> str:
    return " ".join(value.split())[:128] if isinstance(value, str) else ""


def _attributes(report: object) -> Iterator[tuple[int, tuple[str, object]]]:
    """Return the attributes of an ATA disk with their names, by number."""
    for one in _items(_at(report, "ata_smart_attributes", "table")):
        number = _at(one, "id")
        if isinstance(number, int):
            yield number, (_text(_at(one, "name")), one)


def _raw(attribute: tuple[str, object] | None) -> float | None:
    """Return the count that an attribute begins with: behind it, firmware packs other ones."""
    if attribute is None:
        return None
    found = re.match(r"\d{1,15}", _text(_at(attribute[1], "raw", "string")), re.ASCII)
    return _number(int(found[0])) if found else None


def _reallocated(report: object, attributes: Mapping[int, tuple[str, object]]) -> float | None:
    defects = _number(_at(report, "scsi_grown_defect_list"))
    return _raw(attributes.get(_REALLOCATED)) if defects is None else defects


def _unsafe_shutdowns(report: object, by_name: Mapping[str, object]) -> float | None:
    log = _at(report, "nvme_smart_health_information_log", "unsafe_shutdowns")
    if (told := _number(log)) is not None:
        return told
    return next((_raw((name, by_name[name])) for name in _UNSAFE_SHUTDOWNS & by_name.keys()), None)


def _wear(report: object, by_name: Mapping[str, object]) -> float | None:
    """Return how much of its life a disk has used, in percent; 100 where it is more."""
    for used in (
        _at(report, "endurance_used", "current_percent"),
        _at(report, "nvme_smart_health_information_log", "percentage_used"),
        _at(report, "scsi_percentage_used_endurance_indicator"),
        _statistic(report, _USED),
    ):
        if (told := _number(used, 0, 255)) is not None:
            return min(told, 100)
    for name in sorted(_LIFE_LEFT & by_name.keys()):
        if (left := _number(_at(by_name[name], "value"), 0, 100)) is not None:
            return 100 - left
    return None


def _statistic(report: object, name: str) -> object:
    for page in _items(_at(report, "ata_device_statistics", "pages")):
        for one in _items(_at(page, "table")):
            if _at(one, "name") == name and _at(one, "flags", "valid") is True:
                return _at(one, "value")
    return None
