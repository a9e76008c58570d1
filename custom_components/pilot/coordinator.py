"""The coordinator of one host: what its topics say, and who has to know.

Everything is pushed. The coordinator listens to the host's announce and availability and,
once it knows what the host reports, to what its collectors read. It keeps one value per
reading and wakes only the entities whose value changed: on a usual update most of them
sleep on, which is what makes a hundred hosts affordable.
"""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from time import monotonic, time
from typing import TYPE_CHECKING

from homeassistant.components import mqtt
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady, HomeAssistantError
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util
from homeassistant.util.json import json_loads

from . import issues
from .backfill.receiver import BacklogReceiver
from .const import CONF_PREFIX, DOMAIN, LOGGER
from .control import Control
from .devices import async_follow_host, async_forget_unannounced
from .messages import payload_bytes
from .protocol.announce import Announce, Reading
from .protocol.errors import ProtocolError
from .protocol.messages import Availability, parse_state
from .protocol.topics import Topics
from .readings import Changes, Collector, Listener, NativeValue, Readings
from .subscriptions import async_subscribe

if TYPE_CHECKING:
    from datetime import datetime

    from homeassistant.components.mqtt import ReceiveMessage

type PilotConfigEntry = ConfigEntry[PilotCoordinator]
type ReadingsListener = Callable[[Announce], None]


class Status(StrEnum):
    """Whether a host is there; where it is not, why."""

    ONLINE = "online"
    ASLEEP = "asleep"
    OFF = "off"
    LOST = "lost"
    NO_BROKER = "no_broker"
    """Home Assistant cannot reach its broker: nothing is known of the host."""
    UNKNOWN = "unknown"
    """The host has not been heard of since Home Assistant started."""


class PilotCoordinator:
    """Follow one host."""

    def __init__(self, hass: HomeAssistant, entry: PilotConfigEntry) -> None:
        """Prepare to follow the host of a config entry."""
        assert entry.unique_id is not None
        self.hass = hass
        self.entry = entry
        self.host_id = entry.unique_id
        self.prefix: str = entry.data[CONF_PREFIX]
        self.topics = Topics(self.prefix, self.host_id)
        self.announce: Announce | None = None
        self.announced_at: datetime | None = None
        self.received: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.readings = Readings()
        self.control = Control(self)
        self.backlog = BacklogReceiver(self)
        self.status = Status.UNKNOWN
        self.since = dt_util.utcnow()

        self._availability: Availability | None = None
        # What the host was when it was last heard of, through outages of the broker and
        # restarts of Home Assistant: `since` must not begin anew after them.
        self._host_status: Status | None = None
        self._host_since = self.since
        self._connected = False
        self._silent = False

        self._announce_listeners: list[ReadingsListener] = []
        self._readings_listeners: list[ReadingsListener] = []
        self._status_listeners: list[CALLBACK_TYPE] = []
        self._cancel_check: CALLBACK_TYPE | None = None
        self._check_at = 0.0

    async def async_start(self) -> None:
        """Begin to listen; everything ends when the config entry is unloaded."""
        # It need not be connected: where the broker is away, the status says so.
        await mqtt.async_wait_for_mqtt_client(self.hass)
        entry = self.entry
        entry.async_on_unload(self._stop)
        try:
            await self.control.async_start()
            await self.backlog.async_start()
            for topic, handler in (
                (self.topics.availability, self._on_availability),
                (self.topics.announce, self._on_announce),
            ):
                await async_subscribe(self.hass, topic, handler, qos=1, entry=entry)
        except HomeAssistantError as err:
            raise ConfigEntryNotReady(
                translation_domain=DOMAIN, translation_key="mqtt_not_configured"
            ) from err
        entry.async_on_unload(
            mqtt.async_subscribe_connection_status(self.hass, self._on_connection)
        )
        self._connected = mqtt.is_connected(self.hass)
        self._update_status()

    # --- What entities ask for ---------------------------------------------------------------

    @callback
    def async_restore(self, status: Status, since: datetime) -> None:
        """Take up what was known of the host before Home Assistant restarted."""
        if self._host_status is None:
            self._host_status, self._host_since = status, since
        elif self._host_status is status and since < self._host_since:
            self._host_since = since
            if self.status is status:
                self.since = since
                self._tell_status()

    @property
    def host_status(self) -> tuple[Status, datetime] | None:
        """What the host was when it was last heard of, and since when."""
        return None if self._host_status is None else (self._host_status, self._host_since)

    @callback
    def async_listen_status(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call this whenever the status changes."""
        self._status_listeners.append(listener)
        return lambda: self._status_listeners.remove(listener)

    @callback
    def async_listen_announce(self, listener: ReadingsListener) -> CALLBACK_TYPE:
        """Call this now and with every announce."""
        self._announce_listeners.append(listener)
        if self.announce is not None:
            listener(self.announce)
        return lambda: self._announce_listeners.remove(listener)

    @callback
    def async_listen_readings(self, listener: ReadingsListener) -> CALLBACK_TYPE:
        """Call this now and whenever other readings are announced."""
        self._readings_listeners.append(listener)
        if self.announce is not None:
            listener(self.announce)
        return lambda: self._readings_listeners.remove(listener)

    @callback
    def async_listen(self, reading: Reading, listener: Listener) -> CALLBACK_TYPE:
        """Show this reading there from now on."""
        self.readings.listen(reading, listener)
        return lambda: self.readings.stop(reading, listener)

    def value(self, key: str) -> NativeValue | None:
        """Return the value to show, None when there is none to believe in."""
        return self.readings.value(key) if self.status is Status.ONLINE else None

    # --- What comes from the broker ----------------------------------------------------------

    @callback
    def _on_connection(self, connected: bool) -> None:
        self._connected = connected
        self._update_status()

    @callback
    def _on_availability(self, message: ReceiveMessage) -> None:
        self.received["availability"] += 1
        payload = payload_bytes(message.payload)
        try:
            self._availability, news = self.control.read_said(message.topic, payload)
        except ProtocolError as err:
            self.async_refuse("availability", err)
            return
        if news and not message.retain:
            self._hear_life()
        self._update_status()

    @callback
    def _on_announce(self, message: ReceiveMessage) -> None:
        self.received["announce"] += 1
        try:
            announce = self.control.read_announce(payload_bytes(message.payload))
        except ProtocolError as err:
            self.async_refuse("announce", err)
            issues.async_report_version(self.hass, self.entry, err)
            return
        if announce is None:
            issues.async_report_removed(self.hass, self.entry)
            return
        self.announced_at = dt_util.utcnow()
        previous, self.announce = self.announce, announce
        issues.async_follow_announce(self.hass, self.entry, announce)
        issues.async_follow_update(self.hass, self.entry, announce)
        async_follow_host(self.hass, self.entry, announce, previous)
        if previous is None:
            self.entry.async_create_task(self.hass, self._subscribe_state())
        if (
            previous is None
            or announce.readings != previous.readings
            or announce.collectors != previous.collectors
            or announce.devices != previous.devices
        ):
            self.readings.arrange(announce, monotonic())
            async_forget_unannounced(self.hass, self.entry, announce)
            for listener in list(self._readings_listeners):
                listener(announce)
        for listener in list(self._announce_listeners):
            listener(announce)
        if not message.retain:
            self._hear_life()
        self._update_status()
        self._check_later(monotonic())

    @callback
    def _on_state(self, message: ReceiveMessage) -> None:
        self.received["state"] += 1
        try:
            states = parse_state(payload_bytes(message.payload), self.control.open_part, json_loads)
        except ProtocolError as err:
            self.async_refuse("state", err)
            return
        heard: list[tuple[Collector, Changes]] = []
        read_at: float | None = None
        now = monotonic()
        for name, state in states.items():
            if (collector := self.readings.collectors.get(name)) is None:
                continue
            try:
                heard.append((collector, collector.changes(state.values)))
            except ProtocolError as err:
                # The others are as good as ever.
                self.async_refuse("state", err)
                continue
            age = max(0.0, time() - state.ts) if message.retain else 0.0
            if collector.hear(state.ts, now, age):
                read_at = state.ts
        if not heard:
            return
        if read_at is not None and not message.retain and self.control.clock_difference is not None:
            self.control.hear_clock(read_at)
        if self._silent:
            self._silent = False
            self._update_status()
        for collector, changes in heard:
            self._show(collector, changes, now)

    # --- Inside ------------------------------------------------------------------------------

    def _show(self, collector: Collector, changes: Changes, now: float) -> None:
        """Wake the entities whose value changed, or all of them when they were too old."""
        show = self.status is Status.ONLINE
        for cell, raw, value in changes:
            cell.take(raw, value)
            if show and collector.fresh and cell.listener is not None:
                cell.listener.async_show(value)
        if not collector.fresh and collector.stale_at > now:
            collector.fresh = True
            if show:
                for cell, listener in collector.shown():
                    listener.async_show(cell.value)
        if collector.fresh and (self._cancel_check is None or collector.stale_at < self._check_at):
            self._check_later(now)

    @callback
    def _stop(self) -> None:
        if self._cancel_check is not None:
            self._cancel_check()
            self._cancel_check = None

    async def _subscribe_state(self) -> None:
        """Ask for what the collectors read: before the announce it would mean nothing."""
        topic = self.topics.state
        await async_subscribe(self.hass, topic, self._on_state, entry=self.entry)

    def _update_status(self) -> None:
        """Draw the conclusion from all that is known, and tell whoever shows it."""
        host: Status | None = None
        if self._availability is not None:
            host = Status(self._availability)
        if host is Status.ONLINE and self._silent:
            host = Status.LOST
        if host is not None and host is not self._host_status:
            self._host_status, self._host_since = host, dt_util.utcnow()
        status = (host or Status.UNKNOWN) if self._connected else Status.NO_BROKER
        if status is self.status:
            return
        was, self.status = self.status, status
        self.since = self._host_since if status is self._host_status else dt_util.utcnow()
        LOGGER.info("%s is %s", self.entry.title, status.replace("_", " "))
        if status is Status.ONLINE:
            self.readings.doubt(monotonic())
        self._tell_status()
        if Status.ONLINE in (was, status):
            for cell, listener in self.readings.shown():
                listener.async_show(cell.value if status is Status.ONLINE else None)

    def _tell_status(self) -> None:
        for listener in list(self._status_listeners):
            listener()

    # --- Silence -----------------------------------------------------------------------------
    #
    # One timer per host, set for the first moment at which something could have become too
    # old. Messages do not move it: when it rings, it looks who has really been silent and
    # sets itself anew. That is one call in three intervals instead of one per message.

    def _hear_life(self) -> None:
        """Note that the host spoke just now: it has time to send before its silence counts."""
        self._silent = False
        self.readings.grant_time(monotonic())

    def _check_later(self, now: float) -> None:
        if self._cancel_check is not None:
            self._cancel_check()
            self._cancel_check = None
        if (moment := self.readings.next_check(now)) is not None:
            self._check_at = moment
            self._cancel_check = async_call_later(self.hass, max(0.0, moment - now), self._check)

    @callback
    def _check(self, _: datetime) -> None:
        self._cancel_check = None
        now = monotonic()
        for collector in self.readings.expire(now):
            if self.status is Status.ONLINE:
                for _cell, listener in collector.shown():
                    listener.async_show(None)
        self._silent = self.readings.silent(now)
        self._update_status()
        self._check_later(now)

    @callback
    def async_refuse(self, topic: str, err: ProtocolError) -> None:
        """Count a refused payload, and log the first of its kind."""
        name = f"{topic}.{err.kind}"
        self.refused[name] += 1
        if self.refused[name] == 1:
            LOGGER.warning(
                "Refused a payload on the %s topic of %s: %s. "
                "More of this kind are only counted; the diagnostics have the numbers",
                topic,
                self.entry.title,
                err.detail,
            )
