"""Rates of disks and interfaces, and the interfaces' addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.plugins.disk_io import DiskIoPlugin
from companion_agent.plugins.network import NetworkPlugin
from companion_agent.plugins.rates import Rates

if TYPE_CHECKING:
    from typing import Any

    from support.agent_screen import MachineOf, Screen, ScreenOf
    from support.clock import ManualClock

pytestmark = pytest.mark.proves("disk_io.*", "network.*_rate")

NET_DEV = "proc/net/dev"
DISKSTATS = "proc/diskstats"
MIB = 1024 * 1024


def of(shown: Screen) -> list[str]:
    """List what is reported, each once."""
    return list(dict.fromkeys(reading.of for reading in shown.collector.readings()))


def test_a_rate_needs_two_readings(clock: ManualClock) -> None:
    rates = Rates()

    assert rates.measure({"a": 100}) == {"a": None}
    clock.advance(10)
    assert rates.measure({"a": 1100}) == {"a": 100}


def test_a_counter_that_starts_again_makes_no_rate(clock: ManualClock) -> None:
    rates = Rates()
    rates.measure({"a": 5000})
    clock.advance(10)
    assert rates.measure({"a": 20}) == {"a": None}
    clock.advance(10)

    assert rates.measure({"a": 120}) == {"a": 10}


def test_an_absurd_rate_is_none(clock: ManualClock) -> None:
    rates = Rates()
    rates.measure({"a": 0})
    clock.advance(1)

    assert rates.measure({"a": 2**63}) == {"a": None}


def test_a_counter_that_was_away_is_new(clock: ManualClock) -> None:
    rates = Rates()
    rates.measure({"a": 5000})
    clock.advance(10)
    rates.measure({})
    clock.advance(10)

    assert rates.measure({"a": 9000}) == {"a": None}


def test_two_readings_at_once_keep_the_rate(clock: ManualClock) -> None:
    rates = Rates()
    rates.measure({"a": 0})
    clock.advance(10)
    rates.measure({"a": 1000})
    clock.advance(0.001)

    assert rates.measure({"a": 1500}) == {"a": 100}
    clock.advance(9.999)
    assert rates.measure({"a": 2000}) == {"a": 100}


def test_a_disk_is_read_in_sectors_of_512_bytes(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("raspberry-pi")
    shown = screen(DiskIoPlugin(host))
    clock.advance(10)
    host.change(
        DISKSTATS, "3400000 200000 90000 60000 2800000", "3420000 200000 90000 60000 2802000"
    )

    seen = shown.look()

    assert seen["mmcblk0.read_rate"] == 1024000
    assert seen["mmcblk0.write_rate"] == 102400


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("thinkpad", ["nvme0n1", "sdb"], id="no partition, loop, zram, encryption"),
        pytest.param("raspberry-pi", ["mmcblk0"], id="no ram"),
        pytest.param("amd-desktop", ["nvme0n1", "sda", "sdb"], id="no optical drive"),
        pytest.param("server", ["nvme0n1", "nvme1n1", "md1", "cciss/c0d0"], id="RAID"),
    ],
)
def test_disks_are_whole_ones(
    machine: MachineOf, screen: ScreenOf, name: str, expected: Any
) -> None:
    assert of(screen(DiskIoPlugin(machine(name)))) == expected


def test_volumes_are_included_by_their_lasting_name(machine: MachineOf, screen: ScreenOf) -> None:
    selection = Selection(include=("pve-vm*",))

    assert of(screen(DiskIoPlugin(machine("server"), selection))) == ["pve-vm--100--disk--0"]


def test_a_container_has_no_disks(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no disk"):
        DiskIoPlugin(machine("container")).probe()


def test_an_interface_reports_rates_totals_state_and_addresses(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("thinkpad")
    shown = screen(NetworkPlugin(host))
    clock.advance(10)
    host.change(NET_DEV, "5368709120 4200000", "5368809120 4200100")

    seen = shown.look()

    assert seen["wlp0s20f3.download_rate"] == 10000
    assert seen["wlp0s20f3.upload_rate"] == 0
    assert seen["wlp0s20f3.received"] == 5120 * MIB
    assert seen["wlp0s20f3.sent"] == 256 * MIB
    assert seen["wlp0s20f3.connected"] is True
    assert seen["wlp0s20f3.ipv4"] == "192.0.2.17"
    assert seen["wlp0s20f3.ipv6"] == "2001:db8:0:1:21a:2bff:fe3c:4d5e"
    assert seen["enp0s31f6.connected"] is False
    assert seen["enp0s31f6.ipv4"] is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("thinkpad", ["enp0s31f6", "wlp0s20f3"], id="no container's interfaces"),
        pytest.param("amd-desktop", ["enp5s0", "wg0"], id="a tunnel, no virtual machine's"),
        pytest.param("server", ["eno1", "eno2", "bond0", "vmbr0", "bond0.30"], id="own bridges"),
        pytest.param("container", ["eth0"], id="in a container"),
    ],
)
def test_interfaces_are_the_hosts_own(
    machine: MachineOf, screen: ScreenOf, name: str, expected: Any
) -> None:
    assert of(screen(NetworkPlugin(machine(name)))) == expected


ETHERNET, TUNNEL, IPIP = "1", "65534", "768"


@pytest.mark.parametrize(
    ("facts", "address", "shown"),
    [
        pytest.param({"type": ETHERNET}, "192.168.7.1", False, id="the end of a virtual cable"),
        pytest.param({"type": ETHERNET, "bridge/": ""}, "172.17.0.1", False, id="containers"),
        pytest.param({"type": ETHERNET, "bridge/": "", "lower_eth0": ""}, "", True, id="LAN"),
        pytest.param({"type": ETHERNET, "bonding/": "", "lower_eth0": ""}, "", True, id="bond"),
        pytest.param(
            {"type": ETHERNET, "uevent": "DEVTYPE=vlan", "lower_eth0": ""}, "", True, id="VLAN"
        ),
        pytest.param({"type": ETHERNET, "lower_eth0": ""}, "", False, id="macvlan of a machine"),
        pytest.param({"type": ETHERNET, "lower_eth0": ""}, "192.0.2.9", True, id="own macvlan"),
        pytest.param(
            {"type": ETHERNET, "uevent": "INTERFACE=new\nDEVTYPE=vxlan\n", "lower_eth0": ""},
            "10.244.0.0",
            False,
            id="containers of several hosts",
        ),
        pytest.param({"type": TUNNEL}, "192.0.2.9", True, id="a tunnel"),
        pytest.param({"type": TUNNEL}, "", False, id="a tunnel that is not up"),
        pytest.param(
            {"type": ETHERNET, "tun_flags": "0x1002"}, "192.0.2.9", True, id="a tap for a VPN"
        ),
        pytest.param(
            {"type": ETHERNET, "tun_flags": "0x1002", "master": ""}, "", False, id="a machine's tap"
        ),
        pytest.param(
            {"type": IPIP, "address": "00:00:00:00", "broadcast": "00:00:00:00"},
            "10.244.0.1",
            False,
            id="the module's own tunnel",
        ),
    ],
)
def test_what_the_kernel_knows_of_an_interface_decides(
    machine: MachineOf, screen: ScreenOf, facts: dict[str, str], address: str, shown: bool
) -> None:
    host = machine("raspberry-pi")
    for name, content in facts.items():
        host.write(f"sys/class/net/new/{name}{'x' if name.endswith('/') else ''}", content)
    text = (host.root / NET_DEV).read_text()
    host.write(NET_DEV, text + "   new: 5000 50 0 0 0 0 0 0 6000 60 0 0 0 0 0 0\n")
    if address:
        host.answer("ipv4", "new", address)

    assert ("new" in of(screen(NetworkPlugin(host)))) is shown


def test_what_the_default_route_goes_out_by_is_the_host_s(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("thinkpad")
    host.write(
        "proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "podman0 00000000 0102000A 0003 0 0 100 00000000 0 0 0\n",
    )

    assert "podman0" in of(screen(NetworkPlugin(host)))


def test_an_interface_stays_when_its_address_goes(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    shown = screen(NetworkPlugin(host))
    host._addresses.clear()
    for _ in range(10):
        shown.look()

    assert of(shown) == ["enp5s0", "wg0"]


def test_include_brings_an_interface_back(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(NetworkPlugin(machine("server"), Selection(include=("tap*", "eno1"))))

    assert of(shown) == ["eno1", "tap100i0"]


def test_a_tunnel_without_a_state_has_its_carrier(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    shown = screen(NetworkPlugin(host))
    assert shown.look()["wg0.connected"] is True
    host.fail("sys/class/net/wg0/carrier")

    assert shown.look()["wg0.connected"] is False


def test_an_interface_is_made_anew_between_two_readings(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("container")
    shown = screen(NetworkPlugin(host))
    clock.advance(10)
    host.change(NET_DEV, "eth0:   50000 ", "eth0:   100 ")

    seen = shown.look()

    assert seen["eth0.download_rate"] is None
    assert seen["eth0.received"] == 0


def test_an_interface_goes(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    shown = screen(NetworkPlugin(host))
    text = (host.root / NET_DEV).read_text()
    host.write(
        NET_DEV, "".join(line for line in text.splitlines(keepends=True) if "wg0" not in line)
    )

    assert not any(key.startswith("wg0") for key in shown.look())


def test_a_number_beyond_the_protocol_is_not_sent(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("container")
    host.change(NET_DEV, "eth0:   50000 ", f"eth0: {10**16} ")

    assert screen(NetworkPlugin(host)).look()["eth0.received"] is None


def test_chatter_is_no_change(machine: MachineOf, screen: ScreenOf, clock: ManualClock) -> None:
    host = machine("container")
    shown = screen(NetworkPlugin(host))
    clock.advance(10)
    before = dict(shown.look())
    clock.advance(10)
    host.change(NET_DEV, "eth0:   50000 ", "eth0:   53000 ")

    assert shown.look() == before
