"""Arrays of disks as the kernel shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, strategies as st
import pytest

from companion_agent.platforms.base import DiskArray, everything
from companion_agent.platforms.linux.arrays import arrays, parse_error_stats, parse_progress
from companion_agent.platforms.linux.files import Files

if TYPE_CHECKING:
    from pathlib import Path

UUID = "0b1c2d3e-0000-4000-8000-0123456789ab"


def tree(root: Path, files: dict[str, str]) -> Files:
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return Files(root)


def md(**files: str) -> dict[str, str]:
    return {f"sys/block/md0/md/{name}": content for name, content in files.items()}


def btrfs(devices: int, **files: str) -> dict[str, str]:
    folder = f"sys/fs/btrfs/{UUID}"
    found = {f"{folder}/{name}": content for name, content in files.items()}
    for device in range(1, devices + 1):
        found[f"{folder}/devinfo/{device}/missing"] = "0"
        found[f"{folder}/devinfo/{device}/error_stats"] = f"write_errs {device}\nread_errs 0"
    return found


MIRROR = {"level": "raid1", "degraded": "0", "sync_action": "idle", "sync_completed": "none"}


@pytest.mark.parametrize(
    ("files", "array"),
    [
        pytest.param(
            md(**MIRROR, array_state="clean"),
            DiskArray("md0", "clean", degraded=False, reports_progress=True),
            id="whole",
        ),
        pytest.param(
            md(**{**MIRROR, "degraded": "1"}, array_state="active"),
            DiskArray("md0", "degraded", degraded=True, reports_progress=True),
            id="a disk is missing",
        ),
        pytest.param(
            md(
                **{
                    **MIRROR,
                    "degraded": "1",
                    "sync_action": "recover",
                    "sync_completed": "1 / 4",
                },
                array_state="active",
            ),
            DiskArray("md0", "recovering", degraded=True, progress=25, reports_progress=True),
            id="recovering",
        ),
        pytest.param(
            md(
                **{**MIRROR, "sync_action": "check", "sync_completed": "delayed"},
                array_state="clean",
            ),
            DiskArray("md0", "checking", degraded=False, reports_progress=True),
            id="checking",
        ),
        pytest.param(
            md(**MIRROR, array_state="inactive"),
            DiskArray("md0", "inactive", degraded=False, reports_progress=True),
            id="stopped",
        ),
        pytest.param(
            md(level="raid0", array_state="broken"),
            DiskArray("md0", "failed"),
            id="striped, broken",
        ),
        pytest.param(
            btrfs(2, label="pool", exclusive_operation="none"),
            DiskArray("pool", "clean", degraded=False, errors=3),
            id="btrfs",
        ),
        pytest.param(
            btrfs(1, label=""), DiskArray(UUID, "clean", errors=1), id="btrfs on one disk"
        ),
        pytest.param(
            {**btrfs(2, label="pool"), f"sys/fs/btrfs/{UUID}/devinfo/2/missing": "1"},
            DiskArray("pool", "degraded", degraded=True, errors=3),
            id="btrfs without a disk",
        ),
        pytest.param(
            btrfs(2, label="pool", exclusive_operation="device replace"),
            DiskArray("pool", "recovering", degraded=False, errors=3),
            id="btrfs replaces a disk",
        ),
        pytest.param(
            {"proc/spl/kstat/zfs/tank/state": "DEGRADED"},
            DiskArray("tank", "degraded", degraded=True),
            id="ZFS without a disk",
        ),
        pytest.param(
            {"proc/spl/kstat/zfs/tank/state": "SUSPENDED"},
            DiskArray("tank", "failed", degraded=True),
            id="ZFS that has stopped",
        ),
    ],
)
def test_an_array(tmp_path: Path, files: dict[str, str], array: DiskArray) -> None:
    assert arrays(tree(tmp_path, files), everything) == [array]


@pytest.mark.parametrize(
    "files",
    [
        md(level="container", array_state="inactive"),
        {"sys/block/sda/size": "1"},
        {"sys/fs/btrfs/features/raid56": "0"},
        {"proc/spl/kstat/zfs/arcstats": "6 1"},
        {"proc/spl/kstat/zfs/tank/state": "NEW WORD"},
    ],
)
def test_what_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert arrays(tree(tmp_path, files), everything) == []


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    files = tree(tmp_path, {**md(**MIRROR, array_state="clean"), **btrfs(2, label="pool")})

    assert [one.name for one in arrays(files, lambda name: name != "md0")] == ["pool"]


@given(st.text(max_size=40))
def test_any_text_is_a_progress_or_none(text: str) -> None:
    progress = parse_progress(text)

    assert progress is None or 0 <= progress <= 100


@given(st.text(max_size=80))
def test_any_text_is_a_count_of_errors(text: str) -> None:
    assert parse_error_stats(text) >= 0
