"""`pilot-agent doctor`: what works on this host, why the rest does not, and what to do."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
import json
import logging
import secrets
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, Self

from companion_agent import (
    config as configuration,
    identity,
    platforms,
)
from companion_agent.announcement import compose, describe_host
from companion_agent.cli.comparison import compare
from companion_agent.cli.settings import describe
from companion_agent.cli.snapshot import Snapshot
from companion_agent.config import ConfigError
from companion_agent.config.buffer import FILE, MIB
from companion_agent.config.overlay import Overlay, OverlayError
from companion_agent.desktop.sessions import START_HINT
from companion_agent.errors import Unavailable
from companion_agent.ipc import sight
from companion_agent.ipc.client import ChannelError, LocalClient, NotRunningError
from companion_agent.logs import printable
from companion_agent.models import Counters
from companion_agent.mqtt import errors, peer
from companion_agent.mqtt.connection import Message, Transport
from companion_agent.mqtt.discovery_record import read_record
from companion_agent.mqtt.unsigned import WARNING
from companion_agent.plugins import registry
from companion_agent.plugins.i2c.overrides import (
    Overrides,
    OverridesError,
    aside,
    is_aside,
    peek,
)
from companion_agent.plugins.runner import kind_of
from companion_agent.protocol.announce import write_announce
from companion_agent.protocol.catalogue import CATALOGUE
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import Availability, state_payload
from companion_agent.protocol.topics import Topics
from companion_agent.protocol.validation import MAX_STATE
from companion_agent.security.key_store import StoreError, TrustStore
from companion_agent.storage.permissions import (
    AS_ADMINISTRATOR,
    check_secret,
    typed_by_administrator,
)
from companion_agent.storage.plain import is_there
from companion_agent.timing import Alarm

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from companion_agent.config import Broker, Config
    from companion_agent.models import Reading
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.runner import CollectorRunner

Verdict = Literal["ok", "absent", "bad"]

# A broker is given this long for everything: more than the transport's own limits.
BROKER_LIMIT = 30.0
# How long an echo may take where the broker does not say whether it took a message.
ECHO_LIMIT = 3.0
# With less, SQLite's journal has no room for a transaction.
SPACE_NEEDED = MIB
# Clocks that were never set begin in 1970, 2000 or at the firmware's build.
CLOCK_EARLIEST = 1_767_225_600.0  # 2026-01-01


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        verdict: Whether it works; `absent` when this host does not have it.
        detail: What was found.
        hint: What to do; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


def main(parsed: argparse.Namespace) -> int:
    """Look at everything and print what was found."""
    return doctor(parsed.config, as_json=parsed.json)


def doctor(path: Path | None, *, as_json: bool) -> int:
    """Look at everything and print what was found.

    Args:
        path: The configuration file that the command line names.
        as_json: Print JSON instead of a table.

    Returns:
        The exit code: 0 when nothing is bad.
    """
    # What goes wrong is said in the table.
    logging.getLogger("companion_agent").setLevel(logging.CRITICAL)
    checks = list(examine(path))
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        _print_table(checks)
    return 1 if any(check.verdict == "bad" for check in checks) else 0


def examine(path: Path | None) -> Iterator[Check]:
    """Look at the configuration, the collectors, the clock and the brokers."""
    config: Config | None = None
    try:
        config = configuration.load(path)
    except ConfigError as error:
        for mistake in error.mistakes:
            yield Check(
                "configuration", "bad", str(mistake), "docs/configuration.md lists all keys"
            )
    else:
        yield Check("configuration", "ok", str(config.path or "from the environment"))
    snapshot = _read(config)
    yield from _check_collectors(config, snapshot)
    yield from check_processor(platforms.current())
    yield _check_clock(time.time())
    if config:
        yield check_pairing(config)
        yield from _check_tuning(config)
        yield from _check_settings(config)
        yield from _check_discovery(config)
        yield from check_backlog(config)
        yield from _check_secrets(config)
        yield _check_refused(config)
        yield from check_service(config, snapshot)
        host = identity.known_host_id(config.state_dir, platforms.current())
        size = announce_size(host, snapshot)
        for broker in config.brokers:
            topics = Topics(config.topic_prefix, host)
            yield from check_broker(broker, topics, config.birth_topic, size)


def _switched_off(config: Config | None) -> list[str]:
    plugins = registry.load().types
    return [name for name in plugins if config and not config.collector(name).enabled]


def _read(config: Config | None) -> Snapshot:
    return Snapshot.of_this_host(
        registry.load().types.keys() - _switched_off(config),
        selections=lambda name: config.collector(name).selection if config else None,
        given={**config.of_plugins(), Overrides: _overrides(config)} if config else {},
    )


def _check_collectors(config: Config | None, snapshot: Snapshot) -> Iterator[Check]:
    for name in _switched_off(config):
        yield Check(f"collector {name}", "absent", "switched off in the configuration")
    for name, reason in {**registry.load().failures, **snapshot.failures}.items():
        hint = "look for a newer version of the package that brings it, or remove it"
        yield Check(f"plug-in {name}", "bad", reason, hint)
    for source in snapshot.sources:
        name = f"collector {source.name}"
        if gone := source.absent:
            yield Check(name, "absent", gone.reason, gone.hint)
        elif source.trouble:
            yield Check(name, "bad", source.trouble)
        elif source.troubles:
            yield Check(name, "bad", "; ".join(": ".join(one) for one in source.troubles.items()))
        else:
            yield Check(name, "ok", _count(source))


def check_processor(platform: Platform) -> Iterator[Check]:
    """Say what is not as the agent has set it; nothing where all is, or nothing was set."""
    with suppress(Unavailable):
        for path, why in platform.processor().overwritten().items():
            yield Check(
                "processor settings",
                "bad",
                f"{path} {why}",
                "let one of them set it: stop that service, or deny the agent `processor.*`",
            )


def _overrides(config: Config) -> Overrides | None:
    try:
        return Overrides.as_of_now(config.state_dir)
    except OverridesError:
        return None  # Said further down.


def _count(source: CollectorRunner) -> str:
    silent = [
        reading.key
        for reading in source.readings
        if source.values.get(reading.key) is None and not _nullable(source, reading)
    ]
    total = len(source.readings)
    text = f"{total} reading{'' if total == 1 else 's'}"
    if silent:
        text += f"; not readable now: {', '.join(silent)}"
    left_out = source.collector.left_out()
    if left_out:
        text += f"; left out: {', '.join(f'{name} ({why})' for name, why in left_out.items())}"
    return text


def _nullable(source: CollectorRunner, reading: Reading) -> bool:
    kind = CATALOGUE.get(kind_of(source, reading))
    return kind is not None and kind.nullable


def check_pairing(config: Config) -> Check:
    """Say who may command this host, and what is wrong with the keys."""
    store = TrustStore(config.state_dir)
    problems = store.check()
    if problems:
        first = problems[0]
        return Check("pairing", "bad", first.text, first.fix)
    try:
        names = [controller.name for controller in store.peek()]
    except StoreError as error:
        return Check("pairing", "bad", str(error))
    if config.fleet:
        names.append("every Home Assistant that has the fleet key")
    if not names:
        detail = "not paired: this computer reports and accepts no commands"
        return Check("pairing", "absent", detail, typed_by_administrator("pilot-agent pair"))
    dry_run = "; commands.dry_run is on: nothing is carried out" if config.commands.dry_run else ""
    return Check("pairing", "ok", f"paired with {', '.join(names)}{dry_run}")


def _check_tuning(config: Config) -> Iterator[Check]:
    """Say what differs from the configuration; nothing on hosts where nothing does."""
    if is_aside(config.state_dir):
        damaged = aside(config.state_dir)
        yield Check(
            "tuning of sensors",
            "bad",
            f"{damaged} holds changes that could not be read",
            f"tune the sensors again in Home Assistant, then delete {damaged}",
        )
    try:
        changes = peek(config.state_dir)
    except OverridesError as error:
        yield Check("tuning of sensors", "bad", str(error))
        return
    if changes:
        changed = "; ".join(f"{sensor}: {change}" for sensor, change in changes.items())
        yield Check(
            "tuning of sensors",
            "ok",
            f"changed from Home Assistant: {changed}",
            "pilot-agent tuning reset goes back to the configuration",
        )


def _check_settings(config: Config) -> Iterator[Check]:
    """Say what Home Assistant has set, and what of it does not count."""
    name = "settings from Home Assistant"
    for mistake in config.overlay_mistakes:
        hint = "set it again in Home Assistant, or: pilot-agent settings reset"
        yield Check(name, "bad", str(mistake), hint)
    with suppress(OverlayError):  # Said above.
        if lines := describe(config, Overlay.read(config.state_dir)):
            yield Check(name, "ok", "; ".join(lines), "pilot-agent settings reset takes them back")


def _check_discovery(config: Config) -> Iterator[Check]:
    """Say how Home Assistant finds this host otherwise, and what is obeyed unsigned."""
    if config.discovery == "mqtt":
        if read_record(config.state_dir)[1]:
            detail = (
                "the topic was emptied in Home Assistant: the Pilot integration draws this host"
            )
            hint = "remove `discovery` from the configuration"
        else:
            detail, hint = f"described below {config.discovery_prefix}/device", ""
        yield Check("MQTT discovery", "ok", detail, hint)
    unsigned = {
        "commands.unsigned": config.discovery == "mqtt" and config.commands.unsigned,
        "mirror.v1.commands": config.mirror is not None and config.mirror.commands,
    }
    for key, obeyed in unsigned.items():
        if obeyed:
            hint = f"pair this computer with the Pilot integration, and remove {key}"
            yield Check("unsigned commands", "bad", WARNING.partition(". ")[0] % key, hint)


def _exists(path: Path) -> bool:
    """Tell whether something is there; unlike `is_there()` not where this user may not look.

    Raises:
        OSError: This user may not.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def check_backlog(config: Config) -> Iterator[Check]:
    """Say how much waits to be delivered, and what keeps it from being kept."""
    from companion_agent.buffer import store

    for path in store.damaged_files(config.state_dir):
        if is_there(path):
            detail = f"{path} could not be read and was set aside; is the disk sound?"
            yield Check("backlog", "bad", detail, f"save or delete it: {path}*")
    if not config.backlog.enabled:
        yield Check("backlog", "absent", "switched off in the configuration")
        return
    try:
        free = shutil.disk_usage(config.state_dir).free
        waits = _exists(config.state_dir / FILE)
    except FileNotFoundError:
        free, waits = SPACE_NEEDED, False  # The agent makes it.
    except PermissionError as error:
        detail = f"{config.state_dir} cannot be looked at: {error.strerror}"
        yield Check("backlog", "bad", detail, AS_ADMINISTRATOR)
        return
    except OSError as error:
        detail = f"{config.state_dir} cannot be used: {error.strerror}"
        yield Check("backlog", "bad", detail, "set state_dir in the configuration")
        return
    if free < SPACE_NEEDED:
        yield Check("backlog", "bad", f"the disk of {config.state_dir} is full", "make room")
    if not waits:
        yield Check("backlog", "ok", "nothing waits to be delivered")
        return
    try:
        kept = store.look(config.state_dir)
    except store.StoreError as error:
        yield Check("backlog", "bad", str(error))
        return
    size = f"{kept.size / MIB:.1f} of {config.backlog.max_size / MIB:.0f} MiB"
    if kept.oldest is None:
        yield Check("backlog", "ok", f"nothing waits to be delivered; {size}")
        return
    since = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(kept.oldest))
    waiting = f"{kept.rows} reading{'' if kept.rows == 1 else 's'}"
    yield Check("backlog", "ok", f"{waiting} since {since} to be delivered; {size}")


def _check_secrets(config: Config) -> Iterator[Check]:
    """Look at who can read passwords and keys that a person wrote down."""
    if not config.secret_files:
        return
    problems = [
        problem for path in config.secret_files for problem in check_secret(path, config.state_dir)
    ]
    for problem in problems:
        yield Check("secrets", "bad", problem.text, problem.fix)
    if not problems:
        names = ", ".join(str(path) for path in config.secret_files)
        yield Check("secrets", "ok", f"no other user can read {names}")


def _check_refused(config: Config) -> Check:
    """Ask the running agent what it has refused; only it knows."""
    try:
        client = LocalClient(config.state_dir)
        try:
            refused = client.ask({"ask": "refused"})["refused"]
        finally:
            client.close()
    except ChannelError as error:
        return Check("refused messages", "absent", str(error))
    if not refused:
        return Check("refused messages", "ok", "none since the agent's start")
    counted = ", ".join(f"{name} {count}" for name, count in refused.items())
    record = config.state_dir / "audit.log"
    hint = f"{record} says more; docs/protocol.md says what they mean"
    return Check("refused messages", "ok", f"since the agent's start: {counted}", hint)


def check_service(config: Config, snapshot: Snapshot) -> Iterator[Check]:
    """Ask the running service what it sees, and say what this shell sees otherwise."""
    try:
        client = LocalClient(config.state_dir)
        try:
            seen = client.ask({"ask": "seen"})
        finally:
            client.close()
    except NotRunningError:
        return  # Said above.
    except ChannelError as error:
        yield Check("service", "absent", f"what it sees cannot be compared: {error}")
        return
    shell = {source.name: sight.of_collector(source) for source in snapshot.sources}
    differences = compare(seen.get("collectors", {}), shell)
    lost = [one.text for one in differences if one.lost]
    if lost:
        yield Check("service", "bad", "; ".join(lost), _way_out())
    elif differences:
        yield Check("service", "ok", "; ".join(one.text for one in differences))
    else:
        yield Check("service", "ok", "it sees what this shell sees")
    yield from check_permissions(seen.get("refused_by_system", {}))
    yield from check_session_helpers(seen.get("desktop"))
    yield from _check_rights(seen.get("broker", {}))


def check_permissions(refused: Mapping[str, Sequence[str]]) -> Iterator[Check]:
    """Say which commands the system refuses the service, and what to do; nothing for none.

    Args:
        refused: Why, and the way out, by the commands' keys.
    """
    ways_out: dict[tuple[str, str], list[str]] = {}
    for key, (reason, fix) in refused.items():
        ways_out.setdefault((reason, fix.partition("\n\n")[0]), []).append(key)
    for (reason, fix), keys in ways_out.items():
        hint = "sudo pilot-agent setup writes polkit's rule anew" if reason == "polkit" else fix
        detail = f"{', '.join(keys)}: the system does not permit it to the service ({reason})"
        yield Check("permissions", "absent", detail, hint)


def check_session_helpers(desktop: dict[str, Any] | None) -> Iterator[Check]:
    """Say which session helpers the service knows, what each offers, and why not more."""
    if desktop is None:
        return  # The service is of an older version.
    name = "session helpers"
    if desktop["closed"]:
        yield Check(name, "absent", f"none can connect: {desktop['closed']}")
    elif not desktop["helpers"] and not desktop["lacking"]:
        yield Check(name, "absent", "no user works in a session with windows")
    for user in desktop["lacking"]:
        detail = f"{user} works in a session that has none"
        yield Check(name, "bad", detail, START_HINT)
    if desktop["refused"]:
        counted = ", ".join(f"{reason} {count}" for reason, count in desktop["refused"].items())
        yield Check(name, "ok", f"refused since the agent's start: {counted}")
    for helper in desktop["helpers"]:
        yield _describe_session_helper(helper)


def _describe_session_helper(helper: dict[str, Any]) -> Check:
    parts = [f"session {helper['session']} ({helper['type']}), version {helper['version']}"]
    if helper["meant"]:
        parts.append("in use")
    for domain, offer in helper["domains"].items():
        reasons = [f"{name} {why}".strip() for name, why in offer["why"].items()]
        left_out = f" (not: {', '.join(reasons)})" if reasons else ""
        parts.append(
            f"{domain}: {offer['way'] or ('nothing' if offer['empty'] else 'yes')}{left_out}"
        )
    name = f"session helper of {helper['user'] or 'this agent'}"
    if helper["silent"]:
        return Check(
            name, "bad", f"it does not answer; {'; '.join(parts)}", "end it; it comes back"
        )
    return Check(name, "ok", "; ".join(parts))


if sys.platform == "win32":
    _SERVICE_ANEW = (
        "start the service anew: pilot-agent service stop, then pilot-agent service start"
    )
else:
    _SERVICE_ANEW = (
        "restart the service, if this was changed since its start; else its sandbox hides it: "
        "systemctl cat pilot-agent, systemctl edit pilot-agent (ProtectKernelTunables=no and "
        "ProtectControlGroups=no show it the /proc of this shell)"
    )


def _way_out() -> str:
    if sys.platform == "linux":
        from companion_agent.service.changes import ServiceError
        from companion_agent.service.linux import (
            CONTAINER_DROP_IN,
            Service,
        )

        service = Service(check=True)
        with suppress(ServiceError):
            if service.has_systemd and service.hides_proc:
                return (
                    f"sudo pilot-agent setup: it writes {CONTAINER_DROP_IN}, since this systemd "
                    "gives the service a /proc of its own (ProtectKernelTunables=, "
                    "ProtectControlGroups=)"
                )
    return _SERVICE_ANEW


def _check_rights(broker: dict[str, Any]) -> Iterator[Check]:
    for name, text in (
        ("unwritable", "it may not publish"),
        ("unreadable", "it does not hear"),
    ):
        if refused := broker.get(name):
            topics = ", ".join(f"{topic} ({why})" for topic, why in refused.items())
            hint = "the broker's access list must allow it" if "not allowed" in topics else ""
            yield Check(f"service at {broker['name']}", "bad", f"{text} {topics}", hint)


def _check_clock(now: float) -> Check:
    if now >= CLOCK_EARLIEST:
        return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)))
    return Check(
        "clock",
        "bad",
        f"says {time.strftime('%Y-%m-%d', time.gmtime(now))}",
        "set it; certificates and time stamps need it",
    )


# --- A broker --------------------------------------------------------------------------------


# What a host's announce has where nothing is known about the host, in bytes.
TYPICAL_ANNOUNCE = 8 * 1024
# Of an announce: its commands, and the signatures for some controllers.
_BESIDE_READINGS = 2048
_LIMITS_HINT = (
    "change it in the broker: max_packet_size, retain_available in Mosquitto; "
    "or leave readings out by `exclude`"
)

_SIZE_HINT = "raise message_size_limit in Mosquitto, or leave readings out by `exclude`"

_LISTENING_HINT = (
    "let this user subscribe to them in the broker's access list; permissions of NATS need "
    "$MQTT.sub.> below subscribe as well"
)


def announce_size(host: str, snapshot: Snapshot) -> int:
    """Return about how many bytes this host's announce has, signed."""
    reports = {source.name: source.report for source in snapshot.sources if source.available}
    described = describe_host(host, host, platforms.current().host_info())
    with suppress(ProtocolError):
        body = write_announce(compose("0" * 16, described, reports)).decode()
        return len(json.dumps(body)) + _BESIDE_READINGS
    return TYPICAL_ANNOUNCE


class _Visit:
    """One connection to one broker, kept until it has answered; an async context.

    It is made like the agent's own, with the same will, or `will` is false.
    """

    def __init__(self, broker: Broker, topics: Topics, *, will: bool = True) -> None:
        guest = f"pilot-doctor-{secrets.token_hex(4)}"
        if broker.client_id:
            # The configured one would push the running agent out.
            guest = f"{broker.client_id}-doctor"
        self.heard: set[str] = set()
        self.kept: dict[str, bytes] = {}
        self.transport = Transport([replace(broker, client_id="")], guest, Counters())
        if will:
            lost = Message(topics.availability, Availability.LOST.encode(), qos=1)
            self.transport.will = lambda: lost
        self.transport.receiver = self._received
        self._changed = Alarm()
        self.transport.observe(self._changed.ring)

    async def __aenter__(self) -> Self:
        self.transport.start()
        self._task = asyncio.create_task(self.transport.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        self._task.cancel()

    async def wait(self, done: Callable[[], bool], limit: float) -> bool:
        """Wait until something is so; tell whether it came to be."""
        until = time.monotonic() + limit
        while not done():
            if time.monotonic() >= until:
                return False
            await self._changed.wait(until)
        return True

    async def connect(self) -> bool:
        """Wait until the connection stands or has failed; tell whether it stands."""
        transport = self.transport
        await self.wait(lambda: transport.online or bool(transport.trouble), BROKER_LIMIT)
        return transport.online

    async def say(self, message: Message) -> str:
        """Publish a message; return why the broker did not take it."""
        transport = self.transport
        transport.publish(message)
        over = lambda: transport.settled or not transport.online  # noqa: E731
        if not await self.wait(over, ECHO_LIMIT):
            return "the broker did not answer"
        if not transport.online:
            return transport.trouble
        return transport.unwritable.get(message.topic, "")

    def _received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        if retained:
            self.kept[topic] = payload
        else:
            self.heard.add(topic)
        self._changed.ring()


def check_broker(
    broker: Broker, topics: Topics, birth_topic: str, size: int = TYPICAL_ANNOUNCE
) -> list[Check]:
    """Connect to a broker as the agent does, and try what the agent does there.

    Args:
        broker: The broker.
        topics: The host's topics.
        birth_topic: Where Home Assistant says that it is there; empty to not listen.
        size: About how many bytes the host's announce has.
    """
    # Windows' usual event loop cannot wait for the sockets of others.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(_check_broker(broker, topics, birth_topic, size))


async def _check_broker(broker: Broker, topics: Topics, birth_topic: str, size: int) -> list[Check]:
    name = f"broker {broker}"
    async with _Visit(broker, topics) as visit:
        transport = visit.transport
        if not await visit.connect():
            trouble = transport.trouble or "no answer"
            found = await asyncio.to_thread(peer.look, broker) if errors.is_vague(trouble) else ""
            refused = [Check(name, "bad", found or trouble)]
            # A broker that ends connections on dots does so at a will on such a topic.
            return refused + (await _check_dots(broker, topics) if "." in topics.prefix else [])
        checks = [
            Check(name, "ok", _describe(broker, transport)),
            *_check_limits(name, transport, topics, size),
            await _check_listening(visit, name, topics, birth_topic),
        ]
        if transport.online:
            checks.append(await _check_publishing(visit, name, topics, size))
            if checks[-1].verdict == "ok" or "." in topics.prefix:
                checks += await _check_dots(broker, topics)
        return checks


def _describe(broker: Broker, transport: Transport) -> str:
    parts = ["connected", f"MQTT {transport.protocol}"]
    if transport.protocol != broker.protocol:
        parts[-1] += f" (it does not speak {broker.protocol})"
    if broker.transport == "websockets":
        parts.append("by WebSocket")
    parts.append("TLS, certificate verified" if broker.tls else "not encrypted")
    parts.append(f"logged in as {broker.username}" if broker.username else "without a login")
    limits = transport.limits.words
    return ", ".join(parts) + (f"; it takes {', '.join(limits)}" if limits else "")


def _check_limits(name: str, transport: Transport, topics: Topics, size: int) -> Iterator[Check]:
    """Say what does not work with what the broker takes; nothing where all does."""
    limits, troubles = transport.limits, []
    if size > limits.room(topics.announce):
        troubles.append(
            f"this host's announce has about {size:,} bytes, and the broker takes "
            f"{errors.packet_limit(limits.packet)}: readings are left out"
        )
    if not limits.retain:
        troubles.append(
            "it keeps no retained messages (retain_available in Mosquitto): Home Assistant hears "
            "of this host only while both are there, and learns later that it was lost"
        )
    if not limits.wildcards:
        troubles.append("it takes no subscriptions with wildcards: this host hears no commands")
    if troubles:
        yield Check(f"{name}, limits", "bad", "; ".join(troubles), _LIMITS_HINT)


async def _check_listening(visit: _Visit, name: str, topics: Topics, birth_topic: str) -> Check:
    name = f"{name}, listening"
    heard = [*topics.heard_by_host, *filter(None, [birth_topic])]
    transport = visit.transport
    transport.subscribe(heard, own=True)
    if not await visit.wait(lambda: transport.settled or not transport.online, ECHO_LIMIT):
        return Check(name, "bad", "the broker did not answer")
    if not transport.online:
        return Check(name, "bad", transport.trouble, _LISTENING_HINT)
    refused = {topic: why for topic, why in transport.unreadable.items() if topic in heard}
    if not refused:
        return Check(name, "ok", "allowed")
    told = ", ".join(f"{topic} ({why})" for topic, why in refused.items())
    return Check(name, "bad", f"refused: {told}", _LISTENING_HINT)


async def _check_publishing(visit: _Visit, name: str, topics: Topics, size: int) -> Check:
    """Publish what is like the agent's messages, and changes nothing."""
    name = f"{name}, publishing"
    transport = visit.transport
    if transport.protocol != "5":
        # It has no word for a message that is not allowed: NATS drops it and says that it took it.
        transport.subscribe([topics.state], own=True)
        await visit.wait(lambda: transport.settled or not transport.online, ECHO_LIMIT)
    # The state of no collector changes nothing. It comes first: what the broker keeps of the
    # other topics has arrived when it is settled.
    state = Message(topics.state, state_payload({})[0], qos=1, retain=False)
    if trouble := await visit.say(state):
        return Check(name, "bad", f"not on {topics.state}: {trouble}", _grant(topics.state))
    if trouble := await _say_again(visit, topics.availability):
        return Check(name, "bad", trouble, _grant(topics.availability))
    if trouble := await _try_announce(visit, topics):
        return Check(name, "bad", trouble, _grant(topics.announce))
    unsure = transport.protocol != "5" and not await visit.wait(
        lambda: topics.state in visit.heard, ECHO_LIMIT
    )
    # As large as the announce, and retained; access lists may forbid this topic.
    room = int(min(size, transport.room(topics.probe)))
    trouble = await visit.say(Message(topics.probe, b" " * room, qos=1))
    if not transport.online:
        return Check(name, "bad", trouble, _LIMITS_HINT)
    transport.publish(Message(topics.probe, b"", qos=1))
    await visit.wait(lambda: transport.settled, ECHO_LIMIT)
    if transport.protocol != "5" and not unsure:
        trouble = await _say_large(visit, topics.state, min(room, MAX_STATE))
        if trouble:
            return Check(name, "bad", trouble, _SIZE_HINT)
    if unsure:
        detail = (
            f"allowed, as far as MQTT {transport.protocol} tells; {topics.state} does not come "
            "back: it is dropped, or this user may not hear it"
        )
        return Check(name, "ok", detail, "look whether Home Assistant shows values")
    return Check(name, "ok", "allowed")


async def _say_large(visit: _Visit, topic: str, size: int) -> str:
    """Publish the state of no collector once more, now as large as the announce.

    Returns:
        Why it does not arrive, where a small one has.
    """
    visit.heard.discard(topic)
    large = state_payload({})[0].ljust(size)
    if trouble := await visit.say(Message(topic, large, qos=1, retain=False)):
        return trouble
    if await visit.wait(lambda: topic in visit.heard, ECHO_LIMIT):
        return ""
    return (
        f"the broker says that it took a message of {len(large):,} bytes, as large as the "
        "announce, and does not hand it on; a small one arrives"
    )


async def _say_again(visit: _Visit, topic: str) -> str:
    """Publish once more what was said last, which is no news; return why it does not arrive."""
    transport = visit.transport
    if trouble := await visit.say(Message(topic, visit.kept.get(topic, b""), qos=1, retain=False)):
        return f"not on {topic}: {trouble}"
    if topic in transport.unreadable or await visit.wait(lambda: topic in visit.heard, ECHO_LIMIT):
        return ""
    return f"what is published on {topic} does not arrive"


async def _try_announce(visit: _Visit, topics: Topics) -> str:
    """Return why the host's announce does not arrive.

    An agent that never ran has none, and no other would be taken for nothing.
    """
    announce, availability = topics.announce, topics.availability
    # A bare `lost` may be our own will: RabbitMQ 3.10 says it at the end of each WebSocket.
    lost = Availability.LOST.encode()
    if visit.kept.get(availability, lost) == lost or announce in visit.transport.unreadable:
        return ""
    if await visit.wait(lambda: announce in visit.kept, ECHO_LIMIT):
        return await _say_again(visit, announce)
    return (
        f"the broker keeps what this host published on {availability}, and nothing on {announce}: "
        "it drops that, or the host was removed in Home Assistant since it connected"
    )


def _grant(topic: str) -> str:
    """Return how brokers let a user publish and hear a topic."""
    return (
        f"let this user publish and hear it: topic readwrite {topic} in Mosquitto's access list, "
        f"{topic.replace('/', '.')} below publish and subscribe in the permissions of NATS"
    )


async def _check_dots(broker: Broker, topics: Topics) -> list[Check]:
    """Say what the broker does with dots in topics; nothing where they are letters like others.

    On a connection of its own, which may end of it. It has no will: that would be said then.
    """
    without, dotted = f"{topics.probe}/dot", f"{topics.probe}/with.dot"
    async with _Visit(broker, topics, will=False) as visit:
        transport = visit.transport

        async def arrives(topic: str) -> bool:
            """Tell whether a message comes back, by its own topic or one with slashes."""
            if await visit.say(Message(topic, b"", qos=1, retain=False)):
                return False
            known = {topic, _with_slashes(topic)}
            return await visit.wait(lambda: bool(known & visit.heard), ECHO_LIMIT)

        if not await visit.connect():
            return []
        transport.subscribe([f"{topics.probe}/+", f"{topics.probe}/+/+"], own=True)
        await visit.wait(lambda: transport.settled or not transport.online, ECHO_LIMIT)
        if not await arrives(without) and transport.online:
            return []  # An access list forbids it.
        if transport.online:
            await arrives(dotted)
        if {without, dotted} <= visit.heard:
            return []
        if not transport.online:
            told = "it ends the connection at a topic with a dot, as NATS before 2.10 does"
        elif _with_slashes(dotted) in visit.heard:
            told = "it takes dots in topics for slashes, as RabbitMQ does"
        else:
            told = "what is published on a topic with a dot does not arrive"
    name = f"broker {broker}, topics"
    if "." in topics.prefix:
        hint = "set a topic_prefix without dots, here and in Home Assistant"
        return [Check(name, "bad", f"{told}, and topic_prefix has one: {topics.prefix}", hint)]
    needed = "commands need a Pilot in Home Assistant that is as new as this agent"
    return [Check(name, "ok", f"{told}: {needed}")]


def _with_slashes(topic: str) -> str:
    return topic.replace(".", "/")


def _print_table(checks: Sequence[Check]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "absent": "dim", "bad": "bold red"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("What", no_wrap=True)
    table.add_column("")
    table.add_column("Found")
    # What is bad comes first: on a computer with everything the table is longer than a screen.
    for check in sorted(checks, key=lambda check: check.verdict != "bad"):
        detail = check.detail + (f"\n→ {check.hint}" if check.hint else "")
        table.add_row(
            Text(printable(check.name)),
            Text(check.verdict, style=styles[check.verdict]),
            Text(printable(detail)),
        )
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 200)
    console.print(table)
