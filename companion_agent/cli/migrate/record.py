"""What a migration has changed, kept beside the configuration so that it can be undone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
import hashlib
import json
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any

from companion_agent.service import unit

if TYPE_CHECKING:
    from companion_agent.service.linux import Service

FOLDER = "before-migration"
_RECORD = "record.json"
_OLD = "v1"
_ENABLED = ("enabled", "enabled-runtime")


class RecordError(Exception):
    """A migration cannot be recorded or undone; the text says why and what to do."""


@dataclass(slots=True)
class OldService:
    """The service of the first version, as it was before it was switched off.

    Attributes:
        name: Its unit.
        active: Whether it ran.
        enabled: Whether it started at boot.
    """

    name: str
    active: bool
    enabled: bool


@dataclass(slots=True)
class Record:
    """What was there before, and what was made.

    Attributes:
        kept: Files of the configuration's folder that were there, and lie in the record's now.
        made: Those that were not.
        written: What they held after the migration, as SHA-256 by name.
        service: The first version's service, once it was switched off.
    """

    kept: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    service: OldService | None = None


class Archive:
    """The folder in which a migration keeps what was there before.

    Args:
        folder: The configuration's folder.
        service: Writes files, and asks systemd.
    """

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder = folder / FOLDER
        self._config = folder
        self._service = service

    @property
    def there(self) -> bool:
        """Whether a migration was made."""
        return Path(self.folder, _RECORD).exists()

    def read(self) -> Record:
        """Read the record.

        Raises:
            RecordError: There is none, or it cannot be read.
        """
        path = Path(self.folder, _RECORD)
        try:
            tree: dict[str, Any] = json.loads(path.read_text("utf-8"))
            service = tree.pop("service")
            return Record(**tree, service=OldService(**service) if service else None)
        except FileNotFoundError:
            raise RecordError(f"nothing was migrated: there is no {path}") from None
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise RecordError(
                f"{path} is damaged ({error}); copies of what was there are in {self.folder}"
            ) from None

    def keep(self, old: Path, written: dict[str, bytes]) -> None:
        """Copy what is there, before it changes.

        Args:
            old: The first version's file.
            written: The files of the configuration's folder that will be written, by name.

        Raises:
            RecordError: An earlier migration's copies are there.
            ServiceError: They cannot be made.
        """
        if self.there:
            raise RecordError(
                f"{self.folder} holds what was there before an earlier migration. Put it back "
                "with `pilot-agent migrate --undo`, or delete the folder if you are content"
            )
        record = Record()
        self._put(f"{_OLD}-{old.name}", old.read_bytes())
        for name, content in written.items():
            path = Path(self._config, name)
            if path.exists():
                self._put(name, path.read_bytes())
                record.kept.append(name)
            else:
                record.made.append(name)
            record.written[name] = _digest(content)
        self._write(record)

    def undo(self) -> list[str]:
        """Put back what was there.

        Returns:
            What was changed since the migration, and put aside.

        Raises:
            RecordError: It is not known what was there.
            ServiceError: It cannot be put back.
        """
        record = self.read()
        if record.service:
            self._restart(record.service)
        aside = []
        for name in (*record.kept, *record.made):
            path = Path(self._config, name)
            expected = {record.written[name]}
            if name in record.kept:
                expected.add(_digest(Path(self.folder, name).read_bytes()))
            if path.exists() and _digest(path.read_bytes()) not in expected:
                aside.append(f"{path}.undone")
                self._copy(path.read_bytes(), f"{name}.undone", like=path)
            if name in record.made:
                self._service.drop(self._config / name)
            else:
                self._copy(Path(self.folder, name).read_bytes(), name, like=path)
        self._service.drop(self.folder)
        return aside

    # --- The old service -----------------------------------------------------------------

    def find(self, name: str) -> OldService:
        """Find the first version's service.

        Raises:
            RecordError: There is none of this name.
            ServiceError: systemd cannot be asked.
        """
        name = name if "." in name else f"{name}.service"
        if name == unit.SERVICE:
            raise RecordError(f"{name} is this version's service, not the old one's")
        said = self._service.properties(name, "LoadState", "ActiveState", "UnitFileState")
        if said.get("LoadState") != "loaded":
            raise RecordError(f"there is no service {name}; `systemctl list-units` lists them")
        active = said.get("ActiveState") in {"active", "activating", "reloading"}
        return OldService(name, active, said.get("UnitFileState") in _ENABLED)

    def switch_off(self, old: OldService) -> None:
        """Stop the first version's service, and have it not start at boot.

        Raises:
            RecordError: Another one was switched off before.
            ServiceError: That did not work.
        """
        record = self.read() if self.there else Record()
        if record.service and record.service.name != old.name:
            raise RecordError(
                f"{record.service.name} was switched off before; "
                "`pilot-agent migrate --undo` puts it back"
            )
        if not old.active and not old.enabled:
            return
        record.service = record.service or old
        self._write(record)
        self._service.must("systemctl", "disable", "--now", old.name)
        self._service.changes.append(f"{old.name} switched off")

    def _restart(self, old: OldService) -> None:
        if old.enabled:
            self._service.must("systemctl", "enable", old.name)
        if old.active:
            self._service.must("systemctl", "start", old.name)
        self._service.changes.append(f"{old.name} switched on")

    # --- Files ---------------------------------------------------------------------------

    def _write(self, record: Record) -> None:
        self._put(_RECORD, json.dumps(asdict(record), indent=1).encode())

    def _put(self, name: str, content: bytes) -> None:
        self._service.make_folder(self.folder, mode=0o700, owner="", group="")
        self._service.put(self.folder / name, content, mode=0o600, owner="", group="")

    def _copy(self, content: bytes, name: str, *, like: Path) -> None:
        """Write a file of the configuration's folder, and give it to whom it belonged."""
        there = like.exists()
        owner, group = _whose(like) if there else ("", "")
        self._service.put(
            self._config / name,
            content,
            mode=like.stat().st_mode & 0o777 if there else 0o600,
            owner=owner,
            group=group,
        )


if sys.platform == "win32":

    def _whose(_: Path) -> tuple[str, str]:
        return "", ""

else:

    def _whose(path: Path) -> tuple[str, str]:
        return path.owner(), path.group()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
