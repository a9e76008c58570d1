"""The entity factory: makes the entities of what a host announces, and removes the others.

Each platform tells by a *source* which entities it has for an announce. With every announce the
factory adds those that are new, replaces those that were announced otherwise before, and removes
the rest with their registry entries.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from homeassistant.const import Platform
from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.entity import EntityDescription

from .descriptions import platform_of, shown_as
from .devices import async_get_device, async_remove_stale_entities
from .entity import ARGUMENT, PilotEntity, ReadingEntity, Setting, SettingEntity
from .messages import repetition
from .protocol.announce import Announce, Reading
from .protocol.catalogue import CATALOGUE, ReadingType

if TYPE_CHECKING:
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotCoordinator
    from .data import PilotConfigEntry


@dataclass(frozen=True, slots=True)
class AnnouncedEntity:
    """An entity that an announce has.

    Attributes:
        key: Its key below the host, from which its unique id is made.
        item: What it is made of; the entity is replaced when this differs.
        make: Makes it, on its device.
        device: The key of its device below the host; None for the host itself.
    """

    key: str
    item: object
    make: Callable[[dr.DeviceEntry], PilotEntity] = field(compare=False)
    device: str | None = None


type EntitySource = Callable[[Announce], Iterable[AnnouncedEntity] | None]
"""Returns the entities of an announce.

None where that is not known, since a file cannot be read: nothing of the platform is removed then.
"""


def reading_source[DescriptionT: EntityDescription](
    coordinator: PilotCoordinator,
    platform: Platform,
    describe: Callable[[Reading], DescriptionT],
    make: Callable[[PilotCoordinator, DescriptionT, Reading, dr.DeviceEntry], ReadingEntity],
) -> EntitySource:
    """Return the source of the readings that a platform shows; settings are not among them."""

    def announced(reading: Reading) -> AnnouncedEntity:
        return AnnouncedEntity(
            reading.key,
            reading,
            lambda device: make(coordinator, describe(reading), reading, device),
            reading.device,
        )

    def source(announce: Announce) -> Iterable[AnnouncedEntity]:
        set_by_owners = {setting.reading.key for _, setting in owners_settings(announce)}
        for reading in announce.readings.values():
            if platform_of(reading) is platform and reading.key not in set_by_owners:
                yield announced(reading)

    return source


_TYPES: Final = {
    Platform.NUMBER: ReadingType.NUMBER,
    Platform.SELECT: ReadingType.ENUM,
    Platform.SWITCH: ReadingType.BOOLEAN,
}
"""What the reading of a setting has to be, by the platform that shows it."""


def owners_settings(announce: Announce) -> Iterable[tuple[Platform, Setting]]:
    """Return the settings that a host's owner has added, and the platforms that show them."""
    for command in announce.commands.values():
        platform, reading = shown_as(command), announce.readings.get(command.state or "")
        if platform not in _TYPES or reading is None or ARGUMENT not in command.args:
            continue
        if platform is Platform.NUMBER and ARGUMENT not in command.limits:
            continue
        if reading.kind not in CATALOGUE and reading.type is _TYPES[platform]:
            yield platform, Setting(reading, command)


def owners_setting_source[DescriptionT: EntityDescription](
    coordinator: PilotCoordinator,
    platform: Platform,
    describe: Callable[[Setting], DescriptionT],
    make: Callable[[PilotCoordinator, DescriptionT, Setting, dr.DeviceEntry], SettingEntity],
) -> EntitySource:
    """Return the source of the settings that a host's owner wants on a platform."""

    def announced(setting: Setting) -> AnnouncedEntity:
        return AnnouncedEntity(
            setting.reading.key,
            setting,
            lambda device: make(coordinator, describe(setting), setting, device),
            setting.reading.device,
        )

    def settings(announce: Announce) -> Iterable[AnnouncedEntity]:
        return [announced(one) for where, one in owners_settings(announce) if where is platform]

    return while_paired(coordinator, settings)


def announced_settings(announce: Announce, kinds: Container[str]) -> Iterable[Setting]:
    """Return the settings of some kinds that a host announces."""
    for command in announce.commands.values():
        reading = announce.readings.get(command.state or "")
        if reading is None or reading.kind != command.kind or reading.kind not in kinds:
            continue
        if ARGUMENT in command.args:
            yield Setting(reading, command)


_BRIGHTNESS: Final = "screen.brightness"
_ON: Final = "screen.on"


def dimmable_monitors(announce: Announce) -> Iterable[tuple[Setting, Setting | None]]:
    """Return the brightness of each monitor that has one, and what switches that monitor."""
    switches = {one.reading.of: one for one in announced_settings(announce, {_ON})}
    for setting in announced_settings(announce, {_BRIGHTNESS}):
        if ARGUMENT in setting.command.limits:
            yield setting, switches.get(setting.reading.of)


def setting_source[DescriptionT: EntityDescription](
    coordinator: PilotCoordinator,
    descriptions: Mapping[str, DescriptionT],
    make: Callable[[PilotCoordinator, DescriptionT, Setting, dr.DeviceEntry], SettingEntity],
    accepts: Callable[[Setting], bool] = lambda _: True,
    elsewhere: Callable[[Announce], Container[str]] = lambda _: (),
) -> EntitySource:
    """Return the source of the settings that a platform shows, which the host must be paired for.

    Args:
        coordinator: The coordinator of the host.
        descriptions: Those of the platform, by kind: a number, a choice, a switch or a text is
            shown by the platform that describes its kind.
        make: Makes the entity of a setting.
        accepts: Returns whether the host announces all that the platform needs.
        elsewhere: Returns the keys of readings that an entity of another platform shows.
    """

    def announced(setting: Setting) -> AnnouncedEntity:
        reading = setting.reading
        description = descriptions[reading.kind]
        return AnnouncedEntity(
            reading.key,
            setting,
            lambda device: make(coordinator, description, setting, device),
            reading.device,
        )

    def settings(announce: Announce) -> Iterable[AnnouncedEntity]:
        shown = elsewhere(announce)
        for setting in announced_settings(announce, descriptions):
            if setting.reading.key not in shown and accepts(setting):
                yield announced(setting)

    return while_paired(coordinator, settings)


def while_paired(coordinator: PilotCoordinator, source: EntitySource) -> EntitySource:
    """Return a source whose entities need a host that is paired."""

    def paired(announce: Announce) -> Iterable[AnnouncedEntity] | None:
        if not coordinator.auth.readable:
            return None
        return source(announce) if coordinator.auth.paired else ()

    return paired


def _sensors(announce: Announce) -> set[str | None]:
    """Return the devices that are sensors which may stand anywhere, and no parts of the host.

    What such a sensor measures is of a kind without a domain in front: `temperature`.
    """
    return {reading.device for reading in announce.readings.values() if "." not in reading.kind}


class _EntityFactory:
    """Keeps the entities of one platform of a host as announced."""

    def __init__(
        self,
        entry: PilotConfigEntry,
        platform: Platform,
        async_add_entities: AddConfigEntryEntitiesCallback,
        sources: Iterable[EntitySource],
        permanent: Iterable[str],
    ) -> None:
        self._entry = entry
        self._coordinator = entry.runtime_data.coordinator
        self._platform = platform
        self._async_add_entities = async_add_entities
        self._sources = tuple(sources)
        self._permanent = frozenset(permanent)
        self._announce: Announce | None = None
        self._announced: dict[str, AnnouncedEntity] = {}
        self._entities: dict[str, PilotEntity] = {}

    @callback
    def async_update(self) -> None:
        """Add, replace and remove entities if there is an announce that says something new."""
        announce, last = self._coordinator.data, self._announce
        if announce is None or announce is last:
            return
        self._announce = announce
        if last is not None and repetition(last, announce) is not None:
            return
        is_first = last is None
        before = self._announced
        sourced = [source(announce) for source in self._sources]
        self._announced = {entity.key: entity for entities in sourced for entity in entities or ()}
        if is_first or self._announced.keys() != before.keys():
            if None not in sourced:
                keys = self._permanent | self._announced.keys()
                async_remove_stale_entities(
                    self._coordinator.hass, self._entry, self._platform, keys
                )
            for key in before.keys() - self._announced.keys():
                del self._entities[key]
        changed = [entity for key, entity in self._announced.items() if before.get(key) != entity]
        devices = {
            key: async_get_device(self._coordinator.hass, self._entry, key)
            for key in {None, *(entity.device for entity in changed)}
        }
        named_by_themselves = {None, *_sensors(announce)}
        new: list[PilotEntity] = []
        for announced in changed:
            entity = announced.make(devices[announced.device])
            if announced.device not in named_by_themselves:
                entity.host_device = devices[None]
            replaced = self._entities.get(announced.key)
            self._entities[announced.key] = entity
            # An entity that is disabled was not added.
            if replaced is None or replaced.hass is None:
                new.append(entity)
            else:
                self._entry.async_create_task(
                    self._coordinator.hass, self._replace(replaced, entity)
                )
        if new:
            self._async_add_entities(new)

    async def _replace(self, replaced: PilotEntity, entity: PilotEntity) -> None:
        """Add an entity once the one with the same unique id is gone."""
        await replaced.async_remove()
        self._async_add_entities([entity])


@callback
def async_add_announced_entities(
    entry: PilotConfigEntry,
    platform: Platform,
    async_add_entities: AddConfigEntryEntitiesCallback,
    *sources: EntitySource,
    permanent: Iterable[str] = (),
) -> None:
    """Make the entities of a platform that the host announces, now and with every announce.

    Args:
        entry: The config entry of the host.
        platform: The platform.
        async_add_entities: Adds entities to it.
        sources: Return the entities of an announce.
        permanent: The keys of entities that do not depend on announces, and are never removed.
    """
    factory = _EntityFactory(entry, platform, async_add_entities, sources, permanent)
    entry.async_on_unload(entry.runtime_data.coordinator.async_add_listener(factory.async_update))
    factory.async_update()
