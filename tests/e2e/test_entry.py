"""What users do with a host's entry: find, ignore, remove and add it again."""

from __future__ import annotations

import json
from pathlib import Path
import time
from typing import TYPE_CHECKING

from harness.bus import PREFIX
from harness.host import Shown
from harness.logs import tracebacks
import pytest

from stack.homeassistant import HomeAssistant
from stack.paths import ROOT
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeHost
    from harness.bus import Bus
    from harness.host import Host
    from harness.logs import Logs

    from stack.broker import Mosquitto

PILOT = ROOT / "custom_components" / "pilot"


def test_card_shows_the_name(make_host: MakeHost) -> None:
    host = make_host("office-pc").start()

    flow = host.wait_until_offered()

    assert flow["context"]["title_placeholders"]["name"].startswith("office-pc")
    assert flow["step_id"] == "confirm"


def test_card_goes_when_the_host_is_removed_for_good(make_host: MakeHost, bus: Bus) -> None:
    host = make_host("office-pc").start()
    host.wait_until_offered()
    host.agent.stop()

    bus.forget_host(host.id)

    wait_for(lambda: host.offered() is None, "end of the offer")


def test_removed_host_is_not_offered_again(host: Host, ha: HomeAssistant) -> None:
    entry_id = host.entry["entry_id"]

    ha.remove_entry(entry_id)

    host.agent.restart()
    _another_host_is_offered(host)
    assert host.offered() is None
    ha.restart()
    _another_host_is_offered(host)
    assert host.offered() is None


def test_removed_host_is_found_again_by_the_user(host: Host, ha: HomeAssistant) -> None:
    entities = host.entity_ids()
    ha.remove_entry(host.entry["entry_id"])

    _add_by_search(host)

    host.wait_for_status("online")
    assert host.entity_ids().keys() == entities.keys()


def test_removal_clears_the_broker_on_request(host: Host, ha: HomeAssistant) -> None:
    ha.configure(host.entry["entry_id"], "computer", {"clear_on_remove": True})
    host.agent.stop()
    host.wait_for_status("off")

    ha.remove_entry(host.entry["entry_id"])

    wait_for(lambda: not host.bus.retained(host.id), "empty broker")


def test_host_that_left_for_good_is_offered_for_removal(host: Host, ha: HomeAssistant) -> None:
    def issues() -> list[str]:
        return [i["translation_key"] for i in ha.ws("repairs/list_issues")["issues"]]

    host.agent.stop()
    host.bus.publish(host.topic("announce"), b"", retain=True)

    wait_for(lambda: "host_removed" in issues(), "repair issue")
    host.agent.start()
    wait_for(lambda: "host_removed" not in issues(), "end of the repair issue")
    host.wait_for_status("online")


def test_ignored_host_stays_ignored(make_host: MakeHost, ha: HomeAssistant) -> None:
    host = make_host("office-pc").start()
    flow = host.wait_until_offered()

    ha.ws("config_entries/ignore_flow", flow_id=flow["flow_id"], title="office-pc")

    host.agent.restart()
    _another_host_is_offered(host)
    assert host.offered() is None
    assert [entry["source"] for entry in ha.entries() if entry["title"] == "office-pc"] == [
        "ignore"
    ]


def test_reloaded_entry_shows_values_again(host: Host, ha: HomeAssistant) -> None:
    entities = host.entity_ids()

    ha.reload_entry(host.entry["entry_id"])

    host.wait_for_status("online")
    host.wait_for_state("memory.percent", lambda state: state["state"] != "unavailable")
    assert host.entity_ids() == entities


class TestInstalledWithoutARestart:
    """The Marketplace installs while Home Assistant runs; MQTT discovery comes with a restart."""

    @pytest.fixture
    def bare_ha(
        self, tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto, logs: Logs
    ) -> Iterator[HomeAssistant]:
        """Return a Home Assistant that runs with MQTT but without Pilot."""
        market = Path(__file__).parent / "harness" / "marketplace_stand_in"
        folder = tmp_path_factory.mktemp("bare")
        configuration = {market.name: None}
        with HomeAssistant(folder, integrations=(market,), configuration=configuration) as ha:
            logs.watch(ha.process)
            ha.add_mqtt(broker)
            yield ha

    def test_hosts_are_found_by_search(self, make_host: MakeHost, bare_ha: HomeAssistant) -> None:
        host = make_host("office-pc").start()
        (bare_ha.folder / "custom_components" / "pilot").symlink_to(PILOT)
        bare_ha.call_service("marketplace_stand_in", "rescan")
        shown = Shown(bare_ha, host.bus, host.id)

        _add_by_search(shown)

        shown.wait_for_status("online")
        shown.wait_for_fresh_values(since=time.monotonic())
        assert not tracebacks(bare_ha.log())


def _another_host_is_offered(host: Shown) -> None:
    """Wait until discovery has demonstrably worked since: a host that comes later is offered."""
    ha, bus = host.ha, host.bus
    announce = host.announce()
    later = {**announce, "host": {**announce["host"], "id": f"{host.id}-later", "name": "later"}}
    topic = f"{PREFIX}/{host.id}-later/announce"
    bus.publish(topic, json.dumps(later), retain=True)
    try:
        ha.wait_for_flow(where=lambda f: f["context"].get("unique_id") == f"{host.id}-later")
    finally:
        bus.publish(topic, b"", retain=True)


def _add_by_search(host: Shown) -> None:
    """Add a host with the button *Add integration*."""
    step = host.ha.start_flow("pilot")
    assert step["type"] == "form", step
    assert not step["errors"], step
    chosen = {"host_id": host.id, "advanced": {"prefix": PREFIX}}
    asked = host.ha.confirm(step["flow_id"], chosen)
    assert asked["step_id"] == "confirm", asked
    # Without a code it is added unpaired.
    result = host.ha.confirm(step["flow_id"], {})
    assert result["type"] == "create_entry", result
