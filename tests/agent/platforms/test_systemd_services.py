"""What the agent asks of systemd, and what it makes of the answers; real in `tests/systemd`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("systemd is Linux's", allow_module_level=True)

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.logind import LogindControl
from companion_agent.platforms.linux.services import SystemdServices, unit_name, unit_path
from companion_agent.platforms.services import ServiceState
from support.agent_systemd import FakeSystemd

if TYPE_CHECKING:
    from support.agent_logind import SystemBus


@pytest.fixture
def systemd(bus: SystemBus) -> FakeSystemd:
    return FakeSystemd(bus)


@pytest.fixture
def services() -> SystemdServices:
    return SystemdServices(LogindControl(uid=990, user="pilot-agent"))


def test_units_as_systemd_lists_them(systemd: FakeSystemd, services: SystemdServices) -> None:
    systemd.lists(
        ("nginx.service", "loaded", "active"),
        ("sshd.service", "not-found", "inactive"),
        ("old.service", "loaded", "failed"),
    )

    found = services.states(["nginx", "sshd", "old.service", "no unit", "worker@", "ngin*"])

    assert found["nginx"] == [ServiceState("nginx.service", True)]
    assert found["old.service"] == [ServiceState("old.service", False)]
    assert found["ngin*"] == [ServiceState("nginx.service", True)]
    assert not {"sshd", "no unit", "worker@"} & found.keys()
    assert services.failed() == ["old.service"]


def test_a_job_is_done_when_the_unit_is_so(systemd: FakeSystemd, services: SystemdServices) -> None:
    systemd.unit("web.service", "inactive", Type="notify")
    systemd.does("StartUnit", "active", "done")
    systemd.does("StopUnit", "inactive", "done")

    services.act("web.service", "start")
    services.act("web.service", "stop")

    assert systemd.state("web.service") == "inactive"


@pytest.mark.parametrize(
    ("state", "result", "says"),
    [
        ("failed", "failed", "its result is exit-code, status 3"),
        ("inactive", "dependency", "the job ended with dependency"),
        ("activating", "done", "it is activating"),
    ],
)
def test_what_does_not_come_to_be_says_why(
    systemd: FakeSystemd, services: SystemdServices, state: str, result: str, says: str
) -> None:
    systemd.unit("web.service", "inactive", Result="exit-code", ExecMainStatus=3)
    systemd.does("StartUnit", state, result)

    with pytest.raises(CommandError, match=says) as raised:
        services.act("web.service", "start")

    assert raised.value.reason == "failed"


def test_what_is_refused_is_not_permitted_from_then_on(
    systemd: FakeSystemd, services: SystemdServices
) -> None:
    systemd.unit("web.service", "inactive")
    systemd.refuses("StartUnit", "org.freedesktop.systemd1.NoSuchUnit", "no such mode")
    systemd.refuses("StopUnit", "org.freedesktop.DBus.Error.AccessDenied", "no")
    asked = {"web.service": frozenset({"start", "stop"})}

    missing = services.missing(asked)  # type: ignore[arg-type]

    assert missing["web.service", "start"] is None
    lacking = missing["web.service", "stop"]
    assert lacking is not None
    # Nothing plays polkit here.
    assert lacking.reason == "package"
    assert '"stop web.service",' in lacking.fix
    with pytest.raises(CommandError) as raised:
        services.act("web.service", "stop")
    assert raised.value.reason == "not_permitted"
    with pytest.raises(CommandError, match="no such mode"):
        services.act("web.service", "start")


def test_where_systemd_does_not_run(bus: SystemBus, services: SystemdServices) -> None:
    with pytest.raises(Unavailable, match="systemd does not run"):
        services.failed()


def test_names_and_paths_of_units() -> None:
    assert unit_name("nginx") == "nginx.service"
    assert unit_name("backup.timer") == "backup.timer"
    # As systemd 252 gives it.
    assert unit_path("0x@a-b.service").endswith("/unit/_30x_40a_2db_2eservice")


def test_signals_of_single_units_are_followed(services: SystemdServices) -> None:
    services.follow(["nginx", "app-*"])

    (rule,) = services.signals()
    assert rule["path"] == unit_path("nginx.service")
