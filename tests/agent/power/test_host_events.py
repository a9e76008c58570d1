"""What becomes of a sleep, a shutdown and a session's lock on the wire."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
import ctypes
import json
import math
from pathlib import Path
import select
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
import uuid

import pytest

from companion_agent.agent import Agent
from companion_agent.config.settings import Broker, Config
from companion_agent.host_events import EVENTS, HostEvents
from companion_agent.models import Counters
from companion_agent.mqtt.connection import BACKOFF_FIRST, State
from companion_agent.platforms.control import HostEvent, HostWatch
from companion_agent.platforms.windows.service_controls import (
    POWER_EVENT,
    ServiceControl,
    ServiceControls,
)
from companion_agent.platforms.windows.watch import WindowsWatch
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.winapi.power import APM_SUSPEND
from support.agent_host import HOST, AgentThread, FakeCollector, FakePlatform
from support.agent_windows import FakeSessionsOfWindows
from support.clock import PassingClock
from support.event_loop import PATIENCE
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from companion_agent.platforms.control import NetworkWatch
    from support.agent_mqtt import FakeHomeAssistant, Mosquitto, TransportDriver

T = TypeVar("T")


class FakeWatch(HostWatch):
    """A machine to which happens what a test wants."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._happenings: list[HostEvent] = []
        self._lock = threading.Lock()
        self.let_go_at = threading.Event()
        self.started = self.closed = False
        self.lock: bool | None = None

    def lock_up(self, locked: bool) -> None:
        self.lock = locked
        self.happen("locked" if locked else "unlocked", user="anna")

    def happen(self, *types: Any, **data: str | bool) -> None:
        with self._lock:
            self._happenings += [HostEvent(one, data) for one in types]
        self._far.send(b"\0")

    def start(self, wake: Callable[[], None]) -> None:
        self.started = True

    @property
    def socket(self) -> socket.socket | None:
        return None if self.closed else self._near

    def deadline(self) -> float:
        return math.inf

    def step(self) -> list[HostEvent]:
        with self._lock:
            happenings, self._happenings = self._happenings, []
            if happenings:
                self._near.recv(100)
        return happenings

    @property
    def locked(self) -> bool | None:
        return self.lock

    def let_go(self) -> None:
        self.let_go_at.set()

    def close(self) -> None:
        self.closed = True
        self._near.close()
        self._far.close()


class Host:
    """An agent in a thread of its own, on a machine to which something happens."""

    def __init__(self, folder: Path, mosquitto: Mosquitto, watch: HostWatch | None = None) -> None:
        self.clock = PassingClock()
        self.watch = FakeWatch()
        self.platform = FakePlatform()
        self.collector = FakeCollector()
        self.session = FakeCollector("session", locked=False)
        self.counts = Counters()
        self.agent = Agent(
            Config(brokers=(mosquitto.broker(),), state_dir=folder),
            self.platform,  # type: ignore[arg-type]
            [CollectorRunner(self.collector, 3600), CollectorRunner(self.session, 3600)],
            HOST,
            "5e551017aaaaaaaa",
            self.counts,
            self.clock,
            watch=watch or self.watch,
        )
        self.thread = AgentThread(self.agent, self.clock)

    def advance(self, seconds: float) -> None:
        self.thread.advance(seconds)

    def wake(self) -> None:
        """Have it look at everything."""
        self.thread.loop.call_soon_threadsafe(self.agent._host_events.look_again)

    def stop(self) -> None:
        self.thread.stop()


@pytest.fixture
def host(tmp_path: Path, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant) -> Iterator[Host]:
    """A host that is online, and whose rates were read."""
    host = Host(tmp_path, mosquitto)
    for name in ("fake", "session"):
        home_assistant.wait_for(f"state/{name}", count=2)
    yield host
    host.stop()


def event(home_assistant: FakeHomeAssistant, key: str, of: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home_assistant.wait_for(f"event/{key}", f'"{of}"'.encode()))
    assert found["type"] == of
    return found


def said(home_assistant: FakeHomeAssistant) -> list[bytes]:
    return [
        payload for topic, payload in home_assistant.published if topic.endswith("/availability")
    ]


def test_the_announce_names_the_events(host: Host, home_assistant: FakeHomeAssistant) -> None:
    announce = json.loads(home_assistant.wait_for("announce", b"events"))
    assert announce["events"] == [
        {"key": "power", "types": ["going_to_sleep", "woke", "shutting_down"]},
        {"key": "session", "types": ["locked", "unlocked", "logged_in", "logged_out"]},
    ]
    assert host.watch.started


def test_sleep_is_said_before_it_begins(host: Host, home_assistant: FakeHomeAssistant) -> None:
    host.watch.happen("going_to_sleep")
    assert host.watch.let_go_at.wait(PATIENCE)
    home_assistant.wait_for("availability", b"asleep")
    heard = [
        (topic.rpartition(f"{HOST}/")[2], payload)
        for topic, payload in home_assistant.published
        if "event" in topic or "availability" in topic
    ]
    assert heard[0] == ("availability", b"online")
    assert heard[1][0] == "event/power"
    assert heard[2:] == [("availability", b"asleep")]


def test_a_sleeping_host_is_not_lost(host: Host, home_assistant: FakeHomeAssistant) -> None:
    host.watch.happen("going_to_sleep")
    assert host.watch.let_go_at.wait(PATIENCE)
    assert host.agent._transport.state is State.IDLE
    threading.Event().wait(0.3)
    assert said(home_assistant)[-1] == b"asleep"
    assert host.counts.reconnects == 0


def test_waking_is_said_with_fresh_readings(host: Host, home_assistant: FakeHomeAssistant) -> None:
    host.watch.happen("going_to_sleep")
    assert host.watch.let_go_at.wait(PATIENCE)
    home_assistant.forget()
    host.collector.values["percent"] = 99.0
    host.platform.suspended = 3600.0
    host.watch.happen("woke")
    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("state/fake", b"99")
    assert event(home_assistant, "power", "woke")["data"] == {}
    assert b"lost" not in said(home_assistant)


def test_waking_without_a_signal(host: Host, home_assistant: FakeHomeAssistant) -> None:
    """The kernel's clocks tell of it as well."""
    host.watch.happen("going_to_sleep")
    assert host.watch.let_go_at.wait(PATIENCE)
    home_assistant.forget()
    host.platform.suspended = 3600.0
    host.wake()
    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("state/fake")


def test_sleep_that_does_not_come_about(host: Host, home_assistant: FakeHomeAssistant) -> None:
    host.watch.happen("going_to_sleep")
    assert host.watch.let_go_at.wait(PATIENCE)
    host.watch.happen("carries_on")
    home_assistant.wait_for("availability", b"online", count=2)
    assert len([topic for topic, _ in home_assistant.published if "/event/" in topic]) == 1


def test_waking_before_the_farewell_is_over(
    host: Host, home_assistant: FakeHomeAssistant, mosquitto: Mosquitto
) -> None:
    mosquitto.freeze()
    host.watch.happen("going_to_sleep")
    host.watch.happen("woke")
    threading.Event().wait(0.2)
    mosquitto.thaw()
    event(home_assistant, "power", "woke")
    assert said(home_assistant)[-2:] == [b"asleep", b"online"]
    assert not host.watch.let_go_at.is_set()


def test_a_broker_that_does_not_answer_holds_nothing_up(
    host: Host, home_assistant: FakeHomeAssistant, mosquitto: Mosquitto
) -> None:
    mosquitto.freeze()
    host.watch.happen("going_to_sleep")
    assert not host.watch.let_go_at.wait(0.5)
    host.advance(2)
    assert host.watch.let_go_at.wait(PATIENCE)


def test_without_a_broker_nothing_is_waited_for(
    host: Host, home_assistant: FakeHomeAssistant, mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    host.watch.happen("going_to_sleep")
    assert host.watch.let_go_at.wait(1)


def test_shutdown_says_off_and_stays_connected_until_the_service_is_stopped(
    host: Host, home_assistant: FakeHomeAssistant
) -> None:
    host.watch.happen("shutting_down")
    assert host.watch.let_go_at.wait(PATIENCE)
    assert event(home_assistant, "power", "shutting_down")
    home_assistant.wait_for("availability", b"off")
    assert said(home_assistant) == [b"online", b"off"]
    assert host.agent._transport.online
    host.stop()
    threading.Event().wait(0.2)
    assert said(home_assistant) == [b"online", b"off"]


def test_shutdown_that_is_called_off(host: Host, home_assistant: FakeHomeAssistant) -> None:
    host.watch.happen("shutting_down")
    assert host.watch.let_go_at.wait(PATIENCE)
    host.watch.happen("carries_on")
    home_assistant.wait_for("availability", b"online", count=2)


def test_sessions(host: Host, home_assistant: FakeHomeAssistant) -> None:
    host.watch.happen("logged_in", user="anna", remote=False, type="wayland")
    told = event(home_assistant, "session", "logged_in")
    assert told["data"] == {"user": "anna", "remote": False, "type": "wayland"}
    assert told["session"] == "5e551017aaaaaaaa"
    assert len(told["sequence"]) == 2
    assert told["ts"] > 1_700_000_000
    host.watch.happen("locked", "unlocked", user="anna")
    first = event(home_assistant, "session", "locked")["sequence"]
    second = event(home_assistant, "session", "unlocked")["sequence"]
    assert told["sequence"] < first < second


def test_the_reading_comes_before_the_news_of_it(
    host: Host, home_assistant: FakeHomeAssistant
) -> None:
    """When the lock event is handled, the machine's reading is already locked."""
    for locked, word in ((True, "locked"), (False, "unlocked")):
        home_assistant.forget()
        host.session.values["locked"] = locked
        host.watch.lock_up(locked)
        event(home_assistant, "session", word)
        heard = [
            (topic.rpartition(f"{HOST}/")[2], payload)
            for topic, payload in home_assistant.published
            if topic.endswith("/session")
        ]
        assert [topic for topic, _ in heard] == ["state/session", "event/session"]
        assert (b"true" if locked else b"false") in heard[0][1]


def test_a_lock_that_changes_without_news_is_read_at_once(
    host: Host, home_assistant: FakeHomeAssistant
) -> None:
    """Another user's session came to the front."""
    home_assistant.forget()
    host.session.values["locked"] = True
    host.watch.lock = True
    host.wake()
    home_assistant.wait_for("state/session", b"true")


def test_a_reading_that_hangs_holds_no_news_up(
    host: Host, home_assistant: FakeHomeAssistant
) -> None:
    host.session.gate = threading.Event()
    host.watch.lock_up(True)
    assert host.session.entered.wait(PATIENCE)
    host.advance(1.1)
    event(home_assistant, "session", "locked")
    # What changed while it was read is read after that.
    host.watch.lock_up(False)
    host.advance(1.1)
    event(home_assistant, "session", "unlocked")
    home_assistant.forget()
    host.session.values["locked"] = False
    host.session.gate.set()
    home_assistant.wait_for("state/session", b"false", count=2)


def test_a_lock_before_sleep_is_told_before_sleep(
    host: Host, home_assistant: FakeHomeAssistant
) -> None:
    host.session.gate = threading.Event()
    host.watch.lock = True
    host.watch.happen("locked", "going_to_sleep")
    assert host.watch.let_go_at.wait(PATIENCE)
    home_assistant.wait_for("availability", b"asleep")
    assert [
        topic.rpartition("/")[2] for topic, _ in home_assistant.published if "/event/" in topic
    ] == [
        "session",
        "power",
    ]
    host.session.gate.set()


def test_news_waits_for_the_broker_but_not_for_long(
    host: Host, home_assistant_at: Callable[[Mosquitto], FakeHomeAssistant], mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    host.watch.happen("locked", user="anna")
    threading.Event().wait(0.2)
    host.advance(61)
    host.watch.happen("unlocked", user="anna")
    threading.Event().wait(0.2)
    mosquitto.start()
    home_assistant = home_assistant_at(mosquitto)
    host.advance(30)
    event(home_assistant, "session", "unlocked")
    assert len([topic for topic, _ in home_assistant.published if "/event/" in topic]) == 1


def test_the_last_result_is_heard_before_sleep(
    tmp_path: Path, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    """It is logind that says that it goes to sleep before it says that it accepted the order."""
    host = Host(tmp_path, mosquitto)
    try:
        home_assistant.wait_for("state/fake", count=2)
        host.agent._commands._under_way = 1
        host.watch.happen("going_to_sleep")
        home_assistant.wait_for("availability", b"asleep")
        assert not host.watch.let_go_at.wait(0.3)
        host.agent._commands._under_way = 0
        host.wake()
        assert host.watch.let_go_at.wait(PATIENCE)
    finally:
        host.stop()


def test_windows_waits_for_the_farewell(
    tmp_path: Path,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its watch has no socket: the service's handler wakes the event loop."""
    FakeSessionsOfWindows(FakeWindows().install(monkeypatch)).add(1, "anna")
    controls = ServiceControls()
    controls.from_windows = True
    host = Host(tmp_path, mosquitto, WindowsWatch(threading.Event(), controls))
    try:
        home_assistant.wait_for("state/fake", count=2)

        controls.put(ServiceControl(POWER_EVENT, APM_SUSPEND), hold=True)

        assert controls.wait(PATIENCE)
        home_assistant.wait_for("availability", b"asleep")
    finally:
        host.stop()


def test_a_platform_that_tells_nothing_announces_no_events() -> None:
    events = HostEvents(None, None, *[None] * 4)  # type: ignore[arg-type]
    assert events.events == {}
    assert events._deadline() == math.inf
    assert set(EVENTS) == {"power", "session"}


# --- Coming back -------------------------------------------------------------------------


def test_hurry_shortens_the_pauses_for_a_minute(
    driver: Callable[..., TransportDriver], clock: PassingClock
) -> None:
    driven = driver(Broker("127.0.0.1", 1), backoff=0.0)
    driven.transport.hurry()
    driven.until(lambda: len(driven.bounds) >= 6)
    assert set(driven.bounds) == {1.0}
    clock.advance(61)
    driven.bounds.clear()
    driven.until(lambda: len(driven.bounds) >= 1)
    assert driven.bounds[0] == 60.0


def test_a_change_of_the_network_ends_a_pause(
    driver: Callable[..., TransportDriver], mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    driven = driver(mosquitto.broker(), backoff=50.0)
    driven.fail()
    driven.until(lambda: driven.transport.state is State.WAITING)
    mosquitto.start()
    driven.transport.nudge()
    driven.until(lambda: driven.transport.online)
    driven.transport.nudge()
    assert driven.transport.online


def test_changes_in_swarms_make_few_tries(
    driver: Callable[..., TransportDriver], still_clock: Any, mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    driven = driver(mosquitto.broker(), backoff=50.0)
    driven.fail()
    tries = len(driven.bounds)
    began = driven.transport._clock()
    for _ in range(20):
        driven.transport.nudge()
        driven.loop.settle()
        threading.Event().wait(0.02)
        driven.until(lambda: driven.transport.state is State.WAITING)
    assert driven.transport._clock() - began < 2
    assert len(driven.bounds) - tries <= 2


def test_a_try_that_fails_after_a_change_is_repeated_soon(
    driver: Callable[..., TransportDriver], mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    driven = driver(mosquitto.broker())
    driven.fail()
    driven.until(lambda: driven.bounds[-1] > BACKOFF_FIRST)
    tries = len(driven.bounds)

    driven.transport.nudge()

    driven.until(lambda: len(driven.bounds) > tries)
    assert driven.bounds[-1] == BACKOFF_FIRST


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Return a cable between two interfaces, both switched on, that has just been plugged in.

    They have a network of their own: that of this machine changes with what else runs on it.
    """
    name = f"plt{uuid.uuid4().hex[:8]}"
    if sys.platform != "linux" or not Cable.make_network(name):
        pytest.skip("making a network needs root on Linux")
    made = Cable(name)
    made.plug_in()
    yield made
    subprocess.run(["ip", "netns", "del", name], check=True)


class Cable:
    """A pair of interfaces in a network."""

    def __init__(self, network: str) -> None:
        self._network = network

    @staticmethod
    def make_network(name: str) -> bool:
        """Tell whether it could be made."""
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
        return not made.returncode

    def plug_in(self) -> None:
        """Make the interfaces, and switch them on."""
        # The kernel says for seconds how far it is with the addresses that it makes by itself.
        self.inside(
            lambda: Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1", "ascii")
        )
        self._ip("link", "add", "near", "type", "veth", "peer", "name", "far")
        self.set("up")
        self.set("up", far=True)

    def set(self, *what: str, far: bool = False) -> None:
        """Change the interface, or that at the far end."""
        self._ip("link", "set", "far" if far else "near", *what)

    def add(self, address: str) -> None:
        """Give the interface an address."""
        self._ip("addr", "add", address, "dev", "near")

    def inside(self, act: Callable[[], T]) -> T:
        """Do something in the network; a socket that is made so stays there."""

        def enter() -> T:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/run/netns/{self._network}").open("rb") as network:
                if libc.setns(network.fileno(), 0):
                    raise OSError(ctypes.get_errno(), "setns")
            return act()

        # A thread never leaves it again.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", "-n", self._network, *arguments], check=True)


@pytest.fixture
def routes(cable: Cable) -> Iterator[NetworkWatch]:
    """Return what listens to the kernel, which has heard of the cable already."""
    from companion_agent.platforms.linux.netlink import RouteWatch

    with closing(cable.inside(RouteWatch)) as watch:
        # So that the kernel says of both ends that they carry; it says so again, later, by itself.
        cable.set("alias", "known")
        cable.set("alias", "known", far=True)
        watch.changed()
        yield watch


def test_the_kernel_tells_of_addresses_and_routes(cable: Cable, routes: NetworkWatch) -> None:
    cable.add("192.0.2.77/32")
    assert routes.changed()
    assert not routes.changed()


def test_the_kernel_tells_when_a_cable_is_plugged_in_again(
    cable: Cable, routes: NetworkWatch
) -> None:
    cable.set("down", far=True)
    routes.changed()
    cable.set("up", far=True)
    assert heard(routes)


def test_other_news_of_a_link_is_none(cable: Cable, routes: NetworkWatch) -> None:
    cable.set("alias", "other")
    assert not routes.changed()


def heard(watch: NetworkWatch) -> bool:
    """Tell whether something changes; the kernel says later that a link carries."""
    end = time.monotonic() + 30
    while not watch.changed():
        if not select.select([watch.socket], [], [], max(0.0, end - time.monotonic()))[0]:
            return False
    return True
