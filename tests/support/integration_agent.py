"""A paired host that runs the agent's own code, on a broker that attackers can use as well."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
import copy
from dataclasses import dataclass, field
import json
from time import time
from typing import TYPE_CHECKING, Any

from pytest_homeassistant_custom_component.common import async_fire_mqtt_message

from companion_agent.config.policy import Policy
from companion_agent.models import Command, Missing
from companion_agent.plugins.base import CommandProvider
from companion_agent.protocol.announce import command_fields
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.pairing import HostPairing
from companion_agent.protocol.topics import Topics, split_key_topic
from companion_agent.security.audit import AuditLog
from companion_agent.security.authorizer import Dispatcher, Job
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing

from .agent_commands import DELAY, FakePower
from .integration_host import ANNOUNCE, HOST_ID

if TYPE_CHECKING:
    from pathlib import Path

    from homeassistant.core import HomeAssistant

PREFIX = "pilot/v2"
BASE = f"{PREFIX}/{HOST_ID}"
TOPICS = Topics(PREFIX, HOST_ID)
CODE = "01234567"
FIX = "As root, write this to /etc/rule:\n\nallow();\n"

type Listener = Callable[[str, bytes], None]


@dataclass
class FakeBroker:
    """A broker: it keeps nothing, and has everything on record."""

    hass: HomeAssistant
    published: list[tuple[str, bytes]] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    broken: Exception | None = None
    confirms: bool = True
    waiting: list[Callable[[], None]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(
        self,
        hass: HomeAssistant,
        topic: str,
        payload: str | bytes,
        qos: int = 0,
        retain: bool = False,
        **_: Any,
    ) -> None:
        """Take what Home Assistant publishes."""
        if self.broken is not None:
            raise self.broken
        data = payload.encode() if isinstance(payload, str) else payload
        assert not retain
        if topic.endswith("/search"):
            return  # Asked of all hosts, now and then: what tests count is said to one.
        self.published.append((topic, data))
        for listener in list(self.listeners):
            listener(topic, data)

    def confirm(
        self, hass: HomeAssistant, topic: str, qos: int, done: Callable[[], None]
    ) -> Callable[[], None]:
        """Record that a caller waits until the broker has confirmed a subscription."""
        self.waiting.append(done)
        self.asked.set()
        if self.confirms:
            hass.loop.call_soon(done)
        return lambda: self.waiting.remove(done)

    def fire(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish to Home Assistant."""
        async_fire_mqtt_message(self.hass, topic, payload, retain=retain)

    def commands(self, key: str | None = None) -> list[dict[str, Any]]:
        """Return the bodies of the commands that were published."""
        return [
            json.loads(json.loads(payload)["body"])
            for topic, payload in self.published
            if "/command/" in topic and key in (None, split_key_topic(topic)[0])
        ]


class DesktopPower(FakePower):
    """The commands of an ordinary machine, which lacks a rule to restart."""

    def __init__(self) -> None:
        """Start without having done anything."""
        super().__init__()
        self.missing = Missing("polkit", FIX)

    def commands(self) -> Sequence[Command]:
        """Offer what an ordinary machine can do."""
        return [
            Command("power.shutdown", DELAY),
            Command("power.reboot", DELAY, self.missing),
            Command("power.suspend", cooldown=30),
            Command("power.cancel"),
        ]


class OneCommand(CommandProvider):
    """A command of another domain of the same machine, counted where the others are."""

    def __init__(self, key: str, power: FakePower) -> None:
        """Offer one command."""
        self.name = key.partition(".")[0]  # type: ignore[misc]
        self._key = key
        self._power = power

    def commands(self) -> Sequence[Command]:
        """Offer it."""
        return [Command(self._key)]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Do nothing, or fail."""
        self._power.run(key, args)


class FakeAgent:
    """An agent on the bus."""

    def __init__(
        self,
        bus: FakeBroker,
        folder: Path,
        *,
        fleet: bytes | None = None,
        policy: Policy | None = None,
    ) -> None:
        """Start."""
        self.bus = bus
        self.folder = folder
        self.policy = policy or Policy()
        self.fleet = fleet
        self.power = DesktopPower()
        self.announced = copy.deepcopy(ANNOUNCE)
        self.announced["collectors"]["session"] = {"interval": 60}
        self.announced["readings"].append({"key": "session.locked"})
        self.announced["separator"] = ":"
        self.pairing: HostPairing | None = None
        self.starts = int(time())
        self.silent = False
        self.clock: Callable[[], float] = time
        self.start()
        bus.listeners.append(self.heard)

    def start(self, session: str = "5f1c0a9be3d24c77") -> None:
        """Start, or start anew."""
        self.session = session
        self.starts += 1
        self.announces = self.events = self.words = self.states = 0
        self.ring = KeyRing(TrustStore(self.folder), PREFIX, HOST_ID, fleet=self.fleet)
        self.dispatcher = Dispatcher(
            ring=self.ring,
            topics=TOPICS,
            session=session,
            policy=self.policy,
            publish=self.say,
            start=self.work,
            revoked=self.announce,
            missing=lambda: None,
            surpass=self.surpass,
            audit=AuditLog(self.folder / "audit.log", time, time),
            clock=self.now,
            monotonic=time,
        )
        others = [OneCommand(key, self.power) for key in ("session.lock", "audio.beep")]
        self.dispatcher.offer({one: one.commands() for one in (self.power, *others)})

    def surpass(self, start: int) -> None:
        """Say everything anew above a start, as the agent does."""
        if start > self.starts:
            self.starts = start + 1
            self.say_that_it_is("online")
            self.announce()

    def now(self) -> float:
        """Return what this host's clock shows."""
        return self.clock()

    def say(self, topic: str, payload: str) -> None:
        """Publish, unless it is too late for this host to say anything."""
        if not self.silent:
            self.bus.fire(topic, payload)

    def work(self, job: Job) -> None:
        """Carry out a command at once."""
        try:
            output = job.run()
        except Exception as error:  # noqa: BLE001  (as the worker does)
            self.dispatcher.finished(job, error)
        else:
            self.dispatcher.finished(job, None, output)

    def heard(self, topic: str, payload: bytes) -> None:
        """Take a message from the bus."""
        if self.silent or not topic.startswith(f"{BASE}/"):
            return
        parts = topic.removeprefix(f"{BASE}/").split("/")
        if parts[0] == "command":
            self.dispatcher.received(topic, payload, retained=False)
        elif parts[0] == "pair" and parts[2] in ("request", "confirm"):
            self.pair(parts[1], parts[2], payload)

    def show_code(self) -> None:
        """Show a code, as `pilot-agent pair` does."""
        self.pairing = HostPairing(CODE, BASE, time)

    def pair(self, controller: str, kind: str, payload: bytes) -> None:
        """Take a message of a controller that pairs."""
        if kind == "request":
            answer = (
                self.pairing.request(controller, payload)
                if self.pairing
                else {"attempt": json.loads(payload)["attempt"], "error": "no_code"}
            )
            self.say(f"{BASE}/pair/{controller}/answer", dump(answer))
            return
        assert self.pairing is not None
        result, paired = self.pairing.confirm(controller, payload)
        if paired:
            self.ring.add(paired.controller, paired.name, paired.secret)
        if result:
            self.say(f"{BASE}/pair/{controller}/result", dump(result))

    def announcement(self, **changes: Any) -> str:
        """Return the announce as it is published now."""
        self.announces += 1
        body = self.announced | {
            "session": self.session,
            "sequence": [self.starts, self.announces],
            "trust": {"controllers": self.ring.ids, "pairing": self.pairing is not None},
            "commands": self.commands,
            "events": [
                {"key": "power", "types": ["going_to_sleep", "woke", "shutting_down"]},
                {"key": "session", "types": ["locked", "unlocked", "logged_in", "logged_out"]},
            ],
        }
        return self.ring.seal(f"{BASE}/announce", dump(body | changes))

    @property
    def commands(self) -> list[dict[str, Any]]:
        """The commands that it announces."""
        return [command_fields(command) for command in self.dispatcher.announced().values()]

    def announce(self, *, retain: bool = False, **changes: Any) -> str:
        """Publish the announce."""
        payload = self.announcement(**changes)
        self.bus.fire(f"{BASE}/announce", payload, retain=retain)
        return payload

    def happening(self, key: str, kind: str, **data: Any) -> str:
        """Return an event as it is published."""
        self.events += 1
        body = {
            "ts": time(),
            "session": self.session,
            "sequence": [self.starts, self.events],
            "type": kind,
            "data": data,
        }
        return self.ring.seal(f"{BASE}/event/{key}", dump(body))

    def happens(self, key: str, kind: str, **data: Any) -> str:
        """Tell that something happened."""
        payload = self.happening(key, kind, **data)
        self.bus.fire(f"{BASE}/event/{key}", payload)
        return payload

    def word(self, word: str) -> str:
        """Return what is said about being there, as it is published."""
        if not self.ring.ids:
            return word
        self.words += 1
        return self.sealed("availability", self.words, availability=word)

    def say_that_it_is(self, word: str, *, retain: bool = False) -> str:
        """Say whether it is there."""
        payload = self.word(word)
        self.bus.fire(f"{BASE}/availability", payload, retain=retain)
        return payload

    def state(self, collector: str, **values: Any) -> str:
        """Publish what a collector read, signed."""
        self.states += 1
        part = self.sealed(f"state/{collector}", self.states, values=values)
        self.part(collector, part)
        return part

    def part(self, collector: str, part: str) -> None:
        """Publish a collector's part of the state."""
        self.bus.fire(f"{BASE}/state", f'{{"collectors":{{"{collector}":{part}}}}}')

    def sealed(self, topic: str, number: int, **body: Any) -> str:
        """Return something signed that is numbered."""
        numbered = {"ts": self.now(), "sequence": [self.starts, number], **body}
        return self.ring.seal(f"{BASE}/{topic}", dump(numbered))

    def come_online(self) -> None:
        """Connect, as an agent does."""
        self.say_that_it_is("online", retain=True)
        self.announce(retain=True)

    def reinstall(self) -> None:
        """Lose all keys."""
        (self.folder / "trust.json").unlink()
        self.start("0123456789abcdef")

    @property
    def done(self) -> list[str]:
        """The commands that were carried out."""
        return [key for key, _ in self.power.done]

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The record."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]
