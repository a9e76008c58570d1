"""What Linux machines say of themselves."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING

import pytest

from companion_agent import platforms
from companion_agent.platforms.linux.nl80211 import Nl80211
from companion_agent.platforms.linux.platform import LinuxPlatform

if TYPE_CHECKING:
    from typing import Any

    from support.agent_screen import MachineOf


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("thinkpad", ("x1", "LENOVO", "ThinkPad X1 Carbon 5th")),
        ("raspberry-pi", ("pi-cellar", "Raspberry Pi", "Raspberry Pi 4 Model B Rev 1.4")),
        ("amd-desktop", ("tower", "ASUSTeK COMPUTER INC.", "ROG STRIX B550-F GAMING")),
        ("server", ("pve1", "Supermicro", "Super Server")),
        ("container", ("4f1c2ab3d9e0", "", "")),
    ],
)
def test_a_machine_has_a_name_a_maker_and_a_model(
    machine: MachineOf, name: str, expected: Any
) -> None:
    info = machine(name).host_info()

    assert (info.name, info.manufacturer, info.model) == expected


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("(none)\n", "localhost"),
        ("\n", "localhost"),
        ("näs.lan\n", "näs"),
        ("x" * 64, "x" * 64),
    ],
)
def test_what_the_kernel_calls_the_host(machine: MachineOf, written: str, name: str) -> None:
    host = machine("container")
    host.write("proc/sys/kernel/hostname", written)

    assert host.host_info().name == name


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        pytest.param(
            "thinkpad", ("00:00:5e:00:53:10", "00:00:5e:00:53:11"), id="not the one for privacy"
        ),
        pytest.param("amd-desktop", ("00:00:5e:00:53:30",), id="lower case, no virtual one"),
        pytest.param("server", ("00:00:5e:00:53:40", "00:00:5e:00:53:41"), id="not the bond's"),
        pytest.param("container", (), id="none of its own"),
    ],
)
def test_hardware_addresses_are_those_of_the_cards(
    machine: MachineOf, name: str, macs: tuple[str, ...]
) -> None:
    assert machine(name).host_info().macs == macs


def test_an_installation_has_an_identity(machine: MachineOf) -> None:
    assert machine("thinkpad").installation_id() == "0123456789abcdef0123456789abcdef"


def test_a_start_of_the_system_has_a_name(machine: MachineOf) -> None:
    host = machine("raspberry-pi")
    unnamed = host.boot_id()

    host.write("proc/sys/kernel/random/boot_id", "8c5a7d24-5c0e-4b9f-9f31-2d9d7d1a1b11\n")

    assert (unnamed, host.boot_id()) == (None, "8c5a7d24-5c0e-4b9f-9f31-2d9d7d1a1b11")


def test_a_time_server_has_set_the_clock(machine: MachineOf) -> None:
    host = machine("raspberry-pi")
    before = host.clock_confirmed()

    host.write("run/systemd/timesync/synchronized", "")

    assert (before, host.clock_confirmed()) == (False, True)


def test_an_image_that_never_started_has_the_older_identity(machine: MachineOf) -> None:
    assert machine("amd-desktop").installation_id() == "00112233445566778899aabbccddeeff"


def test_a_container_has_no_identity(machine: MachineOf) -> None:
    assert machine("container").installation_id() is None


def test_a_host_is_renamed_and_upgraded_while_the_agent_runs(machine: MachineOf) -> None:
    host = machine("raspberry-pi")
    host.host_info()
    host.write("proc/sys/kernel/hostname", "pi-attic\n")
    host.write("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')

    info = host.host_info()

    assert (info.name, info.os) == ("pi-attic", "Debian GNU/Linux 13 (trixie)")


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "To Be Filled By O.E.M.",
        "System Product Name",
        "Default string",
        "Not Applicable",
        "None",
        "0123456789",
        "........",
        "O.E.M",
        "All Series",
        "123456789",
        "Unknown",
        "INVALID",
    ],
)
def test_what_makers_forgot_to_fill_in_is_no_model(machine: MachineOf, junk: str) -> None:
    host = machine("container")
    host.write("sys/class/dmi/id/product_name", f"{junk}\n")
    host.write("sys/class/dmi/id/sys_vendor", f"{junk}\n")

    info = host.host_info()

    assert (info.manufacturer, info.model) == ("", "")


@pytest.mark.parametrize("name", ["OptiPlex 7050", "NUC11PAHi5", "Standard PC (Q35 + ICH9, 2009)"])
def test_real_models_are_kept(machine: MachineOf, name: str) -> None:
    host = machine("container")
    host.write("sys/class/dmi/id/product_name", f"{name}\n")

    assert host.host_info().model == name


@pytest.mark.skipif(sys.platform != "linux", reason="reads the machine at hand")
class TestTheMachineAtHand:
    def test_its_name_is_uname_s(self) -> None:
        info = platforms.current().host_info()

        assert info.name == os.uname().nodename.split(".")[0]
        assert info.arch == os.uname().machine
        assert all(re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", mac) for mac in info.macs)

    def test_it_slept_no_longer_than_it_ran(self) -> None:
        slept = platforms.current().suspended_time()

        assert slept is not None
        assert 0 <= slept <= time.clock_gettime(time.CLOCK_BOOTTIME)

    def test_its_loopback_has_an_address(self) -> None:
        platform = LinuxPlatform()

        assert platform.links(["lo"])["lo"].ipv4 in {"127.0.0.1", None}
        assert platform.links(["no-such-one"])["no-such-one"].ipv4 is None

    def test_its_cards_say_how_they_were_made(self) -> None:
        network = LinuxPlatform()._network

        assert network.permanent_address("lo") is None
        assert network.permanent_address("no-such-one") is None

    def test_its_kernel_answers_netlink_s_controller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Every kernel has the family that lists the families; nl80211 only with a Wi-Fi driver.
        found = []
        monkeypatch.setattr(
            Nl80211, "_find_family", lambda self, _: found.append(real(self, "nlctrl")) or 0
        )
        real = REAL_FIND_FAMILY

        Nl80211().close()

        assert found == [16]

    def test_a_family_that_it_lacks_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            Nl80211, "_find_family", lambda self, _: REAL_FIND_FAMILY(self, "no-such-family")
        )

        with pytest.raises(OSError, match="refused"):
            Nl80211()

    def test_psutil_says_the_same(self) -> None:
        from companion_agent.platforms.portable import PortablePlatform

        linux, generic = platforms.current(), PortablePlatform()

        assert linux.memory().total == generic.memory().total
        assert abs(linux.memory().available - generic.memory().available) < 256 * 1024 * 1024
        assert abs(linux.started() - generic.started()) < 5
        assert linux.disk_usage("/").total == generic.disk_usage("/").total
        assert set(linux.cpu().cores) == set(generic.cpu().cores)
        ours = {one.name: one.received for one in linux.interfaces()}
        theirs = {one.name: one.received for one in generic.interfaces()}
        assert ours.keys() == theirs.keys()


REAL_FIND_FAMILY = Nl80211._find_family
