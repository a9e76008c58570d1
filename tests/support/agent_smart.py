"""A machine with disks, and a smartctl that says what a test wants."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from companion_agent.platforms.linux import smart_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SMARTCTL = """\
#!/bin/sh
# The last argument is the device.
for device; do :; done
name="${device##*/}"
echo "$name" >> FOLDER/asked
[ -e "FOLDER/$name.json" ] || exit 2
cat "FOLDER/$name.json"
exit "$(cat "FOLDER/$name.code")"
"""


class Machine:
    """Files below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._answers = root / "answers"
        self._starts = 0
        self.write("proc/1/stat", "")
        (root / smart_helper.FOLDER).mkdir(parents=True)
        self.restart()

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file; what is in a folder of programs can be started."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        if file.parent.name == "sbin":
            file.chmod(0o755)

    def remove(self, path: str) -> None:
        """Remove a file or a folder."""
        place = self.root / path
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()

    def restart(self) -> None:
        """Begin another start of the system."""
        self._starts += 1
        self.write(smart_helper.BOOT_ID, f"0000-{self._starts}\n")

    def add_disk(self, name: str, wwid: str = "") -> None:
        """Plug a disk in, or another one instead of it."""
        (self.root / smart_helper.BLOCK / name / "device").mkdir(parents=True, exist_ok=True)
        if wwid:
            place = "wwid" if name.startswith("nvme") else "device/wwid"
            self.write(f"{smart_helper.BLOCK}/{name}/{place}", f"{wwid}\n")

    def want(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Say which disks are wanted, as the agent does."""
        wanted = {"include": list(include), "exclude": list(exclude)}
        self.write(smart_helper.WANTED, json.dumps(wanted))

    def install_smartctl(self, answers: Mapping[str, tuple[int, Any]]) -> None:
        """Have smartctl end with a code and say something, for each disk."""
        shutil.rmtree(self._answers, ignore_errors=True)
        self._answers.mkdir()
        for name, (code, said) in answers.items():
            (self._answers / f"{name}.json").write_text(json.dumps(said))
            (self._answers / f"{name}.code").write_text(str(code))
        self.write("usr/sbin/smartctl", _SMARTCTL.replace("FOLDER", str(self._answers)))

    def asked(self) -> list[str]:
        """Return the disks that smartctl was asked about, since it was installed."""
        place = self._answers / "asked"
        return sorted(place.read_text().split()) if place.exists() else []

    def report(self) -> dict[str, Any]:
        """Return what root has left."""
        found: dict[str, Any] = json.loads((self.root / smart_helper.REPORT).read_text())
        return found
