"""The parsers of the kernel's files: what they read, and that nothing makes them raise."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hypothesis import given, strategies as st
import pytest

from companion_agent.platforms.linux import (
    cpu,
    disks,
    identity,
    memory,
    mounts,
    network,
    nl80211,
    power,
    reboot,
    sessions,
    wifi,
)
from companion_agent.platforms.linux.files import Files, integer
from companion_agent.platforms.windows import wifi as windows_wifi

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

# Bytes as they come, and files that are nearly right.
WORDS = (
    b"cpu cpu0 cpu9999999999999999999 ctxt intr MemTotal: MemAvailable: SwapTotal: kB eth0: | - / "
    b"/mnt\\040x \\777 0:33 btrfs /dev/sda1 rw ro -1 0 1 255 18446744073709551616 1e999 nan 0x1f "
    b"POWER_SUPPLY_STATUS=Charging POWER_SUPPLY_CAPACITY= POWER_SUPPLY_ENERGY_NOW=-5 PRETTY_NAME= "
    b"' \" \\ \xff\xfe \x00 fe800000000000000000000000000001 40 80 wlan0: -47. 1_0"
).split(b" ")
MESS = st.one_of(
    st.binary(max_size=600),
    st.lists(st.lists(st.sampled_from(WORDS), max_size=14).map(b" ".join), max_size=8).map(
        b"\n".join
    ),
)

PARSERS = [
    cpu.parse_stat,
    cpu.parse_load,
    memory.parse_meminfo,
    memory.parse_arcstats,
    disks.parse_diskstats,
    network.parse_net_dev,
    network.parse_if_inet6,
    network.parse_default_routes,
    wifi.parse_wireless,
    identity.parse_os_release,
    power.parse_uevent,
    lambda data: power.read_battery("BAT0", power.parse_uevent(data)),
    lambda data: mounts.choose(mounts.parse_mountinfo(data), lambda _: True),
    lambda data: sessions.parse_utmp(data, 384),
    integer,
    nl80211.attributes,
    lambda data: list(nl80211.messages(data)),
    lambda data: nl80211.ssid_of(nl80211.attributes(data)),
    lambda data: nl80211.is_client_of(nl80211.attributes(data)),
    lambda data: nl80211.signal_of(nl80211.attributes(data)),
    windows_wifi.ssid_of,
    windows_wifi.signal_of,
]


@pytest.mark.parametrize("parse", PARSERS)
@given(data=MESS)
def test_no_bytes_make_a_parser_raise(parse: Callable[[bytes], object], data: Any) -> None:
    """That it returns is the point; what it returns is asserted of sound data elsewhere."""
    parse(data)


@given(data=MESS)
def test_memory_never_holds_more_than_there_is(data: Any) -> None:
    found = memory.parse_meminfo(data)

    assert found is None or 0 <= found.available <= found.total
    assert found is None or 0 <= found.swap_free <= found.swap_total


@given(data=MESS)
def test_a_mount_point_is_listed_once(data: Any) -> None:
    points = [mount.point for mount in mounts.choose(mounts.parse_mountinfo(data), lambda _: True)]

    assert len(points) == len(set(points))


@given(
    properties=st.dictionaries(
        st.sampled_from(
            [
                "STATUS",
                "CAPACITY",
                "POWER_NOW",
                "CURRENT_NOW",
                "VOLTAGE_NOW",
                "ENERGY_NOW",
                "ENERGY_FULL",
                "CHARGE_NOW",
                "CHARGE_FULL",
                "TIME_TO_EMPTY_NOW",
                "TIME_TO_FULL_NOW",
            ]
        ),
        st.one_of(
            st.sampled_from(["Charging", "Discharging", "Full", "", "x"]),
            st.integers(-(2**64), 2**65).map(str),
        ),
    )
)
def test_no_battery_is_beyond_belief(properties: dict[str, str]) -> None:
    battery = power.read_battery("BAT0", properties)

    assert battery.level is None or 0 <= battery.level <= 100
    assert battery.time_left is None or 0 <= battery.time_left <= 7 * 86400
    assert battery.power is None or abs(battery.power) < 10_000


@given(running=st.text(max_size=30), other=st.text("0123456789.-abc+", max_size=40))
def test_any_two_kernels_can_be_compared(running: str, other: str) -> None:
    assert not (reboot._is_newer(running, other) and reboot._is_newer(other, running))


def test_mountinfo_is_read_with_optional_fields_and_escapes() -> None:
    line = rb"36 35 98:0 /a /mnt\040x\134y rw,noatime master:1 unbindable - ext3 /dev/root rw"

    (found,) = mounts.parse_mountinfo(line)

    assert found == mounts.MountLine(
        b"36", b"35", "98:0", "/a", "/mnt x\\y", "ext3", "/dev/root", False
    )


def test_os_release_is_read_as_a_shell_does() -> None:
    found = identity.parse_os_release(b'# no\nA="x \\"y\\""\nB=\'z\'\nC=plain\n\nnonsense\nD="\n')

    assert found == {"A": 'x "y"', "B": "z", "C": "plain", "D": '"'}


def test_the_lasting_ipv6_address_is_preferred_to_a_temporary_one() -> None:
    lines = (
        b"20010db8000000000000000000000001 02 40 00 01 eth0\n"
        b"20010db8000000000000000000000002 02 40 00 00 eth0\n"
        b"20010db8000000000000000000000003 02 40 00 00 eth0\n"
        b"20010db8000000000000000000000004 02 40 00 40 eth1\n"
    )

    assert network.parse_if_inet6(lines) == {"eth0": "2001:db8::2"}


def test_a_signal_without_dbm_is_no_signal() -> None:
    text = b"Inter-|\n face |\n wlan0: 0000 63. 200. 0 0\n wlan1: 0000 63. -56. 0 0\n wlan2: 0000\n"

    assert wifi.parse_wireless(text) == {"wlan1": -56.0}


def attribute(kind: int, value: bytes) -> bytes:
    """Write a netlink attribute as the kernel does."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_netlink_s_messages_are_split_and_read() -> None:
    interface = attribute(3, struct.pack("=I", 3)) + attribute(52, b"Homenet")
    payload = struct.pack("=BBH", 5, 1, 0) + interface
    message = struct.pack("=IHHII", 16 + len(payload), 28, 0, 7, 0) + payload
    padded = message + bytes(-len(message) % 4)

    first, second = nl80211.messages(padded + message)

    assert first[:2] == second[:2] == (28, 7)
    assert nl80211.ssid_of(nl80211.attributes(first[2][4:])) == "Homenet"


def test_netlink_s_smoothed_signal_is_preferred() -> None:
    info = attribute(7, struct.pack("b", -60)) + attribute(13, struct.pack("b", -52))
    nested = attribute(21 | 0x8000, info)

    assert nl80211.signal_of(nl80211.attributes(nested)) == -52
    assert nl80211.signal_of(nl80211.attributes(attribute(21, attribute(13, b"\0")))) is None


def test_a_request_can_be_read_back() -> None:
    request = nl80211.message(
        28, 5, nl80211.attribute(3, struct.pack("=I", 3)), sequence=9, dump=True
    )

    ((kind, sequence, payload),) = nl80211.messages(request)

    assert (kind, sequence) == (28, 9)
    assert nl80211.attributes(payload[4:]) == {3: struct.pack("=I", 3)}


def test_windows_network_is_read_at_its_place() -> None:
    connection = (
        bytes(8 + 512) + (7).to_bytes(4, "little") + b"Homenet".ljust(32, b"\0") + bytes(40)
    )

    assert windows_wifi.ssid_of(connection) == "Homenet"
    assert windows_wifi.signal_of((-61).to_bytes(4, "little", signed=True)) == -61


@pytest.mark.parametrize(
    ("data", "number"),
    [(b"42\n", 42), (b" -7 ", -7), (b"", None), (b"4 2", None), (b"9" * 40, None), (None, None)],
)
def test_numbers(data: Any, number: int | None) -> None:
    assert integer(data) == number


def test_files_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    files = Files(tmp_path)
    (tmp_path / "folder").mkdir()

    for path in ("nothing", "folder", "nul\0"):
        assert files.read(path) is None
        assert files.text(path) is None
        assert files.number(path) is None
    assert files.names("nothing") == []
    assert files.target("nothing") is None


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 200_000)

    assert len(Files(tmp_path).read("long")) == 200_000
