"""What is kept while it is not heard, and how it is delivered: `docs/protocol.md`, "Backlog"."""

from __future__ import annotations

from collections.abc import Callable
import json
import math
import threading
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.buffer.store import Store
from companion_agent.config.buffer import DAY, BacklogConfig
from companion_agent.mqtt.publisher import Standing
from companion_agent.mqtt.router import Router
from companion_agent.timing import SPREAD
from support.agent_buffer import BIRTH, COTTAGE, HOME, NOW, FakeConsumer, FakeHost

if TYPE_CHECKING:
    from companion_agent.buffer.task import Report, Task

MakeHost = Callable[..., FakeHost]


def numbers(points: list[tuple[float, float | None]]) -> list[float | None]:
    return [value for _, value in points]


# --- What is kept ----------------------------------------------------------------------------


def test_while_everything_is_heard_nothing_happens(online: FakeHost) -> None:
    for value in range(20):
        online.read(percent=value)

    assert not online.path.exists()
    assert online.buffer._deadline() == math.inf
    assert online.buffer._worker._thread is None  # no thread either


def test_what_was_read_in_an_outage_is_delivered_in_order(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    lost_at = online.times.wall
    for value in (2, 3, 3, 4):
        online.read(percent=value)

    online.connect()

    online.fetch(home)
    assert home.values == {
        # What it was at the beginning, and its changes.
        "cpu.percent": [
            (NOW, 1),
            (lost_at, 2),
            (lost_at + 10, 3),
            (lost_at + 30, 4),
        ]
    }
    assert not online.path.exists()


def test_it_is_written_in_batches(online: FakeHost) -> None:
    online.lose()
    online.read(percent=2)
    assert not online.path.exists()
    assert online.buffer._deadline() == online.times.monotonic + 50

    online.pass_time(50)

    assert online.path.exists()
    assert online.buffer._deadline() == online.times.monotonic + 60


def test_only_numbers_are_kept(online: FakeHost, home: FakeConsumer) -> None:
    online.lose()
    online.read("system", os="Debian", reboot=True, users=2, started=None, load=math.nan)

    online.connect()

    online.fetch(home)
    assert home.values.keys() == {"cpu.percent", "system.users"}


def test_what_cannot_be_read_any_more_ends(online: FakeHost, home: FakeConsumer) -> None:
    online.lose()
    online.read("disk", root=1, usb=2, sd=3)
    online.read("disk", root=1, usb=None)  # the card was taken out

    online.connect()

    online.fetch(home)
    ended = NOW + 320
    assert home.values["disk.usb"] == [(ended - 10, 2), (ended, None)]
    assert home.values["disk.sd"] == [(ended - 10, 3), (ended, None)]
    assert home.values["disk.root"] == [(ended - 10, 1)]


def test_a_collector_that_goes_ends_its_values(online: FakeHost, home: FakeConsumer) -> None:
    online.lose()
    online.read("battery", level=80)
    online.buffer.forget("battery")
    online.pass_time(60)
    online.read("battery", level=70)

    online.connect()

    online.fetch(home)
    assert numbers(home.values["battery.level"]) == [80, None, 70]


def test_a_connection_that_comes_soon_needs_no_backlog(host: FakeHost) -> None:
    host.buffer.note("cpu", host.times.wall, {"percent": 1})
    host.pass_time(9)

    host.connect()

    assert not host.path.exists()
    assert host.chunks() == []
    assert host.buffer._deadline() == math.inf


def test_one_that_comes_late_does(host: FakeHost, home: FakeConsumer) -> None:
    host.read(percent=1)
    host.read(percent=2)

    host.connect()

    host.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [1, 2]


def test_nothing_is_kept_while_another_agent_has_the_id(online: FakeHost) -> None:
    online.stand(Standing.AWAY)
    for value in range(20):
        online.read(percent=value)

    assert not online.path.exists()


def test_who_falls_asleep_in_an_outage_says_that_nothing_holds_on(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    online.read(percent=2)
    online.stand(Standing.AWAY)
    asleep_at = online.times.wall
    online.pass_time(3600, sleep=True)
    online.buffer.gap()
    online.lose()
    online.read(percent=3)

    online.connect()

    online.fetch(home)
    assert home.values["cpu.percent"][-2:] == [(asleep_at, None), (asleep_at + 3600, 3)]


def test_an_unannounced_sleep_is_a_gap_as_well(online: FakeHost, home: FakeConsumer) -> None:
    online.lose()
    read_at = online.times.wall
    online.read(percent=2)
    online.pass_time(3600, sleep=True)
    online.buffer.gap()
    # What was read before, and taken after.
    online.buffer.note("cpu", read_at + 5, {"percent": 7})
    woke_at = online.times.wall
    online.read(percent=3)

    online.connect()

    online.fetch(home)
    assert home.values["cpu.percent"][1:] == [
        (read_at, 2),
        (read_at + 0.001, None),
        (woke_at, 3),
    ]


def test_a_sleep_that_is_called_off_ends_nothing_for_good(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    online.read(percent=2)
    online.stand(Standing.AWAY)
    away_at = online.times.wall
    online.pass_time(5)
    online.lose()
    online.read(percent=2)

    online.connect()

    online.fetch(home)
    assert home.values["cpu.percent"][-2:] == [(away_at, None), (away_at + 5, 2)]


def test_switched_off_it_keeps_nothing(make_host: MakeHost) -> None:
    host = make_host(config=BacklogConfig(enabled=False))
    for value in range(20):
        host.read(percent=value)

    router = Router(lambda: True)
    host.buffer.listen(router, BIRTH)
    assert router.subscriptions == []
    assert not host.path.exists()


# --- What turns out not to have been heard ---------------------------------------------------


def test_the_tail_of_a_dead_connection(online: FakeHost, home: FakeConsumer) -> None:
    online.read(percent=2)
    online.dead = True
    online.read(percent=3)
    online.read(percent=4)

    online.lose()

    online.connect()
    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [3, 4, 4]


def test_the_value_of_a_moment_ago_is_said_of_the_outage_too(
    online: FakeHost, home: FakeConsumer
) -> None:
    """Home Assistant heard it, and dates it a moment later than the host."""
    online.read(percent=2)
    read_at = online.times.wall - 10
    online.pass_time(30)

    online.lose()

    lost_at = online.times.wall
    online.connect()
    online.fetch(home)
    assert home.values["cpu.percent"] == [(read_at, 2), (lost_at, 2)]


def test_what_was_heard_before_is_not_said_again(online: FakeHost, home: FakeConsumer) -> None:
    for value in range(2, 30):
        online.read(percent=value)

    online.lose()

    online.read(percent=30)
    online.connect()
    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [29, 30]


# --- Home Assistant comes and goes -----------------------------------------------------------


def test_while_home_assistant_is_away_everything_is_kept(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.read(percent=2)
    online.say_birth(b"offline")
    for value in range(3, 13):
        online.read(percent=value)
    online.chunks()

    online.say_birth(b"online")

    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [2, *range(2, 13)]


@pytest.mark.parametrize("returns", [FakeHost.connect, lambda host: host.say_birth(b"online")])
def test_each_host_delivers_at_its_own_moment(
    make_host: MakeHost, home: FakeConsumer, returns: Callable[[FakeHost], None]
) -> None:
    """A thousand hosts find the broker, or Home Assistant, there in the same second."""
    host = make_host(phase=0.5)
    host.connect()
    host.read(percent=1)
    host.pass_time(300)
    host.lose()
    host.read(percent=2)
    host.connect()
    host.pass_time(SPREAD)
    host.chunks()

    returns(host)

    host.pass_time(0.49 * SPREAD)
    assert host.chunks() == []
    host.pass_time(0.02 * SPREAD)
    host.fetch(home)
    assert numbers(home.values["cpu.percent"])[-1] == 2
    assert not host.path.exists()


def test_it_listens_half_a_minute_after_it_has_said_so(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.say_birth(b"offline")
    online.say_birth(b"online")
    online.read(percent=2)
    online.pass_time(20)

    online.read(percent=3)
    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [1, 1, 2]
    assert not online.path.exists()


def test_who_acknowledges_is_not_away_whatever_is_said(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.say_birth(b"offline")

    online.fetch(home)

    assert not online.path.exists()
    assert not online.buffer._recorder.recording
    online.read(percent=2)
    assert online.buffer._deadline() == math.inf


def test_what_was_said_before_its_will_may_not_have_been_heard(
    online: FakeHost, home: FakeConsumer
) -> None:
    for value in (2, 3, 4):
        online.read(percent=value)

    online.say_birth(b"offline")

    online.say_birth(b"online")
    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [2, 3, 4, 4]


def test_what_was_said_before_a_birth_without_a_will_may_not_have_been_heard(
    online: FakeHost, home: FakeConsumer
) -> None:
    """The node of a cluster that it was connected to took its will along."""
    for value in (2, 3, 4):
        online.read(percent=value)

    online.say_birth(b"online")

    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [2, 3, 4, 4]
    online.read(percent=5)
    assert not online.path.exists()


def test_a_value_from_before_a_doubt_is_said_of_the_outage_that_follows(
    online: FakeHost, home: FakeConsumer
) -> None:
    """Home Assistant heard it during the doubt: no chunk of that tells that it outlasted more."""
    online.say_birth(b"online")
    online.read(percent=1)
    read_at = online.times.wall - 10

    online.lose()

    lost_at = online.times.wall
    online.connect()
    online.fetch(home)
    assert home.values["cpu.percent"][-2:] == [(read_at, 1), (lost_at, 1)]


def test_a_birth_that_is_retained_tells_nothing_of_before(online: FakeHost) -> None:
    online.read(percent=2)

    online.say_birth(b"online", retained=True)

    assert not online.path.exists()


def test_that_it_is_away_outlives_a_restart(online: FakeHost, home: FakeConsumer) -> None:
    online.say_birth(b"offline")
    online.kill()
    online.chunks()

    online.start(Standing.HEARD)
    online.pass_time(3600)  # longer than it is doubted anyway
    for value in range(5, 15):
        online.read(percent=value)

    online.chunks()
    online.say_birth(b"online")
    online.fetch(home)
    assert numbers(home.values["cpu.percent"])[-10:] == [*range(5, 15)]


@pytest.mark.parametrize("retained", [True, False])
def test_it_is_back_when_it_says_so_early(
    online: FakeHost, home: FakeConsumer, *, retained: bool
) -> None:
    online.say_birth(b"offline")
    online.kill()
    online.start(Standing.HEARD)

    online.say_birth(b"online", retained=retained)
    online.pass_time(30)

    online.fetch(home)
    assert not online.path.exists()


def test_a_broker_that_is_there_before_home_assistant_makes_no_hole(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    online.read(percent=2)
    online.connect()
    online.chunks()  # no consumer listens

    for value in (3, 4, 5):
        online.read(percent=value)
    online.say_birth(b"online")

    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [1, 2, 3, 4, 5]
    online.read(percent=6)
    online.pass_time(60)
    assert not online.path.exists()


def test_it_does_not_wait_for_home_assistant_for_ever(online: FakeHost) -> None:
    online.lose()
    online.read(percent=2)
    online.connect()

    online.pass_time(3600)

    assert not online.buffer._recorder.recording
    assert online.path.exists()


# --- Delivery --------------------------------------------------------------------------------


@pytest.fixture
def sending(online: FakeHost) -> FakeHost:
    """A host that has just sent a chunk."""
    online.lose()
    online.read(percent=2)
    online.connect()
    return online


def test_a_chunk_says_what_the_documentation_says(sending: FakeHost) -> None:
    [message] = sending.broker.said
    assert (message.qos, message.retain) == (1, False)
    assert message.topic.endswith("/backlog")

    [chunk] = sending.chunks()
    assert chunk == {
        "chunk": chunk["chunk"],
        "session": "5e551017aaaaaa01",
        "time": sending.times.wall,
        "more": False,
        "values": {"cpu.percent": [[NOW, 1], [NOW + 310, 2]]},
    }


def test_an_acknowledgement_that_is_lost_brings_the_same_chunk_again(
    sending: FakeHost, home: FakeConsumer
) -> None:
    [first] = sending.chunks()
    home.chunks.append(first["chunk"])

    sending.pass_time(5)

    [again] = sending.chunks()
    assert (again["chunk"], again["values"]) == (first["chunk"], first["values"])
    sending.acknowledge(again["chunk"])
    assert not sending.path.exists()


def test_repeats_become_rare(sending: FakeHost) -> None:
    sending.chunks()
    for pause in (5, 10, 30, 60, 300, 300, 300):
        sending.pass_time(pause - 1)
        assert sending.chunks() == []
        sending.pass_time(1)
        assert len(sending.chunks()) == 1


@pytest.mark.parametrize("occasion", ["connect", "birth"])
def test_it_is_sent_at_once_where_a_consumer_may_be_online(
    sending: FakeHost, occasion: str
) -> None:
    sending.pass_time(1000)
    before = {chunk["chunk"] for chunk in sending.chunks()}

    if occasion == "connect":
        sending.lose()
        sending.connect()
    else:
        sending.say_birth(b"online")

    assert {chunk["chunk"] for chunk in sending.chunks()} == before
    sending.pass_time(5)
    assert len(sending.chunks()) == 1


def test_what_does_not_fit_into_one_chunk_comes_in_several(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    for step in range(60):
        online.read("disk", **{f"d{key}": step for key in range(50)})
    online.connect()

    [first] = online.chunks()
    assert first["more"]
    assert sum(map(len, first["values"].values())) == 1000
    online.acknowledge(home.take(json.dumps(first).encode()))
    online.fetch(home)
    assert len(home.chunks) == 4
    assert numbers(home.values["disk.d7"]) == [*range(60)]


def test_a_chunk_has_at_most_two_hundred_keys(online: FakeHost, home: FakeConsumer) -> None:
    online.lose()
    online.read("disk", **{f"d{key}": key for key in range(450)})
    online.connect()

    online.fetch(home)

    assert len(home.chunks) == 3
    assert len(home.values) == 451


def test_long_keys_and_numbers_fit(online: FakeHost, home: FakeConsumer) -> None:
    online.lose()
    for step in range(20):
        values: dict[str, Any] = {f"{'k' * 110}{key:05d}": (step + key) / 7 for key in range(150)}
        online.read("disk", **values)
    online.connect()

    online.fetch(home)

    assert sum(map(len, home.values.values())) == 20 * 150 + 2


def test_a_chunk_that_is_not_known_any_more_is_no_matter(sending: FakeHost) -> None:
    [chunk] = sending.chunks()
    for _ in range(3):
        sending.acknowledge("f" * 16)
        assert sending.path.exists()
    sending.acknowledge(chunk["chunk"])
    sending.acknowledge(chunk["chunk"])
    assert not sending.path.exists()


def test_who_is_killed_during_delivery_goes_on_with_the_same_chunk(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    for step in range(30):
        online.read("disk", **{f"d{key}": step for key in range(100)})
    online.connect()
    online.acknowledge(home.take(online.broker.said[-1].payload))
    home.take(online.broker.said[-1].payload)

    online.kill()
    online.broker.said.clear()
    online.start(Standing.HEARD)

    online.fetch(home)
    assert numbers(home.values["disk.d7"]) == [*range(30)]
    assert len(home.chunks) == len(set(home.chunks)) == 4


# --- Who has to acknowledge ------------------------------------------------------------------


def test_every_controller_has_to(make_host: MakeHost) -> None:
    host = make_host(controllers=(HOME, COTTAGE))
    home, cottage = FakeConsumer(HOME), FakeConsumer(COTTAGE)
    for step in range(30):
        host.read("disk", **{f"d{key}": step for key in range(100)})
    host.connect()

    host.fetch(home)  # the cottage has a power cut

    assert numbers(home.values["disk.d7"]) == [*range(30)]
    assert host.path.exists()
    host.pass_time(300)
    host.fetch(cottage, home)
    assert cottage.values == home.values
    assert not host.path.exists()


def test_who_hears_what_was_meant_for_another_may_acknowledge_that(make_host: MakeHost) -> None:
    host = make_host(controllers=(HOME, COTTAGE))
    home, cottage = FakeConsumer(HOME), FakeConsumer(COTTAGE)
    for step in range(30):
        host.read("disk", **{f"d{key}": step for key in range(100)})
    host.connect()
    host.acknowledge(home.take(host.broker.said.pop().payload), HOME)

    host.fetch(cottage, home)
    assert host.path.exists()
    host.pass_time(5)
    host.fetch(cottage, home)

    assert numbers(sorted(cottage.values["disk.d7"])) == [*range(30)]
    assert not host.path.exists()


def test_any_client_can_while_the_host_is_not_paired(
    make_host: MakeHost, home: FakeConsumer
) -> None:
    host = make_host(controllers=())
    host.read(percent=1)
    host.pass_time(60)
    host.connect()

    host.fetch(home)

    assert numbers(home.values["cpu.percent"]) == [1]
    assert not host.path.exists()


def test_who_is_revoked_holds_up_nothing(make_host: MakeHost, home: FakeConsumer) -> None:
    host = make_host(controllers=(HOME, COTTAGE))
    host.read(percent=1)
    host.pass_time(60)
    host.connect()
    host.fetch(home)
    assert host.path.exists()

    host.broker.ids = [HOME]
    host.buffer.look_again()
    host.turn()

    assert not host.path.exists()


def test_who_is_paired_meanwhile_gets_it_too(make_host: MakeHost, home: FakeConsumer) -> None:
    host = make_host(controllers=())
    host.read(percent=1)
    host.pass_time(60)
    host.connect()
    host.chunks()

    host.broker.ids = [HOME]
    host.pass_time(5)

    host.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [1]
    assert not host.path.exists()


# --- Ends ------------------------------------------------------------------------------------


def test_who_is_stopped_in_an_outage_keeps_all_and_says_that_nothing_holds_on(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    online.read(percent=2)
    stopped_at = online.times.wall

    online.stop()

    online.pass_time(3600)
    online.start(Standing.HEARD)
    online.fetch(home)
    assert home.values["cpu.percent"][-2:] == [(NOW + 310, 2), (stopped_at, None)]


def test_who_is_stopped_while_all_is_well_leaves_nothing(online: FakeHost) -> None:
    online.stop()

    assert [*online.folder.iterdir()] == []


def test_after_a_power_cut_values_hold_until_the_last_write(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    online.read(percent=2)
    online.pass_time(170)
    written_at = online.times.wall
    online.pass_time(40)
    online.kill()

    online.times.wall += 7200
    online.times.boot, online.times.boot_id = 20.0, "second boot"
    online.start()
    online.read(percent=3)
    online.connect()

    online.fetch(home)
    assert home.values["cpu.percent"][-2:] == [(written_at, None), (written_at + 7240, 3)]


# --- Bounds ----------------------------------------------------------------------------------


def test_what_is_too_old_is_dropped(
    make_host: MakeHost, home: FakeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host(config=BacklogConfig(max_age=DAY, write_interval=3600))
    for hour in range(48):
        host.read(percent=hour)
        host.pass_time(3590)

    host.connect()

    host.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [*range(24, 48)]
    assert caplog.text.count("is dropped") == 1


def test_a_clock_that_is_years_ahead_at_the_next_boot_drops_nothing(
    host: FakeHost, home: FakeConsumer
) -> None:
    host.read(percent=1)
    host.pass_time(60)
    host.read(percent=2)
    host.stop()
    years = 10 * 365 * DAY
    host.times.wall += years
    host.times.boot, host.times.boot_id = 20.0, "second boot"
    host.start()
    host.read(percent=3)
    host.pass_time(60)

    # A time server is heard, and then Home Assistant.
    host.times.wall -= years
    host.connect()

    host.fetch(home)
    assert numbers(home.values["cpu.percent"])[:2] == [1, 2]


def test_what_is_never_fetched_ends_by_itself(sending: FakeHost) -> None:
    sending.pass_time(3600)
    assert not sending.buffer._recorder.recording
    for _ in range(7):
        assert sending.path.exists()
        sending.pass_time(DAY)

    assert not sending.path.exists()
    assert sending.buffer._deadline() == math.inf


def test_when_there_is_no_room_the_oldest_go(
    make_host: MakeHost, home: FakeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host(config=BacklogConfig(max_size=256 * 1024, write_interval=10))
    for step in range(120):
        host.read("disk", **{f"d{key}": step for key in range(100)})

    assert host.path.stat().st_size < 300 * 1024
    host.connect()
    host.fetch(home)
    assert numbers(home.values["disk.d7"])[-30:] == [*range(90, 120)]
    assert caplog.text.count("its oldest readings") == 1


def test_a_disk_that_does_not_answer_fills_no_memory(
    online: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.buffer.record.MOST_POINTS", 100)
    online.lose()
    for step in range(5):
        online.buffer.note("disk", online.times.wall, {f"d{key}": step for key in range(50)})

    assert online.buffer._recorder.waiting == 100


# --- Trouble ---------------------------------------------------------------------------------


def test_a_disk_that_cannot_be_written_is_said_once_and_heals(
    online: FakeHost, home: FakeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    moved = online.folder.rename(online.folder.with_name("moved"))
    online.lose()
    for value in range(2, 30):
        online.read(percent=value)
    assert caplog.text.count("cannot be kept") == 1

    moved.rename(online.folder)
    online.connect()
    online.pass_time(60)

    online.fetch(home)
    assert numbers(home.values["cpu.percent"]) == [*range(1, 30)]
    assert caplog.text.count("kept again") == 1


def test_the_loop_does_not_wait_for_the_disk(
    online: FakeHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    gate, entered = threading.Event(), threading.Event()
    work = Store.work

    def slow(store: Store, task: Task) -> Report:
        entered.set()
        gate.wait(20)
        return work(store, task)

    monkeypatch.setattr(Store, "work", slow)
    online.lose()
    online.buffer.note("cpu", online.times.wall, {"percent": 2})
    online.times.monotonic += 60
    online.loop.until(entered.is_set)
    for _ in range(2):
        online.times.monotonic += 60
        online.loop.settle()
    assert "does not answer" in caplog.text

    gate.set()
    online.turn()

    assert online.path.exists()
    assert "kept again" in caplog.text
