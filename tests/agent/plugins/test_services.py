"""Services as Home Assistant gets and commands them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.config.loader import load
from companion_agent.errors import Unavailable
from companion_agent.models import Missing, Selection
from companion_agent.plugins.services.plugin import MOST_OF_A_PATTERN, ServicesPlugin
from companion_agent.plugins.services.settings import (
    WatchedService,
    WatchedServices,
    permitted,
    refusal,
)
from support.agent_services import FakeServices, ServedPlatform

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.platforms.services import Verb

EVERYTHING: tuple[Verb, ...] = ("start", "stop", "restart")


@pytest.fixture
def services() -> FakeServices:
    return FakeServices({"nginx.service": True, "backup.timer": False, "ssh.service": True})


def make(
    services: FakeServices, selection: Selection | None = None, **watched: WatchedService
) -> ServicesPlugin:
    names = {name.replace("_", "."): one for name, one in watched.items()}
    return ServicesPlugin(ServedPlatform(services), selection, WatchedServices(names))


def test_what_failed_is_counted_and_named(services: FakeServices) -> None:
    services.broken = ["a.service", "b.service"]

    values = make(services).collect()

    assert values == {"failed": 2, "failed_units": "a.service, b.service"}


def test_what_is_known_to_fail_can_be_left_out(services: FakeServices) -> None:
    services.broken = ["a.service", "b.service"]

    assert make(services, Selection(exclude=("b.*",))).collect()["failed"] == 1


def test_a_service_without_more_is_watched_only(services: FakeServices) -> None:
    plugin = make(services, nginx=WatchedService(), backup_timer=WatchedService(name="Backup"))

    values = plugin.collect()

    running, timer = [one for one in plugin.readings() if one.kind == "services.running"]
    assert (running.key, running.of) == ("nginx.running", "nginx")
    assert timer.of == "Backup"
    assert values["nginx.running"] is True
    assert values[timer.key] is False
    assert plugin.commands() == []


def test_what_may_be_started_and_stopped_is_a_switch(services: FakeServices) -> None:
    plugin = make(services, nginx=WatchedService(EVERYTHING, "Web"))
    plugin.collect()

    switch, restart = plugin.commands()

    assert (switch.key, switch.kind, switch.state) == (
        "services.nginx.switch", "services.switch", "services.nginx.switch",
    )  # fmt: skip
    assert (restart.key, restart.kind, restart.name) == (
        "services.nginx.restart", "services.restart", "Web",
    )  # fmt: skip
    # It is read as soon as it is done.
    assert restart.state == switch.key
    plugin.run(switch.key, {"value": 0})
    plugin.run(restart.key, {})
    assert services.done == [("nginx.service", "stop"), ("nginx.service", "restart")]
    assert plugin.collect()["nginx.switch"] is True


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_one_of_the_two_is_a_button(services: FakeServices, verb: Verb) -> None:
    plugin = make(services, nginx=WatchedService((verb,)))

    (command,) = plugin.commands()

    assert command.key == f"services.nginx.{verb}"
    assert command.state == "services.nginx.running"
    plugin.run(command.key, {})
    assert services.done == [("nginx.service", verb)]


def test_a_missing_permission_is_told(services: FakeServices) -> None:
    missing = Missing("polkit", "a rule")
    services.lacking = {("nginx.service", "stop"): missing}

    switch, restart = make(services, nginx=WatchedService(EVERYTHING)).commands()

    assert switch.missing == missing
    assert restart.missing is None


def test_two_names_of_one_service_may_differ_in_what_they_allow(services: FakeServices) -> None:
    services.aliases["www"] = "nginx.service"
    plugin = make(services, nginx=WatchedService(("stop",)), www=WatchedService(("restart",)))

    assert {command.key for command in plugin.commands()} == {
        "services.nginx.stop",
        "services.www.restart",
    }


def test_a_pattern_finds_some_and_commands_none(services: FakeServices) -> None:
    services.running |= {f"app-{number:02}.service": True for number in range(40)}
    plugin = ServicesPlugin(
        ServedPlatform(services), None, WatchedServices({"app-*": WatchedService(EVERYTHING)})
    )

    values = plugin.collect()

    assert sum(key.endswith(".running") for key in values) == MOST_OF_A_PATTERN
    assert plugin.commands() == []
    assert "name each service" in plugin.left_out()["app-* stop"]


def test_what_is_not_there_is_absent_with_its_reason(services: FakeServices) -> None:
    plugin = make(services, gone=WatchedService(EVERYTHING))

    assert set(plugin.collect()) == {"failed", "failed_units"}
    assert "no service of this name" in plugin.left_out()["gone"]
    assert plugin.commands() == []


def test_another_name_opens_no_way_to_what_the_machine_works_by(services: FakeServices) -> None:
    services.running["dbus-broker.service"] = True
    services.aliases["bus"] = "dbus-broker.service"
    plugin = make(services, bus=WatchedService(EVERYTHING))

    assert plugin.collect()["bus.running"] is True
    assert plugin.commands() == []


def test_a_system_without_services_has_none(services: FakeServices) -> None:
    services.unavailable = Unavailable("systemd does not run this machine")

    with pytest.raises(Unavailable, match="systemd does not run"):
        make(services).collect()


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("pilot-agent", "restart"),
        ("dbus.socket", "stop"),
        ("systemd-logind", "restart"),
        ("systemd-poweroff.service", "start"),
        ("debug-shell", "start"),
        ("user@1000.service", "stop"),
        ("rescue.target", "start"),
        ("poweroff.target", "start"),
        ("home.mount", "stop"),
        ("NetworkManager", "stop"),
        ("RpcSs", "restart"),
        ("Dhcp", "stop"),
        ("web-*", "start"),
    ],
)
def test_what_would_take_the_machine_along_is_refused(name: str, verb: Verb) -> None:
    assert refusal(name, verb)
    assert permitted({name: WatchedService((verb,))}) == {}


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("nginx", "stop"),
        ("sshd", "restart"),
        ("backup.timer", "stop"),
        ("NetworkManager", "restart"),
        ("getmail", "stop"),
        ("worker@2.service", "start"),
        ("target-practice", "start"),
        ("Spooler", "stop"),
        ("MSSQL$SQLEXPRESS", "restart"),
    ],
)
def test_the_rest_is_the_owners_to_decide(name: str, verb: Verb) -> None:
    assert refusal(name, verb) == ""


def test_the_local_file_names_them(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "broker: localhost\n"
        "services:\n"
        "  nginx: {allow: [start, stop], name: Web}\n"
        '  "backup-*": {}\n'
    )

    services = load(path, {}).services

    assert services == {
        "nginx": WatchedService(("start", "stop"), "Web"),
        "backup-*": WatchedService(),
    }
