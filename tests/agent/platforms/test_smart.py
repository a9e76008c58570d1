"""What smartctl says of disks, read as a stranger's word; and how root asks it."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms.linux import smart_helper
from companion_agent.platforms.linux.files import Files
from companion_agent.platforms.linux.smart import Smart, parse
from companion_agent.platforms.linux.smart_helper import RefusedError
from support.agent_smart import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import DiskHealth

RECORDED = Path(__file__).with_name("smart")


def recorded(name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return said


def attribute(number: int, name: str, value: int, raw: str) -> dict[str, Any]:
    return {"id": number, "name": name, "value": value, "raw": {"value": 0, "string": raw}}


def ata(*attributes: dict[str, Any]) -> dict[str, Any]:
    return {"ata_smart_attributes": {"revision": 1, "table": list(attributes)}}


def test_an_nvme() -> None:
    facts = parse(recorded("qemu-nvme"))

    assert (facts.model, facts.serial) == ("QEMU NVMe Ctrl", "PILOT-NVME")
    assert facts.values == {
        "health": "passed",
        "wear": 0,
        "temperature": 50,
        "power_on_time": 0,
        "unsafe_shutdowns": 0,
    }


def test_a_sata_disk() -> None:
    facts = parse(recorded("qemu-sata"))

    assert facts.model == "QEMU HARDDISK"
    assert facts.values == {
        "health": "passed",
        "temperature": 31,
        "reallocated_sectors": 0,
        "power_on_time": 1,
    }


# Values of disks as smartctl_exporter's `testdata` (Apache-2.0) and scrutiny's have them, and as
# drivedb.h names the attributes.
@pytest.mark.parametrize(
    ("report", "values"),
    [
        pytest.param(
            {
                "smart_status": {"passed": True},
                "temperature": {"current": 47},
                "power_on_time": {"hours": 21213},
                **ata(
                    attribute(5, "Reallocated_Sector_Ct", 100, "0"),
                    attribute(174, "Unsafe_Shutdown_Count", 100, "167"),
                    attribute(197, "Current_Pending_Sector", 100, "0"),
                    attribute(245, "Percent_Life_Remaining", 93, "93"),
                ),
            },
            {
                "health": "passed",
                "wear": 7,
                "temperature": 47,
                "reallocated_sectors": 0,
                "pending_sectors": 0,
                "power_on_time": 21213,
                "unsafe_shutdowns": 167,
            },
            id="Intel S3520",
        ),
        pytest.param(
            {
                "smart_status": {"passed": False},
                "temperature": {"current": 25},
                "power_on_time": {"hours": 65592},
                **ata(
                    attribute(5, "Reallocated_Sector_Ct", 1, "1975"),
                    attribute(192, "Power-Off_Retract_Count", 95, "6244"),
                    attribute(197, "Current_Pending_Sector", 100, "8"),
                ),
            },
            {
                "health": "failed",
                "temperature": 25,
                "reallocated_sectors": 1975,
                "pending_sectors": 8,
                "power_on_time": 65592,
            },
            id="Hitachi 7K1000.D that fails",
        ),
        pytest.param(
            {
                "smart_status": {"passed": True},
                "temperature": {"current": 27, "drive_trip": 85},
                "power_on_time": {"hours": 982, "minutes": 1},
                "scsi_grown_defect_list": 0,
            },
            {"health": "passed", "temperature": 27, "power_on_time": 982, "reallocated_sectors": 0},
            id="Hitachi SAS",
        ),
        pytest.param(ata(attribute(177, "Wear_Leveling_Count", 98, "25")), {"wear": 2}, id="177"),
        pytest.param(ata(attribute(5, "?", 100, "7 (2, 1)")), {"reallocated_sectors": 7}, id="raw"),
        pytest.param({"endurance_used": {"current_percent": 12}}, {"wear": 12}, id="smartctl 7.5"),
        pytest.param(
            {"nvme_smart_health_information_log": {"percentage_used": 140}},
            {"wear": 100},
            id="outlived",
        ),
        pytest.param(
            {
                "ata_device_statistics": {
                    "pages": [
                        {
                            "number": 7,
                            "table": [
                                {
                                    "name": "Percentage Used Endurance Indicator",
                                    "value": 3,
                                    "flags": {"valid": True},
                                }
                            ],
                        }
                    ]
                }
            },
            {"wear": 3},
            id="device statistics",
        ),
    ],
)
def test_what_disks_say(report: dict[str, Any], values: Mapping[str, Any]) -> None:
    assert parse(report).values == values


@pytest.mark.parametrize(
    "report",
    [
        {"temperature": {"current": 255}},
        {"temperature": {"current": True}},
        {"power_on_time": {"hours": -1}},
        {"smart_status": {"passed": "yes"}},
        ata(attribute(5, "Reallocated_Sector_Ct", 100, "garbage")),
        ata(attribute(177, "Wear_Leveling_Count", 200, "0")),
        ata({"id": 5}),
        {"ata_smart_attributes": {"table": "none"}},
        [],
        None,
        "text",
    ],
)
def test_what_makes_no_sense_is_left_out(report: object) -> None:
    assert parse(report).values == {}


KEYS = sorted({*smart_helper._KEPT, "passed", "current", "hours", "table", "id", "name", "raw"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(JSON)
def test_nothing_that_a_disk_says_breaks_the_reader(report: object) -> None:
    facts = parse(report)

    assert len(facts.model) <= 128
    assert all(isinstance(value, (int, float, str)) for value in facts.values.values())


@pytest.fixture(scope="module")
def one_disk(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.add_disk("sda")
    machine.install_smartctl({})
    return machine


@given(content=st.binary(max_size=300) | JSON.map(lambda data: json.dumps(data).encode()))
def test_a_damaged_report_is_an_error_and_nothing_else(one_disk: Machine, content: bytes) -> None:
    one_disk.write(smart_helper.REPORT, content)

    with pytest.raises(OSError, match="damaged"):
        Smart(Files(one_disk.root)).read(Selection())


# --- Root ----------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a sleeping disk, an NVMe and a bridge that says nothing."""
    machine = Machine(tmp_path)
    machine.add_disk("sda", wwid="t10.ATA     one")
    machine.add_disk("sdb", wwid="naa.2")
    machine.add_disk("nvme0n1", wwid="eui.3")
    machine.add_disk("vda")
    machine.add_disk("sdc1")
    machine.want()
    machine.install_smartctl(
        {
            "sda": (4, recorded("qemu-sata")),
            "sdb": (
                1,
                {"smartctl": {"messages": [{"string": "/dev/sdb: Unknown USB bridge [0x1:0x2]"}]}},
            ),
            "nvme0n1": (0, recorded("qemu-nvme")),
        }
    )
    return machine


def read(machine: Machine, selection: Selection | None = None) -> dict[str, DiskHealth]:
    """Read as the agent does."""
    found = Smart(Files(machine.root)).read(selection or Selection())
    return {disk.name: disk for disk in found}


def test_root_asks_and_the_agent_reads(machine: Machine) -> None:
    assert smart_helper.main(str(machine.root)) == 0

    found = read(machine)
    assert machine.asked() == ["nvme0n1", "sda", "sdb"]
    assert found["sda"].serial == "PILOT-SATA-1"
    assert (found["sda"].values["health"], found["sda"].missing) == ("passed", "")
    assert found["nvme0n1"].values["temperature"] == 50
    assert found["sdb"].values == {}
    assert found["sdb"].missing == "/dev/sdb: Unknown USB bridge [0x1:0x2]"
    assert len({disk.id for disk in found.values()}) == 3


def test_a_disk_that_sleeps_says_what_it_said_before(machine: Machine) -> None:
    smart_helper.main(str(machine.root))
    machine.install_smartctl({"sda": (3, {"smartctl": {}}), "nvme0n1": (0, recorded("qemu-nvme"))})

    smart_helper.main(str(machine.root))

    disk = read(machine)["sda"]
    assert (disk.asleep, disk.missing) == (True, "")
    assert disk.values["health"] == "passed"


def test_a_disk_is_known_by_another_name(machine: Machine) -> None:
    """Names change from start to start, and what it said belongs to the disk."""
    smart_helper.main(str(machine.root))
    before = read(machine)["sda"]
    machine.add_disk("sda", wwid="naa.2")
    machine.add_disk("sdb", wwid="t10.ATA     one")
    machine.restart()
    asleep = (3, {"smartctl": {}})
    machine.install_smartctl({"sda": asleep, "sdb": asleep})

    smart_helper.main(str(machine.root))

    found = read(machine)
    assert (found["sdb"].id, found["sdb"].values) == (before.id, before.values)
    assert (found["sda"].values, found["sda"].missing) == ({}, "it sleeps")


@pytest.mark.parametrize(
    ("first", "second", "told_apart"),
    [
        pytest.param("A1", "B2", True, id="two disks"),
        pytest.param("A1", "A1", False, id="two ways to one disk"),
        pytest.param("", "", False, id="nothing tells"),
    ],
)
def test_disks_that_share_what_names_them_have_their_serials(
    machine: Machine, first: str, second: str, told_apart: bool
) -> None:
    for name, serial in (("sda", first), ("sdb", second)):
        machine.add_disk(name, "t10.JMicron Generic 0123456789ABCDEF")
        if serial:
            page = b"\0\x80\0\x08" + serial.rjust(8).encode()
            machine.write(f"{smart_helper.BLOCK}/{name}/device/vpd_pg80", page)

    found = smart_helper.disks(str(machine.root))

    assert (found["sda"] != found["sdb"]) == told_apart


def test_nvmes_that_share_what_names_them_have_their_serials(machine: Machine) -> None:
    for name, serial in (("nvme0n1", "A1"), ("nvme1n1", "B2")):
        machine.add_disk(name, "eui.0000000000000000")
        machine.write(f"{smart_helper.BLOCK}/{name}/device/serial", f"{serial}   \n")

    found = smart_helper.disks(str(machine.root))

    assert found["nvme0n1"] == "eui.0000000000000000 A1"
    assert found["nvme1n1"] == "eui.0000000000000000 B2"


def test_a_disk_that_fails_keeps_what_it_is(machine: Machine) -> None:
    smart_helper.main(str(machine.root))
    machine.install_smartctl(
        {"sda": (2, {"smartctl": {"messages": [{"string": "No such device"}]}})}
    )

    smart_helper.main(str(machine.root))

    disk = read(machine)["sda"]
    assert disk.missing == "No such device"
    assert "health" in disk.values


def test_no_disk_is_opened_that_is_not_wanted(machine: Machine) -> None:
    machine.want(include=["s*"], exclude=["sdb"])

    smart_helper.main(str(machine.root))

    assert machine.asked() == ["sda"]
    assert read(machine).keys() == {"sda"}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{}",
        b"[]",
        b'{"include": "x", "exclude": []}',
        b'{"include": [1], "exclude": []}',
        b"[" * 10_000,
        b" " * 20_000,
    ],
)
def test_no_disk_is_opened_unless_the_agent_says_so(
    machine: Machine, content: bytes | None
) -> None:
    wanted = machine.root / smart_helper.WANTED
    wanted.unlink()
    if content is not None:
        wanted.write_bytes(content)

    assert smart_helper.main(str(machine.root)) == 0
    assert machine.asked() == []


def test_root_follows_no_link_and_waits_for_no_pipe(machine: Machine) -> None:
    wanted = machine.root / smart_helper.WANTED
    wanted.unlink()
    wanted.symlink_to("/etc/passwd")
    with pytest.raises(RefusedError):
        smart_helper.read_wanted(str(machine.root))

    wanted.unlink()
    wanted.mkdir()
    with pytest.raises(RefusedError, match="no plain file"):
        smart_helper.read_wanted(str(machine.root))


def test_a_disk_that_does_not_answer_holds_up_no_other(machine: Machine) -> None:
    machine.write("usr/sbin/smartctl", "#!/bin/sh\nexec sleep 60\n")

    said = smart_helper.ask(str(machine.root / "usr/sbin/smartctl"), "sda", 0.2)

    assert said["failure"] == "it did not answer within 0.2 s"


def test_a_disk_that_goes_on_not_answering_is_not_asked_again(machine: Machine) -> None:
    """Each one that waits in the kernel takes one of the few places for processes."""
    program = str(machine.root / "usr/sbin/smartctl")
    smart_helper.main(str(machine.root))
    report = machine.report()
    report["disks"]["sda"] |= {"failure": "it did not answer within 30 s", "waits": 4321}
    machine.write(smart_helper.REPORT, json.dumps(report))
    line = "\0".join([*smart_helper._command(program, "sda"), ""])
    machine.write("proc/4321/cmdline", line)
    machine.install_smartctl(dict.fromkeys(("sda", "nvme0n1"), (0, recorded("qemu-nvme"))))

    smart_helper.main(str(machine.root))

    assert machine.asked() == ["nvme0n1", "sdb"]
    found = read(machine)["sda"]
    assert (found.serial, found.missing) == ("PILOT-SATA-1", "it has not answered for a long time")
    # It has ended, and its number is another process's.
    machine.write("proc/4321/cmdline", "/bin/sh\0")
    smart_helper.main(str(machine.root))
    assert read(machine)["sda"].missing == ""


def test_without_room_for_a_process_the_others_are_told_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen

    def start(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        if command[-1] == "/dev/sda":
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(command, **more)

    monkeypatch.setattr(subprocess, "Popen", start)

    assert smart_helper.main(str(machine.root)) == 0
    found = read(machine)
    assert "cannot be started" in found["sda"].missing
    assert found["nvme0n1"].missing == ""


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("no JSON", "smartctl ended with 0 and said nothing"),
        ("[]", "smartctl ended with 0 and said nothing"),
        (json.dumps({"smartctl": {}, "device": "x" * 100_000}), "smartctl said too much"),
    ],
)
def test_what_smartctl_may_say_instead(machine: Machine, answer: str, failure: str) -> None:
    machine.write("answer", answer)
    machine.write("usr/sbin/smartctl", f"#!/bin/sh\ncat {machine.root}/answer\n")

    said = smart_helper.ask(str(machine.root / "usr/sbin/smartctl"), "sda")

    assert said == {"failure": failure}


def test_as_a_program_it_needs_nothing_of_the_agent() -> None:
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import runpy; runpy.run_path({smart_helper.__file__!r})",
    ]

    assert subprocess.run(command, check=False).returncode == 0


# --- The agent -----------------------------------------------------------------------------------


def test_the_agent_says_which_disks_it_wants(machine: Machine) -> None:
    smart = Smart(Files(machine.root))
    (machine.root / smart_helper.WANTED).unlink()

    with pytest.raises(Unavailable):
        smart.read(Selection(include=("sd?",), exclude=("sdb",)))

    assert smart_helper.read_wanted(str(machine.root)) == (["sd?"], ["sdb"])


def test_without_the_service_nothing_is_written(machine: Machine) -> None:
    folder = (machine.root / smart_helper.WANTED).parent
    (machine.root / smart_helper.WANTED).unlink()
    folder.rmdir()

    with pytest.raises(Unavailable, match="root has not asked"):
        read(machine)

    assert not folder.exists()


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("sys/block", "there is no SATA, SAS, USB or NVMe disk"),
        ("usr/sbin/smartctl", "smartctl is not installed"),
    ],
)
def test_why_nothing_is_known(machine: Machine, missing: str, reason: str) -> None:
    machine.remove(missing)

    with pytest.raises(Unavailable) as caught:
        read(machine)

    assert caught.value.reason == reason


def test_what_is_old_is_not_believed(machine: Machine) -> None:
    smart_helper.main(str(machine.root))
    smart = Smart(Files(machine.root))
    at = machine.report()["at"]

    [_, disk, _] = smart.read(Selection(), now=at + 3600)
    assert disk.missing == ""
    [_, disk, _] = smart.read(Selection(), now=at + 3 * 3600)
    assert disk.missing == "root asked last 3 hours ago"
    assert disk.values


def test_after_a_restart_of_the_system_it_is_asked_anew(machine: Machine) -> None:
    smart_helper.main(str(machine.root))
    machine.restart()

    assert {disk.missing for disk in read(machine).values() if disk.values} == {
        "root has not asked since the system started"
    }


def test_a_disk_that_was_pulled_out_is_gone(machine: Machine) -> None:
    smart_helper.main(str(machine.root))
    machine.remove("sys/block/sda")

    assert read(machine).keys() == {"nvme0n1", "sdb"}
