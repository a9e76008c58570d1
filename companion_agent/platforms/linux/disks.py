"""Block devices, from `/proc/diskstats`. Source: Documentation/admin-guide/iostats.rst."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from companion_agent.platforms.base import DiskCounters
from companion_agent.platforms.linux.files import integer

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

# Always 512 bytes in this file, whatever the device's own sectors are.
_SECTOR = 512
# Drives for media, and the parts of eMMC that only the boot loader uses.
_NOT_A_DISK = re.compile(r"sr\d|fd\d|mtdblock|mmcblk\d+(boot|rpmb|gp)")


def parse_diskstats(data: bytes) -> list[tuple[str, int, int]]:
    """Read the name, bytes read and bytes written of every device and partition."""
    devices = []
    for line in data.split(b"\n"):
        fields = line.split()
        if len(fields) >= 10:
            read, written = integer(fields[5]), integer(fields[9])
            if read is not None and written is not None and read >= 0 and written >= 0:
                name = fields[2].decode("utf-8", "replace")
                devices.append((name, read * _SECTOR, written * _SECTOR))
    return devices


class Disks:
    """The block devices of one machine.

    Shown are those with hardware (or a hypervisor) behind them, and software RAID, which people
    name as one disk. Partitions, LVM and encryption, loop, ram and zram only repeat what passes
    through those or never reach one.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[str, tuple[str, bool]] = {}

    def counters(self) -> list[DiskCounters]:
        """Read the counters of every device."""
        devices = parse_diskstats(self._files.read("proc/diskstats") or b"")
        # A device that went and came back may be another one under the same name.
        present = {name for name, _, _ in devices}
        self._known = {name: known for name, known in self._known.items() if name in present}
        return [
            DiskCounters(self._name(d), read, written, self._shown(d))
            for d, read, written in devices
        ]

    def _name(self, device: str) -> str:
        return self._look_up(device)[0]

    def _shown(self, device: str) -> bool:
        return self._look_up(device)[1]

    def _look_up(self, device: str) -> tuple[str, bool]:
        known = self._known.get(device)
        if known is None:
            folder = f"sys/block/{device.replace('/', '!')}"
            # Device mapper numbers change between starts, the names of the volumes do not.
            name = self._files.text(f"{folder}/dm/name") if device.startswith("dm-") else None
            shown = not _NOT_A_DISK.match(device) and (
                self._files.exists(f"{folder}/device") or self._files.exists(f"{folder}/md")
            )
            known = self._known[device] = (name or device, shown)
        return known
