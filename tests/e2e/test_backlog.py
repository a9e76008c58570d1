"""Nothing lost: a night without a broker, and the statistics of an undisturbed run afterwards.

Two hosts with a sensor each stand in the same room; one of them loses its network for the
night. No test waits for the night: the clocks of Home Assistant and of both hosts are moved from
one measurement to the next.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
import time
from typing import TYPE_CHECKING, Any

from harness.bus import Bus
from harness.host import NO_VALUE, Host
from harness.logs import tracebacks
from harness.night import LateHomeAssistant, Night, faketime, hours, states
import pytest

from stack.broker import Mosquitto
from stack.console import StackError
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.host import State
    from harness.logs import Logs

    from stack.netns import Network

HOUR = 3600
STEP = 600
KEY = "i2c.aht20-1-38.temperature"
WARMTH = (20, 21, 20.5, 19, 18, 18.5, 17, 16, 16.5, 15, 14.5, 14, 13, 14, 15, 17, 18, 19)
"""Of every ten minutes of the outage."""

# Home Assistant looks once a second at which time it is.
CLOCK_STEP = 2


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """Return a night that begins ten minutes before a full hour."""
    if faketime() is None:
        pytest.skip("libfaketime, which moves Home Assistant's clock, is not installed")
    night = Night(tmp_path / "night", time.time() // HOUR * HOUR - 10 * HOUR)
    night.at(night.start - STEP + 15)
    return night


@pytest.fixture
def own_broker(tmp_path: Path, network: Network, logs: Logs) -> Iterator[Mosquitto]:
    """Return a broker without other clients: it is another day there."""
    with Mosquitto(tmp_path / "broker", bind=["127.0.0.1", network.gateway]) as broker:
        logs.watch(broker.process)
        yield broker


@pytest.fixture
def home(
    night: Night, tmp_path: Path, own_broker: Mosquitto, logs: Logs
) -> Iterator[LateHomeAssistant]:
    """Return a Home Assistant that lives in that night."""
    with night.home(tmp_path / "home") as home:
        logs.watch(home.process)
        home.compile_at_next_start()
        home.add_mqtt(own_broker)
        yield home
        assert not tracebacks(logs.since_begin(home.process))


@pytest.mark.slow
@pytest.mark.timeout(900)  # It starts a Home Assistant twice, and beside other tests.
def test_a_night_without_a_broker(
    night: Night,
    home: LateHomeAssistant,
    own_broker: Mosquitto,
    network: Network,
    logs: Logs,
    tmp_path: Path,
) -> None:
    with Bus(own_broker) as bus, ExitStack() as running:

        def make(name: str, **more: Any) -> Host:
            host = Host(home, bus, night.agent(tmp_path / name, own_broker, name=name, **more))
            running.callback(host.agent.stop)
            logs.watch(host.agent.process)
            return host.new_id()

        cable: dict[str, Any] = {"prefix": network.prefix, "host": network.gateway}
        heard = make("heard", backlog={"enabled": False})
        cut_off = make("cut-off", backlog={"write_interval": 1}, **cable)
        for host in (heard, cut_off):
            host.start().add()
            host.wait_for_state(KEY, _shows(20))
        ids = {host: host.entity(KEY)["entity_id"] for host in (heard, cut_off)}

        # The cable is pulled; ten minutes go by with every measurement. Before the host knows that
        # it is cut off it must not be later: it keeps what it said in its last minutes only.
        network.cut()
        cut_off.agent.process.wait_for_output("Lost the connection", timeout=60)
        lags = [0.0] * (len(WARMTH) * STEP // HOUR)
        for number, celsius in enumerate(WARMTH):
            night.at(night.start + number * STEP)
            home.wait_until(night.start + number * STEP)
            begin = time.monotonic()
            night.warm(celsius)
            # The clock goes on when both have measured, however busy this machine is.
            night.wait_until_measured(heard.agent, cut_off.agent)
            heard.wait_for_state(KEY, _shows(celsius))
            # One host's change may be later than the other's by no more than this took.
            change = abs(celsius - WARMTH[number - 1]) if number else 0
            lags[number * STEP // HOUR] += change * (time.monotonic() - begin + CLOCK_STEP)

        # While it delivers Home Assistant does not listen, and the agent is killed. Home Assistant
        # listens again when the next agent has delivered: else it may acknowledge what it has of
        # the first one in between, and the next chunk comes.
        home.process.suspend()
        healed = time.monotonic()
        network.heal()
        delivered = bus.wait_for(cut_off.topic("backlog"), since=healed, timeout=60)
        cut_off.agent.kill()
        cut_off.start()
        again = bus.wait_for(cut_off.topic("backlog"), since=delivered.at + 0.001)
        home.process.resume()
        assert again.json["chunk"] == delivered.json["chunk"]
        bus.wait_for(cut_off.topic("acknowledge"), since=again.at)
        cut_off.wait_for_state(KEY, _shows(WARMTH[-1]))

        # What it has acknowledged is not in the statistics yet when its power fails.
        home.kill()
        night.at(night.start + len(WARMTH) * STEP + 30)
        home.start()

        def statistics() -> tuple[dict[int, tuple[float, ...]], dict[int, tuple[object, ...]]]:
            undisturbed, found = (hours(home, ids[host], night.start) for host in (heard, cut_off))
            whole = range(len(lags))
            expected = {
                hour: _near(undisturbed[hour], within=lags[hour] / HOUR)
                for hour in whole
                if hour in undisturbed
            }
            return {hour: found[hour] for hour in whole if hour in found}, expected

        def is_complete() -> bool:
            found, expected = statistics()
            return len(expected) == len(lags) and found == expected

        # Where they stay different the assertion below shows by what.
        with suppress(StackError):
            wait_for(
                is_complete, "the hours of an undisturbed run", timeout=180, process=home.process
            )
        found, expected = statistics()
        if found != expected:
            told = states(home, ids[cut_off], night.start - STEP)
            pytest.fail(f"{found} is not {expected};\ndelivered {delivered.json};\nheard {told}")
        assert len(found) == len(lags)


def _shows(celsius: float) -> Callable[[State], bool]:
    return lambda state: state["state"] not in NO_VALUE and float(state["state"]) == celsius


def _near(hour: tuple[float, ...], *, within: float) -> tuple[object, ...]:
    """Allow the mean for how late a value may be; the extremes are the same."""
    mean, low, high = hour
    return pytest.approx(mean, abs=within), low, high
