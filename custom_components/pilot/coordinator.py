"""The coordinator of one host: it subscribes to its topics and keeps what they say.

Hosts push. The coordinator subscribes to the announce and the availability of its host and, once
the announce says what the host reports, to the state that its collectors read. It keeps one value
for each reading. Its listeners are called on a new announce or status; those of readings, which
are kept by key, only when their value changes. On a usual update most entities are not called at
all, which is what makes a hundred hosts affordable.
"""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, override

from homeassistant.components import mqtt
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady, HomeAssistantError
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util
from homeassistant.util.json import json_loads

from . import repairs
from .auth import HostAuth, Reauthentication
from .commands import HostCommands
from .const import CONF_PREFIX, DOMAIN, LOGGER
from .devices import async_remove_stale_devices, async_update_devices
from .messages import payload_bytes
from .pacing import async_get_pacer
from .protocol.announce import Announce
from .protocol.errors import ProtocolError
from .protocol.messages import Availability, HostEvent, parse_state
from .protocol.topics import Topics, split_key_topic
from .readings import Changes, Collector, Listener, NativeValue, Readings, Shown
from .subscriptions import Handler, async_subscribe, async_subscribe_below

if TYPE_CHECKING:
    from datetime import datetime

    from homeassistant.components.mqtt import ReceiveMessage

    from .kept_announces import KeptAnnounces
    from .trust import TrustStore

type EventListener = Callable[[HostEvent], None]

SURPASS_DELAY = 3.0
"""Seconds in which replayed announces of earlier starts of a host become one question to it."""


class Status(StrEnum):
    """Whether a host is online; where it is not, why."""

    ONLINE = "online"
    ASLEEP = "asleep"
    OFF = "off"
    LOST = "lost"
    NO_BROKER = "no_broker"
    """Home Assistant cannot reach its broker: nothing is known of the host."""
    UNKNOWN = "unknown"
    """No availability of the host came since Home Assistant connected to its broker."""


class PilotCoordinator(DataUpdateCoordinator[Announce | None]):
    """Follow one host; the data is its last announce, None before the very first.

    Attributes:
        host_id: The id of the host, which is the unique id of its config entry.
        topics: Its topics.
        announced_at: When the last announce came; None while `data` is what was kept.
        received: How many messages came, by topic.
        refused: How many messages were refused, by topic and error.
        readings: The values of its readings.
        auth: Decides which of its messages are accepted.
        commands: Sends commands to it.
        pacer: Spreads the work of many hosts.
        status: Whether it is online; where it is not, why.
        since: When the status began.
    """

    config_entry: ConfigEntry

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, store: TrustStore, kept: KeptAnnounces
    ) -> None:
        """Prepare to follow the host of a config entry.

        Args:
            hass: Home Assistant.
            entry: The config entry of the host.
            store: The keys that are shared with it.
            kept: What it announced before Home Assistant started.
        """
        super().__init__(hass, LOGGER, config_entry=entry, name=entry.title)
        assert entry.unique_id is not None
        self.host_id = entry.unique_id
        self.topics = Topics(entry.data[CONF_PREFIX], self.host_id)
        self.announced_at: datetime | None = None
        self.received: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.readings = Readings()
        self._reauthentication = Reauthentication(hass, entry, self._verify)
        self.auth = HostAuth(
            hass,
            entry,
            store,
            kept,
            self._reauthentication,
            self.async_refuse,
            self._surpass_soon,
        )
        self.commands = HostCommands(
            hass,
            entry,
            store,
            self.auth,
            self._reauthentication,
            status=lambda: self.status,
            time_limit=self._time_limit,
            refuse=self.async_refuse,
        )
        self.pacer = async_get_pacer(hass)
        self.status = Status.UNKNOWN
        self.since = dt_util.utcnow()

        self._availability: Availability | None = None
        # The status of the host when it was last heard, through outages of the broker and
        # restarts of Home Assistant: `since` must not begin anew after them.
        self._host_status: Status | None = None
        self._host_since = self.since
        self._connected = False
        self._silent = False
        self._early_state: ReceiveMessage | None = None
        self._epoch = 0  # of the messages that are still to be handled

        self._event_listeners: dict[str, list[EventListener]] = {}
        self._cancel_check: CALLBACK_TYPE | None = None
        self._check_at = 0.0
        self._cancel_surpass: CALLBACK_TYPE | None = None

    @override
    async def _async_setup(self) -> None:
        # It need not be connected: where the broker is away, the status says so.
        await mqtt.async_wait_for_mqtt_client(self.hass)
        entry = self.config_entry
        if (kept := self.auth.kept_announce()) is not None:
            async_update_devices(self.hass, entry, kept, None)
            self.readings.arrange(kept, monotonic())
            self.data = kept
        self._reauthentication.async_start(has_keys=self.auth.paired, readable=self.auth.readable)
        try:
            await self.commands.async_start()
            await async_subscribe_below(
                self.hass,
                self.topics,
                lambda topics: topics.event("+"),
                self._on_event,
                qos=1,
                entry=entry,
            )
            # In this order the broker repeats what it has kept. With the state before the announce
            # entities are made with their values: they are not unavailable first.
            for topic, qos, handler in (
                (self.topics.availability, 1, self._on_availability),
                (self.topics.state, 0, self._on_state),
                (self.topics.announce, 1, self._on_announce),
            ):
                receive = partial(self._receive, handler)
                await async_subscribe(self.hass, topic, receive, qos=qos, entry=entry)
        except HomeAssistantError as err:
            raise ConfigEntryNotReady(
                translation_domain=DOMAIN, translation_key="mqtt_not_configured"
            ) from err
        entry.async_on_unload(
            mqtt.async_subscribe_connection_status(self.hass, self._on_connection)
        )
        entry.async_on_unload(self._forget_messages)
        self._connected = mqtt.is_connected(self.hass)
        self._update_status()

    def _time_limit(self, key: str) -> float | None:
        command = None if self.data is None else self.data.commands.get(key)
        return None if command is None else command.time_limit

    async def _verify(self, patience: float) -> bool:
        return await self.commands.async_verify(patience)

    @callback
    def _surpass_soon(self, start: int) -> None:
        """Have the host go on above a start soon: nothing that it signs below is accepted."""

        async def surpass(_: datetime) -> None:
            self._cancel_surpass = None
            await self.commands.async_surpass(start)

        if self._cancel_surpass is None:
            self._cancel_surpass = async_call_later(self.hass, SURPASS_DELAY, surpass)

    @override
    async def _async_update_data(self) -> Announce | None:
        return self.data  # Hosts push: there is nothing to poll.

    @override
    async def async_shutdown(self) -> None:
        """Stop the timer; the config entry ends the subscriptions."""
        await super().async_shutdown()
        self._cancel_timer()
        if self._cancel_surpass is not None:
            self._cancel_surpass()

    # --- For entities ------------------------------------------------------------------------

    @callback
    def async_restore(self, status: Status, since: datetime) -> None:
        """Continue with the status of the host from before a restart of Home Assistant."""
        # It may have been noted by a clock that was ahead.
        since = min(since, dt_util.utcnow())
        if self._host_status is None:
            self._host_status, self._host_since = status, since
        elif self._host_status is status and since < self._host_since:
            self._host_since = since
            if self.status is status:
                self.since = since
                self.async_update_listeners()

    @property
    def host_status(self) -> tuple[Status, datetime] | None:
        """The status of the host when it was last heard, and since when."""
        return None if self._host_status is None else (self._host_status, self._host_since)

    @callback
    def async_add_reading_listener(self, key: str, listener: Listener) -> CALLBACK_TYPE:
        """Call this whenever the value of a reading changes."""
        self.readings.listen(key, listener)
        return lambda: self.readings.stop(key, listener)

    @callback
    def async_add_event_listener(self, key: str, listener: EventListener) -> CALLBACK_TYPE:
        """Call this whenever an event with this key comes."""
        listeners = self._event_listeners.setdefault(key, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def value(self, key: str) -> NativeValue | None:
        """Return the value of a reading; None where it is too old, or the host not online."""
        return self.readings.value(key) if self.status is Status.ONLINE else None

    # --- From the broker ---------------------------------------------------------------------

    @callback
    def _receive(self, handler: Handler, message: ReceiveMessage) -> None:
        """Handle a message in the order in which all hosts' messages came, as there is time."""
        if handler == self._on_state and self.announced_at is None:
            # It means nothing before the announce. Where that waits for its turn, entities are made
            # with their values then, and not written twice.
            self._early_state = message
        else:
            self._do_in_turn(partial(handler, message))

    def _do_in_turn(self, work: Callable[[], None]) -> None:
        epoch = self._epoch

        def do() -> None:
            if epoch == self._epoch:
                work()

        self.pacer.do(self, do)

    @callback
    def _forget_messages(self) -> None:
        """Forget what has come and was not handled yet."""
        self._epoch += 1
        self._early_state = None

    @callback
    def _on_connection(self, connected: bool) -> None:
        self._connected = connected
        if not connected:
            # The host may change meanwhile. Once connected again the broker repeats what it
            # keeps: what was heard before must not be shown first.
            self._availability = None
            self._forget_messages()
        self._do_in_turn(self._update_status)

    @callback
    def _on_availability(self, message: ReceiveMessage) -> None:
        self.received["availability"] += 1
        payload = payload_bytes(message.payload)
        try:
            self._availability, is_new = self.auth.read_availability(message.topic, payload)
        except ProtocolError as err:
            self.async_refuse("availability", err)
            return
        if is_new and not message.retain:
            self._restart_silence()
        self._update_status()

    @callback
    def _on_announce(self, message: ReceiveMessage) -> None:
        self.received["announce"] += 1
        hass, entry = self.hass, self.config_entry
        try:
            announce = self.auth.read_announce(payload_bytes(message.payload))
        except ProtocolError as err:
            self.async_refuse("announce", err)
            repairs.async_report_version(hass, entry, err)
            return
        if announce is None:
            repairs.async_report_removed(hass, entry)
            return
        self.announced_at = dt_util.utcnow()
        self.commands.async_follow_announce(announce)
        repairs.async_follow_announce(hass, entry, announce)
        repairs.async_follow_update(hass, entry, announce)
        repairs.async_follow_pairing(hass, entry, announce, paired=self.auth.paired)
        if self.auth.paired:
            repairs.async_follow_permissions(hass, entry, announce)
        previous = self.data
        async_update_devices(hass, entry, announce, previous)
        if (
            previous is None
            or announce.readings != previous.readings
            or announce.collectors != previous.collectors
        ):
            self.readings.arrange(announce, monotonic())
        if self._early_state is not None:
            early, self._early_state = self._early_state, None
            self._on_state(early)
        if previous is None or announce.devices != previous.devices:
            async_remove_stale_devices(hass, entry, announce)
        self.async_set_updated_data(announce)
        if not message.retain:
            self._restart_silence()
        self._update_status()
        self._schedule_check(monotonic())

    @callback
    def _on_event(self, message: ReceiveMessage) -> None:
        self.received["event"] += 1
        try:
            if message.retain:
                raise ProtocolError("retained", "events are never kept by the broker")  # noqa: TRY301
            event = self.auth.read_event(message.topic, payload_bytes(message.payload))
        except ProtocolError as err:
            self.async_refuse("event", err)
            return
        key, _ = split_key_topic(message.topic)
        for listener in list(self._event_listeners.get(key, ())):
            listener(event)

    @callback
    def _on_state(self, message: ReceiveMessage) -> None:
        self.received["state"] += 1
        try:
            states = parse_state(payload_bytes(message.payload), self.auth.open_part, json_loads)
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
                # The other collectors of the message are valid.
                self.async_refuse("state", err)
                continue
            age = max(0.0, time() - state.ts) if message.retain else 0.0
            if collector.hear(state.ts, now, age):
                read_at = state.ts
        if not heard:
            return
        if read_at is not None and not message.retain:
            self.commands.async_check_clock(read_at)
        if self._silent:
            self._silent = False
            self._update_status()
        shown: Shown = {}
        for collector, changes in heard:
            self._take(collector, changes, now, shown)
        if shown:
            self.pacer.show(shown)

    def _take(self, collector: Collector, changes: Changes, now: float, shown: Shown) -> None:
        """Keep values, and add what is to be shown: what changed, or all that was too old.

        All of a message are kept before the first is shown: an entity may show several of them.
        """
        show = self.status is Status.ONLINE
        for cell, raw, value in changes:
            cell.raw, cell.value = raw, value
        if collector.fresh:
            if show:
                for cell, _, value in changes:
                    for listener in cell.listeners:
                        shown[listener] = value
        elif collector.stale_at > now:
            collector.fresh = True
            if show:
                shown.update(collector.shown())
        if collector.fresh and (self._cancel_check is None or collector.stale_at < self._check_at):
            self._schedule_check(now)

    def _update_status(self) -> None:
        """Derive the status, and call the listeners if it changed."""
        host: Status | None = None
        if self._availability is not None:
            host = Status(self._availability)
        if host is Status.ONLINE and self._silent:
            host = Status.LOST
        now = dt_util.utcnow()
        if host is not None and host is not self._host_status:
            self._host_status, self._host_since = host, now
        if self.since > now or self._host_since > now:
            self._host_since, self.since = min(self._host_since, now), min(self.since, now)
            self.async_update_listeners()
        status = (host or Status.UNKNOWN) if self._connected else Status.NO_BROKER
        if status is self.status:
            return
        was, self.status = self.status, status
        self.since = self._host_since if status is self._host_status else now
        if status is not Status.UNKNOWN:
            LOGGER.info("%s is %s", self.config_entry.title, status.replace("_", " "))
        if status is Status.ONLINE:
            self.readings.doubt(monotonic())
        self.async_update_listeners()
        if Status.ONLINE in (was, status):
            shown = self.readings.shown()
            self.pacer.show(shown if status is Status.ONLINE else dict.fromkeys(shown))

    # --- Silence -----------------------------------------------------------------------------
    #
    # One timer per host, set for the first moment at which something could have become too
    # old. Messages do not move it: when it fires, the collectors that were really silent expire,
    # and it is set anew. That is one call in three intervals instead of one per message.

    def _restart_silence(self) -> None:
        """Let the silence of a host that was heard begin anew: it has time to send its values."""
        self._silent = False
        self.readings.grant_time(monotonic())

    def _cancel_timer(self) -> None:
        if self._cancel_check is not None:
            self._cancel_check()
            self._cancel_check = None

    def _schedule_check(self, now: float) -> None:
        self._cancel_timer()
        if (moment := self.readings.next_check(now)) is not None:
            self._check_at = moment
            self._cancel_check = async_call_later(self.hass, max(0.0, moment - now), self._check)

    @callback
    def _check(self, _: datetime) -> None:
        self._cancel_check = None
        now = monotonic()
        expired = self.readings.expire(now)
        if self.status is Status.ONLINE:
            for collector in expired:
                self.pacer.show(dict.fromkeys(collector.shown()))
        self._silent = self.readings.silent(now)
        self._update_status()
        self._schedule_check(now)

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
                self.config_entry.title,
                err.detail,
            )
