"""Every collector on every machine keeps to the catalogue of the protocol."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from companion_agent import platforms
from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.platform import LinuxPlatform
from companion_agent.platforms.portable import PortablePlatform
from companion_agent.plugins import registry
from companion_agent.plugins.base import Plugin
from companion_agent.plugins.desktop import DesktopPlugin
from companion_agent.protocol.catalogue import CATALOGUE
from support.agent_machines import MACHINES, build

from .catalogue import ROOM_SENSORS, check_platform

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.models import Value
    from support.agent_screen import ScreenOf

pytestmark = pytest.mark.proves(
    "cpu.*",
    "memory.*",
    "disk.*",
    "disk_io.*",
    "network.*",
    "temperature",
    "temperature.sensor",
    "fan.*",
    "battery.*",
    "system.*",
    "wifi.*",
    "rpi.*",
    "agent.memory",
    "agent.cpu_time",
    "agent.reconnects",
    "agent.dropped_messages",
    "power.planned_shutdown",
)


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_keeps_to_the_catalogue(name: str, tmp_path: Path) -> None:
    assert check_platform(build(name, tmp_path))


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_read_as_its_file_says(name: str, tmp_path: Path, screen: ScreenOf) -> None:
    host = build(name, tmp_path)
    shown: dict[str, Value] = {}
    for collector in registry.collectors().values():
        with suppress(Unavailable):
            seen = screen(collector(host)).look()
            shown |= {f"{collector.name}.{key}": value for key, value in seen.items()}

    assert {key: shown.get(key) for key in host.expected} == host.expected


def test_the_machine_at_hand_keeps_to_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = platforms.current()
    # They take seconds of a processor, and are asked in `tests/systemd`.
    monkeypatch.setattr(platform, "package_managers", list)

    kinds = check_platform(platform)

    assert {"cpu.percent", "memory.used", "disk.free", "system.started", "agent.memory"} <= kinds


def test_psutil_keeps_to_the_catalogue() -> None:
    kinds = check_platform(PortablePlatform())

    assert {"cpu.percent", "memory.used", "disk.free", "system.started", "agent.memory"} <= kinds


def test_every_kind_is_found_on_some_machine(tmp_path: Path) -> None:
    found = set().union(*(check_platform(build(name, tmp_path / name)) for name in MACHINES))

    # What is asked of services is tested with them.
    of_services = {
        "power.planned_shutdown",
        "session.locked",
        "session.users",
        "processor.profile",
        "processor.profile_degraded",
        *(kind for kind in CATALOGUE if kind.startswith("services.")),
    }
    # What the owner names, and what package managers say, likewise.
    named = {kind for kind in CATALOGUE if kind.startswith(("processes.", "updates."))}
    # And what libraries of cards' makers, and Windows, tell.
    of_libraries = {"graphics.temperature", "graphics.fan_percent"}
    # And what session helpers read, with them.
    of_desktops = {
        kind
        for kind in CATALOGUE
        if issubclass(registry.BUILT_IN.get(kind.partition(".")[0], Plugin), DesktopPlugin)
    }
    of_ups = {kind for kind in CATALOGUE if kind.startswith("ups.")}
    elsewhere = ROOM_SENSORS | of_services | of_libraries | of_desktops | named | of_ups
    assert found - of_services == set(CATALOGUE) - elsewhere


def test_collectors_stand_in_the_order_of_the_catalogue() -> None:
    order = list(
        dict.fromkeys(kind.split(".")[0] for kind in CATALOGUE if kind not in ROOM_SENSORS)
    )

    # The kinds of room sensors are not called after who reads them, and what a host's owner has
    # added is of no kind that is known.
    others = {"i2c", "own_commands", "own_readings"}
    assert [name for name in registry.collectors() if name not in others] == order


def test_a_host_without_anything_has_reasons(tmp_path: Path) -> None:
    platform = LinuxPlatform(tmp_path)

    collectors = registry.collectors()
    for name in collectors.keys() - {"system", "agent", "wifi"}:
        with pytest.raises(Unavailable) as caught:
            collectors[name](platform).probe()
        assert caught.value.reason
