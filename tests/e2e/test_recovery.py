"""What breaks between a host and its user heals without help."""

from __future__ import annotations

from datetime import timedelta
import time
from typing import TYPE_CHECKING

from harness.settings import KEEP_ALIVE, SLOW

from stack.process import wait_for

if TYPE_CHECKING:
    from conftest import MakeHost
    from harness.host import Host

    from stack.broker import Mosquitto
    from stack.homeassistant import HomeAssistant
    from stack.netns import Network

HEALED_WITHIN = 30
"""Seconds. Home Assistant itself tries its broker every ten."""

LOST_WITHIN = 1.5 * KEEP_ALIVE + 7
"""Seconds. Mosquitto looks every five for who is overdue, and counts in whole ones."""


def test_broker_is_restarted(host: Host, broker: Mosquitto) -> None:
    since = host.status[1]

    broker.restart()
    back = time.monotonic()

    host.wait_for_fresh_values(since=back, timeout=HEALED_WITHIN)
    host.wait_for_status("online")
    assert host.status[1] >= since


def test_broker_comes_back_without_what_it_kept(host: Host, broker: Mosquitto) -> None:
    broker.kill()
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)

    broker.start()
    back = time.monotonic()

    host.wait_for_fresh_values(since=back, timeout=HEALED_WITHIN)
    assert host.bus.retained(host.id).keys() >= {
        host.topic("announce"),
        host.topic("availability"),
        host.topic("state"),
    }


def test_user_sees_that_the_broker_is_away(host: Host, broker: Mosquitto) -> None:
    broker.stop()
    try:
        host.wait_for_status("no_broker")
        host.wait_until_shown_values_are_gone()
    finally:
        broker.start()

    host.wait_for_status("online", timeout=HEALED_WITHIN)


def test_home_assistant_is_restarted(host: Host, ha: HomeAssistant) -> None:
    host.wait_for_fresh_values(since=time.monotonic())
    entities = host.entity_ids()
    since = host.status[1]

    ha.restart()
    back = time.monotonic()

    host.wait_for_status("online")
    host.wait_for_fresh_values(since=back)
    assert host.entity_ids() == entities
    assert abs(host.status[1] - since) < timedelta(seconds=1)


def test_home_assistant_starts_while_the_host_is_off(host: Host, ha: HomeAssistant) -> None:
    host.agent.stop()
    since = host.wait_for_status("off")

    ha.restart()

    assert abs(host.wait_for_status("off") - since) < timedelta(seconds=1)
    host.wait_until_shown_values_are_gone()


def test_killed_agent_is_lost_at_once(host: Host) -> None:
    host.agent.kill()

    host.wait_for_status("lost", timeout=5)
    host.wait_until_shown_values_are_gone(timeout=2)


def test_hung_agent_is_lost_within_one_and_a_half_keep_alives(make_host: MakeHost) -> None:
    # Silence of such collectors means nothing yet: only the broker can tell.
    host = make_host("office-pc", broker={"keepalive": KEEP_ALIVE}, collectors=SLOW).start().add()

    host.agent.process.suspend()

    host.wait_for_status("lost", timeout=LOST_WITHIN)
    host.wait_until_shown_values_are_gone(timeout=2)


def test_woken_agent_comes_back(host: Host) -> None:
    host.agent.process.suspend()
    host.wait_for_status("lost", timeout=LOST_WITHIN)

    host.agent.process.resume()
    woken = time.monotonic()

    host.wait_for_status("online", timeout=HEALED_WITHIN)
    host.wait_for_fresh_values(since=woken)


def test_stopped_agent_is_off(host: Host) -> None:
    code = host.agent.stop()

    host.wait_for_status("off", timeout=5)
    host.wait_until_shown_values_are_gone(timeout=2)
    assert code == 0


def test_agent_that_was_killed_or_stopped_comes_back_as_the_same(host: Host) -> None:
    entities = host.entity_ids()
    for end in (host.agent.kill, host.agent.stop):
        end()
        host.wait_for_status("lost" if end == host.agent.kill else "off")

        started = time.monotonic()
        host.agent.start()

        host.wait_for_status("online")
        host.wait_for_fresh_values(since=started)
        assert host.entity_ids() == entities


def test_network_is_cut_and_heals(make_host: MakeHost, network: Network) -> None:
    host = make_host(
        "far-away",
        broker={"keepalive": KEEP_ALIVE},
        host=network.gateway,
        prefix=network.prefix,
    )
    host.start().add()

    network.cut()

    host.wait_for_status("lost", timeout=LOST_WITHIN)
    host.wait_until_shown_values_are_gone(timeout=2)

    network.heal()
    healed = time.monotonic()

    host.wait_for_status("online", timeout=HEALED_WITHIN)
    host.wait_for_fresh_values(since=healed)
    wait_for(lambda: host.status[0] == "online", "a status that stays", timeout=5)
