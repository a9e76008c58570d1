"""What several disks are made one by: md, btrfs and ZFS.

Sources: Documentation/admin-guide/md.rst; Documentation/ABI/testing/sysfs-fs-btrfs and
fs/btrfs/sysfs.c; the state of a pool is OpenZFS's `spa_state_to_name()`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from companion_agent.platforms.base import ArrayState, DiskArray
from companion_agent.platforms.linux.files import integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from companion_agent.platforms.base import Wanted
    from companion_agent.platforms.linux.files import Files

_BLOCK = "sys/block"
_BTRFS = "sys/fs/btrfs"
_ZFS = "proc/spl/kstat/zfs"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MD_STOPPED = frozenset({"clear", "inactive", "suspended"})
_MD_ACTIONS: dict[str, ArrayState] = {
    "check": "checking",
    "repair": "checking",
    "recover": "recovering",
    "reshape": "recovering",
    "resync": "recovering",
}
_POOLS: dict[str, ArrayState] = {
    "ONLINE": "clean",
    "DEGRADED": "degraded",
    "FAULTED": "failed",
    "SUSPENDED": "failed",
    "UNAVAIL": "failed",
    "OFFLINE": "inactive",
    "REMOVED": "failed",
}
_LACKING = frozenset({"degraded", "failed"})


def arrays(files: Files, wanted: Wanted) -> list[DiskArray]:
    """Read the arrays that are wanted by name."""
    return [*_md(files, wanted), *_btrfs(files, wanted), *_zfs(files, wanted)]


def parse_progress(text: str) -> float | None:
    """Read `sync_completed`, sectors of sectors, in percent; `None` for none and delayed."""
    done, separator, whole = text.partition(" / ")
    of, total = integer(done), integer(whole)
    if not separator or of is None or total is None or not 0 <= of <= total or total == 0:
        return None
    return of / total * 100


def parse_error_stats(text: str) -> int:
    """Add up the errors of a device of btrfs: `write_errs 0` and others, one in a line."""
    counts = (integer(line.partition(" ")[2]) for line in text.splitlines())
    return sum(count for count in counts if count is not None and count > 0)


def _md(files: Files, wanted: Wanted) -> Iterator[DiskArray]:
    for name in files.names(_BLOCK):
        folder = f"{_BLOCK}/{name}/md"
        if not name.startswith("md") or not wanted(name):
            continue
        state, level = files.text(f"{folder}/array_state"), files.text(f"{folder}/level")
        # A container has the metadata of arrays, and is none.
        if not state or level in {"container", ""}:
            continue
        # Linear and striped arrays have no disk to spare, and so none of these files.
        missing = files.number(f"{folder}/degraded")
        action = files.text(f"{folder}/sync_action")
        yield DiskArray(
            name=name,
            state=_md_state(state, action or "", missing or 0),
            degraded=None if missing is None else missing > 0,
            progress=parse_progress(files.text(f"{folder}/sync_completed") or ""),
            reports_progress=action is not None,
        )


def _md_state(state: str, action: str, missing: int) -> ArrayState:
    if state == "broken":
        return "failed"
    if state in _MD_STOPPED:
        return "inactive"
    return _MD_ACTIONS.get(action) or ("degraded" if missing > 0 else "clean")


def _btrfs(files: Files, wanted: Wanted) -> Iterator[DiskArray]:
    for uuid in files.names(_BTRFS):
        folder = f"{_BTRFS}/{uuid}/devinfo"
        if not _UUID.fullmatch(uuid):
            continue
        name = files.text(f"{_BTRFS}/{uuid}/label") or uuid
        if not wanted(name):
            continue
        devices = files.names(folder)
        missing = [files.number(f"{folder}/{device}/missing") for device in devices]
        stats = [files.text(f"{folder}/{device}/error_stats") for device in devices]
        told = [parse_error_stats(one) for one in stats if one is not None]
        lacking = any(missing)
        replacing = files.text(f"{_BTRFS}/{uuid}/exclusive_operation") == "device replace"
        yield DiskArray(
            name=name,
            state="recovering" if replacing else "degraded" if lacking else "clean",
            # A file system on one disk is mounted with it, or not at all.
            degraded=lacking if len(devices) > 1 else None,
            errors=sum(told) if told else None,
        )


def _zfs(files: Files, wanted: Wanted) -> Iterator[DiskArray]:
    for pool in files.names(_ZFS):
        if not wanted(pool):
            continue
        state = _POOLS.get(files.text(f"{_ZFS}/{pool}/state") or "")
        if state:
            yield DiskArray(pool, state, degraded=state in _LACKING)
