"""What Pilot keeps in Home Assistant's storage, which its backups have in them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, override

from homeassistant.helpers.storage import Store

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

type Migrate = Callable[[dict[str, Any]], dict[str, Any]]


class AtomicStore[T: Mapping[str, Any]](Store[T]):
    """A file that is replaced as a whole, so that a crash leaves the old or the new one."""

    def __init__(
        self, hass: HomeAssistant, key: str, version: int, minor_version: int, migrate: Migrate
    ) -> None:
        """Prepare to load it.

        Args:
            hass: Home Assistant.
            key: Names the file.
            version: What a reader of another major version cannot read.
            minor_version: Fields were added since the one before.
            migrate: Makes of what another minor version kept what this one has.
        """
        super().__init__(
            hass,
            version,
            key,
            atomic_writes=True,
            minor_version=minor_version,
            serialize_in_event_loop=False,
        )
        self._migrate = migrate

    @override
    async def _async_migrate_func(
        self, old_major_version: int, old_minor_version: int, old_data: dict[str, Any]
    ) -> dict[str, Any]:
        """Take up what another version of Pilot kept."""
        return self._migrate(old_data)
