"""What Pilot keeps in Home Assistant's storage, which its backups have in them.

A file that cannot be read turns off the part that needs it, and nothing else: it is not touched,
and a repair names it. One of a newer version waits for that version. A damaged one can be set
aside by the repair, so that a backup can still be compared with it.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, UnsupportedStorageVersionError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR, Store
from homeassistant.util import dt as dt_util
from homeassistant.util.json import json_loads

from .const import DOMAIN, LOGGER
from .issues import async_create_issue
from .markdown import code_span

if TYPE_CHECKING:
    from collections.abc import Iterable

type Migrate = Callable[[dict[str, Any]], dict[str, Any]]

ODD: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What reading a file raises that has another form than this version writes."""

_JOURNALS: Final = ("-journal", "-wal", "-shm")
"""What SQLite has beside a database; it belongs to that very file."""


class FileFault(StrEnum):
    """Why a file cannot be read; the value is where the translations have the words."""

    NEWER = "storage_newer"
    DAMAGED = "storage_damaged"


class UnreadableFileError(HomeAssistantError):
    """A file of Pilot's cannot be read; it was not touched, and a repair names it."""

    def __init__(self, path: Path, fault: FileFault, detail: object) -> None:
        """Say which file, and why."""
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.fault = fault


class PilotStore[T: Mapping[str, Any], S](Store[T]):
    """A file that is replaced as a whole, so that a crash leaves the old or the new one."""

    def __init__(
        self,
        hass: HomeAssistant,
        key: str,
        version: int,
        minor_version: int,
        parse: Callable[[T], S],
        *,
        migrate: Migrate = lambda data: data,
        private: bool = False,
        serialize_in_event_loop: bool = True,
    ) -> None:
        """Prepare to read it.

        Args:
            hass: Home Assistant.
            key: Names the file.
            version: What a reader of another major version cannot read.
            minor_version: Fields were added since the one before.
            parse: Makes of what was kept what is used; raises one of `ODD` where it cannot. It
                runs in the executor.
            migrate: Makes of what another minor version kept what this one has.
            private: Only the owner of the file may read it.
            serialize_in_event_loop: Not needed where what is saved is a copy.
        """
        super().__init__(
            hass,
            version,
            key,
            private=private,
            atomic_writes=True,
            minor_version=minor_version,
            serialize_in_event_loop=serialize_in_event_loop,
        )
        self._parse = parse
        self._migrate = migrate

    async def async_read(self) -> S | None:
        """Return what is kept; None if nothing ever was.

        Raises:
            UnreadableFileError: It cannot be read. Nothing is written to it from now on.
        """
        path = Path(self.path)
        try:
            # Home Assistant would move away what is no JSON, and begin anew.
            await self.hass.async_add_executor_job(_check_form, path)
            stored = await self.async_load()
            kept = (
                None
                if stored is None
                else await self.hass.async_add_executor_job(self._parse, stored)
            )
        except (HomeAssistantError, OSError, *ODD) as err:
            self.make_read_only()
            newer = isinstance(err, UnsupportedStorageVersionError)
            fault = FileFault.NEWER if newer else FileFault.DAMAGED
            raise async_unreadable(self.hass, path, fault, err) from err
        async_forget_unreadable(self.hass, path)
        return kept

    @override
    async def _async_migrate_func(
        self, old_major_version: int, old_minor_version: int, old_data: dict[str, Any]
    ) -> dict[str, Any]:
        """Take up what another version of Pilot kept."""
        migrated = self._migrate(old_data)
        # What is returned is written: not before it is known to be understood.
        self._parse(migrated)  # type: ignore[arg-type]
        return migrated


# --- Repairs -------------------------------------------------------------------------------------


@callback
def async_unreadable(
    hass: HomeAssistant, path: Path, fault: FileFault, detail: object
) -> UnreadableFileError:
    """Create the repair of a file that cannot be read, and return the error to raise."""
    error = UnreadableFileError(path, fault, repr(detail))
    LOGGER.error("Pilot's file cannot be read, and what needs it is off: %s", error)
    async_create_issue(
        hass,
        _issue_id(path),
        fault.value,
        {"name": path.name, "file": code_span(f"{STORAGE_DIR}/{path.name}")},
        severity=ir.IssueSeverity.ERROR,
        flow_data={"file": path.name} if fault is FileFault.DAMAGED else None,
    )
    return error


@callback
def async_forget_unreadable(hass: HomeAssistant, path: Path) -> None:
    """Delete the repair of a file that can be read."""
    ir.async_delete_issue(hass, DOMAIN, _issue_id(path))


def is_issue_of_file(issue_id: str) -> bool:
    """Say whether an issue is about a file."""
    return issue_id.startswith(_issue_id(Path()))


def set_aside(path: Path) -> None:
    """Give a damaged file another name, so that there is room for a new one. Blocks."""
    moment = dt_util.utcnow().strftime("%Y%m%dT%H%M%S")
    for suffix in ("", *_JOURNALS):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(path.with_name(f"{path.name}.damaged-{moment}{suffix}"))


def _issue_id(path: Path) -> str:
    return f"storage_{path.name}"


# --- What a file is made of ----------------------------------------------------------------------


def number(value: object) -> float:
    """Return a number as it was kept, or raise `ODD`."""
    if type(value) not in (int, float) or not isfinite(value):  # type: ignore[arg-type]
        raise TypeError(f"{_form(value)} is no number")
    return value  # type: ignore[return-value]


def optional_number(value: object) -> float | None:
    """Return a number or None as it was kept, or raise `ODD`."""
    return None if value is None else number(value)


def text(value: object) -> str:
    """Return a text as it was kept, or raise `ODD`."""
    if type(value) is not str:
        raise TypeError(f"{_form(value)} is no text")
    return value


def texts(values: object) -> list[str]:
    """Return texts as they were kept, or raise `ODD`."""
    if type(values) is not list:
        raise TypeError(f"{_form(values)} is no list")
    items: Iterable[object] = values
    return [text(value) for value in items]


def boolean(value: object) -> bool:
    """Return true or false as it was kept, or raise `ODD`."""
    if type(value) is not bool:
        raise TypeError(f"{_form(value)} is neither true nor false")
    return value


def _form(value: object) -> str:
    """Return what a value is instead of the value: errors are logged, and it may be a secret."""
    return f"a value of type {type(value).__name__}"


def _check_form(path: Path) -> None:
    """Raise `ODD` if a file is there and not of the form that all files of a store have."""
    if not path.exists():
        return
    if not path.is_file():
        raise ValueError("it is no plain file")
    content = json_loads(path.read_bytes())
    if type(content) is not dict or not {"version", "data"} <= content.keys():
        raise ValueError("it has no version and data")
    if type(content["version"]) is not int or type(content["data"]) is not dict:
        raise ValueError("its version is no number, or its data no object")
