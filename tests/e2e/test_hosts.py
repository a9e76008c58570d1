"""Which host is which: names, ids, clones and reinstalled agents."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from stack.netns import Network
from stack.process import wait_for

if TYPE_CHECKING:
    from conftest import MakeHost
    from harness.host import Host

    from stack.broker import Mosquitto
    from stack.homeassistant import HomeAssistant


def test_two_hosts_of_one_name_are_two_devices(make_host: MakeHost) -> None:
    first = make_host("office-pc").start().add()

    second = make_host("office-pc").start().add()

    assert first.device["id"] != second.device["id"]
    assert not set(first.entity_ids().values()) & set(second.entity_ids().values())
    assert first.wait_for_entity("memory.percent")["entity_id"] in first.ha.states()
    assert second.wait_for_entity("memory.percent")["entity_id"] in second.ha.states()


def test_two_hosts_of_one_name_can_be_told_apart(make_host: MakeHost) -> None:
    first = make_host("office-pc").start()
    second = make_host("office-pc").start()

    cards = [host.wait_until_offered()["context"]["title_placeholders"] for host in (first, second)]

    assert cards[0] != cards[1]
    first.add()
    second.add()
    assert first.entry["title"] == "office-pc"
    assert second.entry["title"] != "office-pc"
    assert second.device_name == second.entry["title"]


def test_renamed_host_keeps_its_entities(host: Host) -> None:
    host.wait_for_entity("memory.percent")
    entities = host.entity_ids()

    host.agent.configure(name="reception")
    host.agent.restart()

    wait_for(lambda: host.device_name == "reception", "the new name of the device")
    assert host.entry["title"] == "reception"
    assert host.entity_ids() == entities
    friendly = host.wait_for_state("memory.percent", lambda state: state["state"] != "unavailable")
    assert friendly["attributes"]["friendly_name"].startswith("reception ")


def test_name_that_the_user_gave_stays(host: Host, ha: HomeAssistant) -> None:
    ha.ws("config/device_registry/update", device_id=host.device["id"], name_by_user="My desk")

    host.agent.configure(name="reception")
    host.agent.restart()

    wait_for(lambda: host.device["name"] == "reception", "the new name of the device")
    assert host.device_name == "My desk"


def test_host_that_the_system_renames_is_renamed_without_a_restart(make_host: MakeHost) -> None:
    if not Network.available():
        pytest.skip("only root may make the namespace whose host name this test changes")
    host = make_host(
        "", prefix=("unshare", "--uts", "sh", "-c", 'hostname before; exec "$@"', "sh")
    )
    host.start().add()
    assert host.device_name == "before"

    _in_host_name_namespace(host, "hostname", "after")

    wait_for(lambda: host.device_name == "after", "the new name of the device", timeout=90)


def test_agent_that_is_installed_again_is_the_same_host(make_host: MakeHost) -> None:
    host = make_host("office-pc", derived_id=True).start().add()
    host.wait_for_entity("memory.percent")
    entities, host_id = host.entity_ids(), host.id
    host.agent.stop()
    host.wait_for_status("off")

    host.wipe_state()
    host.start()

    assert host.id == host_id
    host.wait_for_status("online")
    host.wait_for_fresh_values(since=time.monotonic())
    assert host.entity_ids() == entities


class TestClonedDisk:
    """Two agents with one id."""

    @pytest.fixture
    def original(self, make_host: MakeHost) -> Host:
        return make_host("office-pc").start().add()

    @pytest.fixture
    def clone(self, make_host: MakeHost, original: Host) -> Host:
        clone = make_host("office-pc-copy", derived_id=True)
        clone.copy_disk_of(original)
        clone.start()
        return clone

    def test_both_say_so_and_what_to_do(self, original: Host, clone: Host) -> None:
        heard = original.agent.process.wait_for_output(r".*office-pc-copy.*")
        withdrawn = clone.agent.process.wait_for_output(r".*id --new.*")

        assert original.id in original.agent.process.output()
        assert "WARNING" in heard.group().upper() or "ERROR" in heard.group().upper()
        assert "office-pc" in withdrawn.group()

    def test_home_assistant_names_both(self, original: Host, clone: Host) -> None:
        issue = wait_for(lambda: _conflict_issue(original), "repair issue", timeout=20)

        names = set(issue["translation_placeholders"].values())
        assert {"office-pc", "office-pc-copy"} <= names

    def test_neither_loops(self, original: Host, clone: Host, broker: Mosquitto) -> None:
        clone.agent.process.wait_for_output(r"id --new")
        before = _connects(broker, original.id)
        assert before >= 2, "the broker's log does not tell who connects"
        announced = len(original.bus.heard(original.topic("announce")))

        _watch(seconds=10)

        assert _connects(broker, original.id) == before
        assert len(original.bus.heard(original.topic("announce"))) <= announced + 1

    def test_the_original_stays_as_it_was(self, original: Host, clone: Host) -> None:
        clone.agent.process.wait_for_output(r"id --new")

        original.wait_for_fresh_values(since=time.monotonic())
        original.wait_for_status("online")

        assert original.device_name == "office-pc"
        assert original.entry["title"] == "office-pc"

    def test_new_id_makes_it_a_host_of_its_own(self, original: Host, clone: Host) -> None:
        clone.agent.process.wait_for_output(r"id --new")
        clone.agent.stop()

        clone.agent.run("id", "--new")
        clone.start().add()

        assert clone.id != original.id
        assert clone.device_name == "office-pc-copy"
        original.wait_for_status("online")
        original.agent.restart()
        wait_for(lambda: _conflict_issue(original) is None, "end of the repair issue")

    def test_one_gives_way_when_both_start_at_once(
        self, make_host: MakeHost, broker: Mosquitto
    ) -> None:
        first = make_host("office-pc")
        second = make_host("office-pc-copy", derived_id=True)
        second.copy_disk_of(first)

        first.agent.start()
        second.agent.start()

        given_way = "reports nothing"
        wait_for(
            lambda: any(given_way in host.agent.process.output() for host in (first, second)),
            "one that gives way",
        )
        before = _connects(broker, first.id)
        _watch(seconds=5)
        assert _connects(broker, first.id) == before
        gave_way = [given_way in host.agent.process.output() for host in (first, second)]
        assert sorted(gave_way) == [False, True]


def _conflict_issue(host: Host) -> dict[str, Any] | None:
    issues = host.ha.ws("repairs/list_issues")["issues"]
    return next(
        (i for i in issues if i["domain"] == "pilot" and i["issue_id"] == f"conflict_{host.id}"),
        None,
    )


def _connects(broker: Mosquitto, host_id: str) -> int:
    """Return how often clients with this id in their name have connected."""
    return len(re.findall(rf"New client connected .* as \S*{host_id}", broker.process.output()))


def _watch(seconds: float) -> None:
    """Let time pass in which something must not happen."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end, "end of the watch", timeout=seconds + 5)


def _in_host_name_namespace(host: Host, *command: str) -> None:
    nsenter = shutil.which("nsenter")
    assert nsenter
    subprocess.run(
        [nsenter, "--target", str(host.agent.process.pid), "--uts", *command], check=True
    )
