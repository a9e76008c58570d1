"""Order, repetition, self-healing and clones: what `docs/protocol.md` promises on the wire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.announcement import Report, describe_host
from companion_agent.models import Counters, Reading
from companion_agent.mqtt.connection import Message
from companion_agent.mqtt.limits import Limits
from companion_agent.mqtt.publisher import Announcement, CollectorState, Publisher, Standing
from companion_agent.mqtt.router import Router
from companion_agent.platforms.base import HostInfo
from companion_agent.protocol.topics import Topics
from companion_agent.security.refusals import Refusals
from companion_agent.timing import SPREAD, phase
from support.agent_host import HOST, PREFIX
from support.event_loop import ManualEventLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from companion_agent.models import Value
    from support.clock import ManualClock


OURS = "5e551017aaaaaaaa"
THEIRS = "b0b0b0b0b0b0b0b0"
BIRTH = "homeassistant/status"
SEARCH = "pilot/v2/search"


class FakeTransport:
    """A transport that writes down what it is asked to do."""

    def __init__(self) -> None:
        self.online = False
        self.listener: Any = None
        self.will: Any = None
        self.settled = True
        self.returned = False
        self.limits = Limits()
        self.broker = "broker"
        self.largest = 0
        self.said: list[str] = []
        self.stays_away: float | None = None
        self.changed: Callable[[], None] = lambda: None

    def observe(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def room(self, topic: str) -> float:
        return self.limits.room(topic)

    def publish(self, message: Message) -> bool:
        assert self.online
        self.largest = max(self.largest, len(message.payload))
        topic = message.topic.removeprefix(f"{PREFIX}/")
        text = message.payload.decode()
        if topic == "state":
            text = " ".join(json.loads(text)["collectors"])
        self.said.append(f"{topic} {text if topic != 'announce' else ''}".strip())
        if topic == "announce" and (conflict := json.loads(text).get("conflict")):
            self.said[-1] += f" conflict with {conflict['name']}"
        return True

    def subscribe(self, topics: Iterable[str]) -> None:
        self.said.append(f"subscribe {len(list(topics))}")

    def reconnect(self, after: float = 0) -> None:
        self.disconnect()
        self.stays_away = after

    def connect(self) -> None:
        self.online, self.stays_away = True, None
        self.listener.connected()

    def disconnect(self) -> None:
        self.online = False
        self.listener.disconnected()

    def take(self) -> list[str]:
        said, self.said = self.said, []
        return said


class Signer:
    """Signs nothing, and believes everything."""

    ids = ()

    def next_announce(self) -> tuple[int, int]:
        return 1, 1

    def seal(self, _: str, body: bytes) -> bytes:
        return body

    def state(self, _: str, part: bytes) -> bytes:
        return part

    def unwrap(self, _: str, payload: bytes) -> tuple[bytes, bool]:
        return payload, True

    def availability(self, _: str, word: str, __: int) -> bytes:
        return word.encode()


class NumberingSigner(Signer):
    """Believes nothing but itself; its signature is the number."""

    def unwrap(self, _: str, payload: bytes) -> tuple[bytes, bool]:
        return payload, payload.startswith(b"signed ")

    def availability(self, _: str, word: str, number: int) -> bytes:
        return f"signed {word} {number}".encode()


class Scene:
    """A publisher, its transport and its clock."""

    def __init__(self, clock: ManualClock, signer: Signer | None = None) -> None:
        self.clock = clock
        self.transport = FakeTransport()
        self.counts = Counters()
        self.refusals = Refusals()
        self.heard: list[tuple[str, bytes, bool]] = []
        self.router = Router(lambda: self.publisher.arrived)
        self.publisher = Publisher(
            self.transport,  # type: ignore[arg-type]
            self.router,
            signer or Signer(),  # type: ignore[arg-type]
            self.refusals,
            Topics("pilot/v2", HOST),
            OURS,
            BIRTH,
            self.counts,
            clock,
            lambda: 0,
        )
        for subscription in (f"{PREFIX}/acknowledge", BIRTH):
            self.router.add(subscription, self._hear)
        self.loop = ManualEventLoop(clock)
        self.loop.spawn(self.publisher.run())

    def _hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        self.heard.append((topic, payload, retained))

    def announce(self) -> None:
        host = describe_host(HOST, "office-pc", HostInfo("office-pc", "", ""))
        self.publisher.announce(Announcement(host))

    def read(self, *collectors: str) -> None:
        self.publisher.states({name: CollectorState(0, {}) for name in collectors})

    def settle(self, *, delivered: bool | None = None) -> None:
        """Let the publisher do what is due."""
        if delivered is not None:
            self.transport.settled = delivered
            self.transport.changed()
        self.loop.settle()

    def hear(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self.router.received(topic, payload, retained=retained)
        self.settle()

    def hear_announce(self, session: str, conflict: str | None = None) -> None:
        announce: dict[str, Any] = {
            "protocol": 2,
            "session": session,
            "host": {"id": HOST, "name": "clone"},
            "agent": {"version": "1"},
            "collectors": {},
            "readings": [],
        }
        if conflict:
            announce["conflict"] = {"session": conflict, "name": "x"}
        self.hear(f"{PREFIX}/announce", json.dumps(announce).encode())

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()


@pytest.fixture
def scene(still_clock: ManualClock) -> Iterator[Scene]:
    scene = Scene(still_clock)
    yield scene
    scene.loop.end()


@pytest.fixture
def online(scene: Scene) -> Scene:
    scene.announce()
    scene.read("cpu", "disk")
    scene.transport.connect()
    scene.transport.take()
    scene.clock.advance(10)
    return scene


def test_says_everything_in_order_on_connect(scene: Scene) -> None:
    scene.announce()
    scene.read("cpu", "disk")

    scene.transport.connect()

    assert scene.transport.take() == [
        "availability online",
        "announce",
        "state cpu disk",
        "subscribe 5",
    ]


def test_says_everything_again_on_reconnect(online: Scene) -> None:
    online.transport.disconnect()

    online.transport.connect()

    assert online.transport.take()[:3] == ["availability online", "announce", "state cpu disk"]


def test_does_not_appear_before_it_knows_what_it_reads(scene: Scene) -> None:
    scene.transport.connect()
    before = scene.transport.take()

    scene.announce()

    assert before == []
    assert scene.transport.take() == ["availability online", "announce", "subscribe 5"]


def test_values_are_sent_as_they_come(online: Scene) -> None:
    online.read("cpu")

    assert online.transport.take() == ["state cpu disk"]


def test_values_of_a_collector_that_is_gone_are_not_repeated(online: Scene) -> None:
    online.publisher.forget("disk")
    online.transport.disconnect()

    online.transport.connect()

    assert online.transport.take()[2] == "state cpu"


def test_counts_values_that_were_never_seen(online: Scene) -> None:
    online.transport.disconnect()

    for _ in range(3):
        online.read("cpu")

    assert online.counts.dropped_messages == 2  # the third is sent on reconnect


def test_the_will_is_lost(scene: Scene) -> None:
    assert scene.transport.will() == Message(f"{PREFIX}/availability", b"lost", qos=1, retain=True)


@pytest.mark.parametrize("said", [b"lost", b"off", b"asleep"])
def test_contradicts_a_stale_will(online: Scene, said: bytes) -> None:
    online.hear(f"{PREFIX}/availability", said)

    assert online.transport.take() == ["availability online"]


@pytest.mark.parametrize("said", [b"nonsense", b"\xff", b"x" * 100])
def test_contradicts_nonsense(online: Scene, said: bytes) -> None:
    online.hear(f"{PREFIX}/availability", said)

    assert online.transport.take() == ["availability online"]


@pytest.mark.parametrize("said", [b"online", b""])
def test_does_not_contradict_itself_or_a_removal(online: Scene, said: bytes) -> None:
    online.hear(f"{PREFIX}/availability", said)

    assert online.transport.take() == []


def test_contradicts_at_most_once_a_second(online: Scene) -> None:
    for _ in range(100):
        online.hear(f"{PREFIX}/availability", b"lost")
    at_once = online.transport.take()

    online.pass_time(1)

    assert at_once == ["availability online"]
    assert online.transport.take() == ["availability online"]


def test_home_assistants_birth_is_answered_with_everything(online: Scene) -> None:
    online.hear(BIRTH, b"online")

    online.pass_time(SPREAD)

    assert online.transport.take() == ["availability online", "announce", "state cpu disk"]


def test_what_all_hosts_are_asked_at_once_each_answers_at_its_own_moment(online: Scene) -> None:
    ours = phase(HOST) * SPREAD

    online.hear(BIRTH, b"online")
    online.pass_time(ours - 0.01)
    before = online.transport.take()
    online.pass_time(0.02)

    assert before == []
    assert online.transport.take() == ["availability online", "announce", "state cpu disk"]


def test_hosts_are_spread_evenly() -> None:
    phases = sorted(phase(f"host-{number}") for number in range(1000))

    per_tenth = [sum(place // 0.1 == tenth for place in phases) for tenth in range(10)]
    assert min(per_tenth) > 70


@pytest.mark.parametrize(
    ("payload", "within"),
    [(b"", 10), (b'{"within": 2}', 2), (b'{"within": 1e9}', 60), (b'{"within": -5}', 0)],
)
def test_a_search_is_answered_within_the_time_that_it_gives(
    online: Scene, payload: bytes, within: float
) -> None:
    online.hear(SEARCH, payload)
    online.pass_time(max(0, phase(HOST) * within - 0.01))
    before = online.transport.take() if within else []
    online.pass_time(0.02)

    assert before == []
    assert online.transport.take() == ["availability online", "announce", "state cpu disk"]


def test_searches_are_answered_at_most_every_five_seconds(online: Scene) -> None:
    for _ in range(100):
        online.hear(SEARCH, b'{"within": 0}')
    at_once = len(online.transport.take())

    online.pass_time(4.9)
    too_soon = online.transport.take()
    online.pass_time(0.2)

    assert (at_once, too_soon) == (3, [])
    assert len(online.transport.take()) == 3


@pytest.mark.parametrize("state", ["retained", "gone", "gave way"])
def test_a_search_that_is_none_of_its_own_is_not_answered(online: Scene, state: str) -> None:
    if state == "gone":
        online.publisher.leave()
    elif state == "gave way":
        online.hear_announce(THEIRS, conflict=OURS)
    online.transport.take()

    online.hear(SEARCH, b"", retained=state == "retained")
    online.pass_time(60)

    assert online.transport.take() == []


def test_after_the_brokers_return_only_being_there_is_said_at_once(online: Scene) -> None:
    online.transport.disconnect()
    online.transport.returned = True

    online.transport.connect()
    at_once = online.transport.take()
    online.settle()
    online.pass_time(phase(HOST) * SPREAD)

    assert at_once == ["availability online", "subscribe 5"]
    assert online.transport.take() == ["announce", "state cpu disk"]


def test_after_the_brokers_return_new_values_bring_the_announce_along(online: Scene) -> None:
    online.transport.disconnect()
    online.transport.returned = True
    online.transport.connect()
    online.transport.take()

    online.read("cpu")
    at_once = online.transport.take()
    online.pass_time(SPREAD)

    assert at_once == ["announce", "state cpu disk"]
    assert online.transport.take() == []


# --- Brokers that do not take everything -----------------------------------------------------


def announce_readings(scene: Scene, count: int) -> None:
    host = describe_host(HOST, "office-pc", HostInfo("office-pc", "", ""))
    readings = tuple(Reading(f"core.{number}.percent", of=str(number)) for number in range(count))
    scene.publisher.announce(Announcement(host, {"cpu": Report(10, readings)}))


def test_an_announce_has_as_many_readings_as_the_broker_takes(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.transport.limits = Limits(packet=2000)

    announce_readings(scene, 100)
    scene.transport.connect()

    assert [said for said in scene.transport.take() if said.startswith("announce")] == ["announce"]
    assert 0 < scene.transport.largest < 2000
    assert "packets of at most 2,000 bytes (max_packet_size in Mosquitto" in caplog.text


def test_a_broker_that_takes_no_announce_at_all_gets_none(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.transport.limits = Limits(packet=200)

    announce_readings(scene, 1)
    scene.transport.connect()

    assert "announce" not in scene.transport.take()
    assert "The host is not announced" in caplog.text


def test_a_state_that_is_too_large_travels_in_several_messages(
    online: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    online.transport.limits = Limits(packet=1000)
    some: dict[str, Value] = {f"value{number}": 1.5 for number in range(30)}
    many: dict[str, Value] = {f"value{number}": 1.5 for number in range(300)}

    values = {"cpu": some, "disk": some, "fan": many, "memory": some}
    online.publisher.states({name: CollectorState(0, one) for name, one in values.items()})

    assert online.transport.take() == ["state cpu disk", "state memory"]
    assert "fan: its values are not sent: the broker takes packets of at most" in caplog.text


def test_a_retained_birth_is_older_than_what_was_just_said(online: Scene) -> None:
    online.hear(BIRTH, b"online", retained=True)
    online.hear(BIRTH, b"offline")

    assert online.transport.take() == []


@pytest.mark.parametrize("payload", [b"online", b"offline"])
@pytest.mark.parametrize("retained", [True, False])
def test_tells_of_home_assistants_coming_and_going(
    online: Scene, payload: bytes, *, retained: bool
) -> None:
    online.hear(BIRTH, payload, retained=retained)

    assert online.heard == [(BIRTH, payload, retained)]


def test_hands_on_what_others_listen_to(online: Scene) -> None:
    online.hear(f"{PREFIX}/acknowledge", b"{}")

    assert online.heard == [(f"{PREFIX}/acknowledge", b"{}", False)]


def test_knows_whether_it_is_heard(scene: Scene) -> None:
    before = scene.publisher.standing
    scene.announce()
    scene.transport.connect()
    connected = scene.publisher.standing
    scene.transport.disconnect()
    lost = scene.publisher.standing
    scene.publisher.leave()
    left = scene.publisher.standing

    assert (before, connected) == (Standing.UNHEARD, Standing.HEARD)
    assert (lost, left) == (Standing.UNHEARD, Standing.AWAY)


def test_who_gave_way_does_not_want_to_be_heard(online: Scene) -> None:
    online.hear_announce(THEIRS, conflict=OURS)

    assert online.publisher.standing is Standing.AWAY


def test_says_off_and_nothing_after_it(online: Scene) -> None:
    online.publisher.leave()
    online.hear(f"{PREFIX}/availability", b"off")
    online.hear(BIRTH, b"online")
    online.announce()
    online.read("cpu")

    assert online.transport.take() == ["availability off"]


# --- Two agents with one id ------------------------------------------------------------------


def test_the_agent_that_was_there_stays(online: Scene, caplog: pytest.LogCaptureFixture) -> None:
    online.hear_announce(THEIRS)

    assert online.transport.take() == ["announce conflict with clone"]
    assert "Another agent (clone)" in caplog.text
    assert "pilot-agent id --new" in caplog.text


def test_the_newcomer_goes_without_a_word(online: Scene, caplog: pytest.LogCaptureFixture) -> None:
    online.hear_announce(THEIRS, conflict=OURS)

    assert online.transport.take() == []
    assert online.transport.stays_away == 300
    assert online.transport.will is None
    assert "pilot-agent id --new" in caplog.text


def test_the_newcomer_looks_again_with_its_announce_only(online: Scene) -> None:
    online.hear_announce(THEIRS, conflict=OURS)

    online.transport.connect()

    assert online.transport.take() == ["announce", "subscribe 1"]


def test_a_look_that_is_answered_ends_like_the_first(
    online: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    online.hear_announce(THEIRS, conflict=OURS)
    caplog.clear()
    online.transport.connect()
    online.transport.take()

    online.hear_announce(THEIRS, conflict=OURS)

    assert online.transport.stays_away == 300
    assert online.transport.take() == []
    assert not caplog.records  # it was said once


def test_the_newcomer_comes_back_without_an_answer(online: Scene) -> None:
    online.hear_announce(THEIRS, conflict=OURS)
    online.transport.connect()
    online.transport.take()

    online.pass_time(10)

    assert online.transport.stays_away == 0
    assert online.transport.will
    online.transport.connect()
    assert online.transport.take()[:2] == ["availability online", "announce"]


def test_who_waits_drops_nothing(online: Scene) -> None:
    online.hear_announce(THEIRS, conflict=OURS)

    for _ in range(3):
        online.read("cpu")

    assert online.counts.dropped_messages == 0


def test_the_conflict_is_forgotten_after_a_while(online: Scene) -> None:
    online.hear_announce(THEIRS)
    online.pass_time(600)
    online.hear_announce(THEIRS)
    online.transport.take()

    online.pass_time(899)
    before = online.transport.take()
    online.pass_time(1)

    assert before == []
    assert online.transport.take() == ["announce"]


def test_clones_do_not_talk_each_other_to_death(online: Scene) -> None:
    for _ in range(100):
        online.hear_announce(THEIRS)

    assert online.transport.take() == ["announce conflict with clone"]


def test_hears_itself_without_alarm(online: Scene) -> None:
    online.hear_announce(OURS)
    online.hear_announce(OURS, conflict=THEIRS)

    assert online.transport.take() == []


def test_an_announce_that_is_none_changes_nothing(
    online: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for nonsense in (b"{", b"[]", b"\xff", b'{"protocol": 1}'):
        online.hear(f"{PREFIX}/announce", nonsense)

    assert online.transport.take() == []
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


def test_a_removed_host_does_not_insist(online: Scene) -> None:
    online.hear(f"{PREFIX}/announce", b"")

    assert online.transport.take() == []


# --- What is signed ------------------------------------------------------------------------


@pytest.fixture
def signing(still_clock: ManualClock) -> Iterator[Scene]:
    scene = Scene(still_clock, NumberingSigner())
    scene.announce()
    yield scene
    scene.loop.end()


def test_a_will_comes_after_everything_of_its_connection_and_before_the_next(
    signing: Scene,
) -> None:
    numbers = []
    for _ in range(2):
        will = signing.transport.will()
        signing.transport.connect()
        signing.publisher.leave()
        signing.publisher.come_back()
        said = [line for line in signing.transport.take() if line.startswith("availability")]
        numbers += [int(line.split()[-1]) for line in said]
        assert [line.split()[2] for line in said] == ["online", "off", "online"]
        assert will.payload.startswith(b"signed lost ")
        numbers.append(int(will.payload.split()[-1]))
        signing.transport.disconnect()
    assert numbers == sorted(set(numbers))


def test_a_contradiction_is_what_was_said_letter_for_letter(signing: Scene) -> None:
    """Its own echo, and that of a second one, are then no news."""
    signing.transport.will()
    signing.transport.connect()
    [said] = [line for line in signing.transport.take() if line.startswith("availability")]
    for payload in (b"off", b"signed lost 1", b"signed online 1"):
        signing.clock.advance(10)
        signing.hear(f"{PREFIX}/availability", payload)
        assert signing.transport.take() == [said]
    signing.hear(f"{PREFIX}/availability", said.removeprefix("availability ").encode())
    assert signing.transport.take() == []
    assert signing.refusals.by_reason() == {"availability.foreign": 1}


def test_other_keys_want_another_will_once_everything_has_arrived(signing: Scene) -> None:
    signing.transport.will()
    signing.transport.connect()
    signing.settle(delivered=False)
    signing.publisher.sign_anew()
    signing.settle()
    assert signing.transport.online
    signing.settle(delivered=True)
    assert signing.transport.stays_away == 0
    signing.transport.will()
    signing.transport.connect()
    signing.settle()
    assert signing.transport.online


def test_what_was_sealed_with_other_keys_is_not_repeated(online: Scene) -> None:
    """Of a host that was just paired, what is not signed would be refused."""
    online.read("session")
    online.publisher.sign_anew()
    online.transport.disconnect()
    online.transport.take()

    online.transport.connect()

    assert online.transport.take()[2] == "state cpu disk"


def test_a_foreign_announce_is_counted(signing: Scene) -> None:
    signing.transport.connect()
    signing.hear_announce(THEIRS)
    assert signing.refusals.by_reason() == {"announce.foreign": 1}


# --- Holding back ----------------------------------------------------------------------------


@pytest.fixture
def quiet(scene: Scene) -> Scene:
    scene.publisher.hold_back()
    scene.announce()
    scene.read("cpu")
    scene.transport.connect()
    return scene


def test_held_back_it_says_everything_but_that_it_is_there(quiet: Scene) -> None:
    assert quiet.transport.take() == ["announce", "state cpu", "subscribe 5"]
    assert quiet.transport.will is None
    assert quiet.publisher.arrived

    quiet.publisher.leave()
    assert quiet.transport.take() == []


def test_held_back_it_does_not_contradict_what_was_said_before(quiet: Scene) -> None:
    quiet.transport.take()

    quiet.hear(f"{PREFIX}/availability", b"off", retained=True)
    quiet.pass_time(10)

    assert quiet.transport.take() == []


def test_held_back_it_does_not_connect_anew_for_a_will_that_it_does_not_leave(
    quiet: Scene,
) -> None:
    quiet.publisher.sign_anew()
    quiet.pass_time(10)

    assert quiet.transport.online


def test_it_speaks_up_on_a_connection_with_a_will(quiet: Scene) -> None:
    quiet.transport.take()

    quiet.publisher.speak_up()
    assert quiet.transport.stays_away == 0
    quiet.transport.connect()

    assert quiet.transport.will().payload == b"lost"
    assert quiet.transport.take()[0] == "availability online"
