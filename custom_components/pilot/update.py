"""Update of the agent of a host: its version, the newest one, and the installation of that."""

from typing import TYPE_CHECKING, Any, Final, override

from awesomeversion import AwesomeVersionCompareException
from homeassistant.components.update import (
    UpdateEntity,
    UpdateEntityDescription,
    UpdateEntityFeature,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.network import NoURLAvailableError
from homeassistant.helpers.translation import async_get_cached_translations

from .bundled_release import SHIPPED
from .const import DOMAIN
from .coordinator import Status
from .entity import PilotEntity, entity_key
from .factory import AnnouncedEntity, async_add_announced_entities
from .markdown import escape_markdown, escape_markdown_lines

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .data import PilotConfigEntry
    from .protocol.announce import Announce, Update
    from .protocol.messages import HostEvent

# A host refuses a second update while one is under way; different hosts do not mind each other.
PARALLEL_UPDATES = 0

COMMAND: Final = "agent.update"
EVENT: Final = "update"
FROM_HOME_ASSISTANT: Final = "homeassistant"
"""The source of hosts that take the release which came with the integration."""
SILENCE: Final = 60.0
"""How long a host may be silent during an update, in seconds, unless it announces longer."""
MAX_SILENCE: Final = 4000.0

DESCRIPTION: Final = UpdateEntityDescription(
    key="agent", translation_key="agent", entity_category=EntityCategory.CONFIG
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the agent of a host."""
    coordinator = entry.runtime_data.coordinator
    key = entity_key(DESCRIPTION)
    agent = AnnouncedEntity(
        key, DESCRIPTION, lambda device: AgentUpdate(coordinator, DESCRIPTION, key, device)
    )

    def source(announce: Announce) -> list[AnnouncedEntity]:
        offer = announce.update
        # An entity that can know of no release would call every version the newest.
        can_know = (
            offer is not None
            and not offer.cannot
            and (offer.source != FROM_HOME_ASSISTANT or hass.data[SHIPPED] is not None)
        )
        return [agent] if can_know else []

    async_add_announced_entities(entry, Platform.UPDATE, async_add_entities, source)


class AgentUpdate(PilotEntity, UpdateEntity):
    """The agent of a host.

    Events report the progress of an update, and announces its outcome, also of one that was begun
    on the host itself.
    """

    _attr_title = "Pilot agent"
    _cancel_silence: CALLBACK_TYPE | None = None
    _outcome: asyncio.Future[str | None] | None = None
    """Why it was not installed; empty when it was, None when nothing is known."""
    _began_in: str | None = None
    """The host's session in which the update that is under way was begun."""
    _target: str | None = None

    @override
    async def async_added_to_hass(self) -> None:
        coordinator = self.coordinator
        self.async_on_remove(coordinator.async_add_event_listener(EVENT, self._on_event))
        self.async_on_remove(lambda: self._end(None))
        await super().async_added_to_hass()

    @override
    def _update_attrs(self) -> None:
        if (announce := self.coordinator.data) is not None:
            self._update_versions(announce)
            self._conclude(announce)
        # While another version starts the host is offline for a moment.
        self._attr_available = (
            self.coordinator.status is Status.ONLINE or self._attr_in_progress is True
        )

    # --- What there is -----------------------------------------------------------------------

    @property
    def _offer(self) -> Update | None:
        return self.coordinator.data.update if self.coordinator.data else None

    @property
    def _newest(self) -> tuple[str, str] | None:
        """Version and notes of the newest release that this host can have."""
        offer = self._offer
        if offer is None or offer.source == FROM_HOME_ASSISTANT:
            shipped = self.hass.data[SHIPPED]
            return None if shipped is None else (shipped.version, shipped.notes)
        if offer.newest is None:
            return None
        version, notes = offer.newest
        # Home Assistant draws notes as Markdown; these have passed through the host.
        return version, escape_markdown_lines(notes)

    def _update_versions(self, announce: Announce) -> None:
        offer, newest, installed = announce.update, self._newest, announce.agent.version
        features = UpdateEntityFeature.PROGRESS
        if self.coordinator.auth.paired and COMMAND in announce.commands and newest:
            features |= UpdateEntityFeature.INSTALL
        if newest and newest[1]:
            features |= UpdateEntityFeature.RELEASE_NOTES
        self._attr_supported_features = features
        self._attr_installed_version = installed
        trouble = offer and offer.trouble
        # Without knowing what there is, no version is the newest.
        self._attr_latest_version = (
            None
            if trouble and newest is None
            else self._later(newest[0] if newest else None, installed)
        )
        self._attr_release_summary = trouble and escape_markdown(self._sentence(trouble))

    def _sentence(self, trouble: str) -> str:
        """Say in the language of the house that the host does not know what its source has."""
        texts = async_get_cached_translations(
            self.hass, self.hass.config.language, "exceptions", DOMAIN
        )
        told = texts.get(f"component.{DOMAIN}.exceptions.update_trouble.message", "{reason}")
        return told.format(name=self.coordinator.config_entry.title, reason=trouble)

    def _later(self, newest: str | None, installed: str) -> str:
        try:
            return newest if newest and self.version_is_newer(newest, installed) else installed
        except AwesomeVersionCompareException:
            return installed

    @override
    async def async_release_notes(self) -> str | None:
        """Return what is new."""
        return self._newest[1] if self._newest else None

    # --- Installing --------------------------------------------------------------------------

    @override
    async def async_install(self, version: str | None, backup: bool, **kwargs: Any) -> None:
        """Have the host install the newest release, and wait until it is online with it.

        Raises:
            HomeAssistantError: It did not, and why.
        """
        coordinator, target = self.coordinator, self.latest_version
        assert target is not None
        args = {"version": target}
        shipped = self.hass.data[SHIPPED]
        if shipped is not None and (
            self._offer is None or self._offer.source == FROM_HOME_ASSISTANT
        ):
            try:
                args["url"] = shipped.address(self.hass)
            except NoURLAvailableError as err:
                raise self._error("update_no_address") from err
        outcome = self._outcome = self.hass.loop.create_future()
        self._begin(target)
        try:
            await coordinator.commands.async_do(COMMAND, args)
            reason = await outcome
        finally:
            self._outcome = None
            self._end()
        if reason is None:
            raise self._error("update_silent")
        if reason:
            raise self._error("update_failed", version=target, reason=reason)

    def _error(self, key: str, **placeholders: str) -> HomeAssistantError:
        return HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key=key,
            translation_placeholders={"name": self.coordinator.config_entry.title, **placeholders},
        )

    @callback
    def _on_event(self, event: HostEvent) -> None:
        version = event.data.get("version")
        if event.type == "progress":
            if self._target is None:
                self._begin(str(version or self.latest_version))
            elif version:
                self._target = str(version)
            percent, within = event.data.get("percent"), event.data.get("within")
            downloading = event.data.get("step") == "downloading"
            # What comes after the download takes its time without any measure of it.
            self._attr_update_percentage = (
                percent if downloading and isinstance(percent, int) else None
            )
            self._wait(within if isinstance(within, int | float) else SILENCE)
        elif event.type == "failed":
            self._end(str(event.data.get("reason")))
        self._handle_coordinator_update()

    def _begin(self, target: str) -> None:
        announce = self.coordinator.data
        self._target, self._began_in = target, announce.session if announce else None
        self._attr_in_progress = True
        self._attr_update_percentage = None
        self._wait(SILENCE)
        self._handle_coordinator_update()

    def _conclude(self, announce: Announce) -> None:
        """See what came of the update that is under way."""
        offer = announce.update
        if self._target is None or announce.session == self._began_in:
            return
        if announce.agent.version == self._target and not (offer and offer.trial):
            self._end("")
        elif offer and offer.failed and offer.failed[0] == self._target:
            self._end(offer.failed[1])

    def _end(self, reason: str | None = "") -> None:
        self._stop_waiting()
        self._target = self._began_in = None
        self._attr_in_progress = False
        self._attr_update_percentage = None
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(reason)

    # --- Waiting -----------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._cancel_silence = async_call_later(
            self.hass, max(1.0, min(seconds, MAX_SILENCE)), self._nothing_heard
        )

    def _stop_waiting(self) -> None:
        if self._cancel_silence is not None:
            self._cancel_silence()
            self._cancel_silence = None

    @callback
    def _nothing_heard(self, _: datetime) -> None:
        self._cancel_silence = None
        self._end(None)
        self._handle_coordinator_update()
