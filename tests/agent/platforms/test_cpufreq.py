"""The processor's frequency settings: what each driver has, takes and refuses."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

from hypothesis import given, strategies as some
import pytest

from companion_agent.platforms.linux import cpufreq
from companion_agent.platforms.linux.cpufreq import (
    BOOST,
    ENERGY_PREFERENCE,
    GOVERNOR,
    MAXIMUM,
    MINIMUM,
    Range,
    RefusedError,
)
from support.agent_processor import DRIVERS, Processor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.proves("processor.*")


@pytest.fixture
def processor(tmp_path: Path) -> Callable[[str], Processor]:
    """Make a machine with one of the drivers."""
    return lambda driver: Processor(driver, tmp_path)


ENERGY = ("default", "performance", "balance_performance", "balance_power", "power")


@pytest.mark.parametrize(
    ("driver", "has"),
    [
        (
            "acpi-cpufreq",
            {GOVERNOR: "schedutil", MINIMUM: 800_000, MAXIMUM: 3_300_000, BOOST: True},
        ),
        (
            "intel_pstate-active",
            {
                GOVERNOR: "powersave",
                ENERGY_PREFERENCE: "balance_performance",
                MINIMUM: 400_000,
                MAXIMUM: 4_400_000,
                BOOST: True,
            },
        ),
        (
            "intel_pstate-passive",
            {
                GOVERNOR: "schedutil",
                ENERGY_PREFERENCE: "balance_performance",
                MINIMUM: 400_000,
                MAXIMUM: 4_200_000,
                BOOST: True,
            },
        ),
        (
            "intel_cpufreq-no-hwp",
            {GOVERNOR: "schedutil", MINIMUM: 1_200_000, MAXIMUM: 2_600_000, BOOST: False},
        ),
        ("amd-pstate", {GOVERNOR: "schedutil", MINIMUM: 400_000, MAXIMUM: 4_672_070, BOOST: True}),
        (
            "amd-pstate-epp",
            {
                GOVERNOR: "powersave",
                ENERGY_PREFERENCE: "balance_power",
                MINIMUM: 545_000,
                MAXIMUM: 5_881_000,
                BOOST: True,
            },
        ),
        ("cppc", {GOVERNOR: "ondemand", MINIMUM: 1_000_000, MAXIMUM: 3_000_000, BOOST: False}),
        ("raspberrypi", {GOVERNOR: "ondemand", MINIMUM: 600_000, MAXIMUM: 1_800_000}),
        ("big-little", {GOVERNOR: "schedutil", MINIMUM: 408_000, MAXIMUM: 1_800_000}),
    ],
)
def test_every_driver_is_read(
    processor: Callable[[str], Processor], driver: str, has: dict[str, object]
) -> None:
    found = processor(driver).settings()

    assert {name: setting.value for name, setting in found.items()} == has


@pytest.mark.parametrize(
    ("driver", "lowest", "highest"),
    [
        # A table, whose steps differ.
        ("acpi-cpufreq", Range(800_000, 3_300_000, 100_000), Range(800_000, 3_300_000, 100_000)),
        # What every group of cores can have: the efficient ones end at 3.3 GHz.
        (
            "intel_pstate-active",
            Range(400_000, 3_300_000, 100_000),
            Range(400_000, 4_400_000, 100_000),
        ),
        ("amd-pstate", Range(400_000, 4_672_070, 10), Range(400_000, 4_672_070, 10)),
        ("big-little", Range(408_000, 1_416_000, 24_000), Range(408_000, 1_800_000, 24_000)),
    ],
)
def test_range_is_the_hardwares(
    processor: Callable[[str], Processor], driver: str, lowest: Range, highest: Range
) -> None:
    found = processor(driver).settings()

    assert (found[MINIMUM].range, found[MAXIMUM].range) == (lowest, highest)


@pytest.mark.parametrize("driver", DRIVERS)
def test_all_that_is_offered_is_set_and_put_back(
    processor: Callable[[str], Processor], driver: str
) -> None:
    one = processor(driver)
    before = one.files()
    for name, setting in one.settings().items():
        # The last governor is not performance, which would keep the energy preference.
        values: tuple[str | int | bool, ...] = tuple(sorted(setting.options))
        if setting.range:
            values = (setting.range.highest, setting.range.lowest)
        elif name == BOOST:
            values = (False, True, False)
        for value in values:
            one.set(name, value)
            assert one.value(name) == value

    one.keeper.restore()

    assert one.files() == before
    assert not (one.machine.root / cpufreq.STATE).exists()


def test_a_table_has_the_last_word(processor: Callable[[str], Processor]) -> None:
    one = processor("acpi-cpufreq")

    one.set(MAXIMUM, 2_500_000)
    assert one.value(MAXIMUM) == 1_900_000
    one.set(MAXIMUM, 3_300_000)
    one.set(MINIMUM, 2_000_000)
    assert one.value(MINIMUM) == 2_600_000


def test_groups_of_cores_have_as_much_as_they_can(processor: Callable[[str], Processor]) -> None:
    one = processor("intel_pstate-active")

    one.set(MAXIMUM, 3_900_000)

    assert one.value(MAXIMUM) == 3_900_000
    folder = "sys/devices/system/cpu/cpufreq"
    assert one.kernel.number(f"{folder}/policy0/scaling_max_freq") == 3_900_000
    assert one.kernel.number(f"{folder}/policy8/scaling_max_freq") == 3_300_000


def test_the_other_end_makes_way_first(processor: Callable[[str], Processor]) -> None:
    one = processor("raspberrypi")
    one.set(MAXIMUM, 800_000)
    one.kernel.written.clear()

    one.set(MINIMUM, 1_000_000)

    assert one.kernel.written == [
        ("policy0/scaling_max_freq", "1000000"),
        ("policy0/scaling_min_freq", "1000000"),
    ]
    one.kernel.written.clear()
    one.set(MAXIMUM, 700_000)
    assert one.kernel.written == [
        ("policy0/scaling_min_freq", "700000"),
        ("policy0/scaling_max_freq", "700000"),
    ]
    one.kernel.written.clear()
    one.keeper.restore()
    assert one.kernel.written == [
        ("policy0/scaling_min_freq", "600000"),
        ("policy0/scaling_max_freq", "1800000"),
    ]


@pytest.mark.parametrize(
    ("driver", "name", "value", "why"),
    [
        ("raspberrypi", MAXIMUM, 1_800_001, "is not within 600000 to 1800000 kHz"),
        ("raspberrypi", MINIMUM, 1, "is not within"),
        ("raspberrypi", GOVERNOR, "turbo", "is none of conservative, ondemand"),
        ("raspberrypi", BOOST, True, "has no boost that can be set"),
        ("acpi-cpufreq", ENERGY_PREFERENCE, "power", "has no energy preference"),
        ("intel_pstate-active", GOVERNOR, "schedutil", "is none of performance, powersave"),
    ],
)
def test_what_the_hardware_does_not_have_is_refused(
    processor: Callable[[str], Processor], driver: str, name: str, value: str | int, why: str
) -> None:
    one = processor(driver)

    with pytest.raises(RefusedError, match=why):
        one.set(name, value)

    assert not one.kernel.written
    assert not (one.machine.root / cpufreq.STATE).exists()


@pytest.mark.parametrize("driver", ["intel_pstate-active", "amd-pstate-epp"])
def test_energy_preference_under_performance_names_the_governor(
    processor: Callable[[str], Processor], driver: str
) -> None:
    one = processor(driver)
    one.set(GOVERNOR, "performance")

    with pytest.raises(RefusedError, match="choose another governor first"):
        one.set(ENERGY_PREFERENCE, "power")


def test_a_boost_that_the_firmware_forbids_is_told(
    processor: Callable[[str], Processor],
) -> None:
    one = processor("intel_cpufreq-no-hwp")
    one.kernel.refusals["no_turbo"] = errno.EPERM

    with pytest.raises(RefusedError, match="intel_cpufreq does not switch the boost: the firmware"):
        one.set(BOOST, True)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EROFS, "a container may not set it"),
        (errno.ENODEV, "its cores were switched off"),
        (errno.EINVAL, "cppc_cpufreq does not take 2000000 for the maximum frequency"),
    ],
)
def test_an_error_of_the_kernel_is_explained(
    processor: Callable[[str], Processor], number: int, why: str
) -> None:
    one = processor("cppc")
    one.kernel.refusals["scaling_max_freq"] = number

    with pytest.raises(RefusedError, match=why):
        one.set(MAXIMUM, 2_000_000)


def test_a_limit_of_others_is_no_success_and_all_is_as_before(
    processor: Callable[[str], Processor],
) -> None:
    one = processor("cppc")
    one.set(MAXIMUM, 1_500_000)
    one.kernel.ceiling = 2_000_000

    with pytest.raises(RefusedError, match="is 2000000 after it was set to 2500000"):
        one.set(MAXIMUM, 2_500_000)

    assert one.value(MAXIMUM) == 1_500_000
    one.kernel.ceiling = 0
    one.keeper.restore()
    assert one.value(MAXIMUM) == 3_000_000


def test_what_one_group_refuses_the_others_do_not_keep(
    processor: Callable[[str], Processor],
) -> None:
    one = processor("cppc")
    one.machine.remove("sys/devices/system/cpu/cpufreq/policy1/scaling_governor")
    one.machine.fail("sys/devices/system/cpu/cpufreq/policy1/scaling_governor")

    with pytest.raises(RefusedError):
        one.set(GOVERNOR, "powersave")

    folder = "sys/devices/system/cpu/cpufreq"
    assert one.kernel.text(f"{folder}/policy0/scaling_governor") == "ondemand"


def test_groups_of_cores_that_differ_are_told(processor: Callable[[str], Processor]) -> None:
    one = processor("amd-pstate-epp")
    folder = "sys/devices/system/cpu/cpufreq/policy1"
    one.kernel.set_by_hand(f"{folder}/energy_performance_preference", "power")
    one.kernel.set_by_hand(f"{folder}/boost", "0")

    found = one.settings()

    assert found[ENERGY_PREFERENCE].value is None
    assert found[ENERGY_PREFERENCE].trouble == "groups of cores differ: 1 balance_power, 1 power"
    assert found[BOOST].trouble == "groups of cores differ"


def test_a_preference_in_numbers_is_told(processor: Callable[[str], Processor]) -> None:
    one = processor("intel_pstate-active")
    for policy in one.kernel.policies():
        one.kernel.set_by_hand(f"{policy}/energy_performance_preference", "93")

    assert one.settings()[ENERGY_PREFERENCE].trouble == "it is 93"


def test_what_was_found_first_stays_what_is_put_back(
    processor: Callable[[str], Processor],
) -> None:
    one = processor("raspberrypi")

    for governor in ("powersave", "performance", "conservative"):
        one.set(GOVERNOR, governor)
    one.keeper.carry_out(cpufreq.parse_request(b"restore"))

    assert one.value(GOVERNOR) == "ondemand"


def test_another_that_sets_the_same_is_noticed(processor: Callable[[str], Processor]) -> None:
    one = processor("raspberrypi")
    one.set(GOVERNOR, "powersave")
    assert cpufreq.overwritten(one.kernel) == {}

    path = f"{one.kernel.policies()[0]}/scaling_governor"
    one.kernel.set_by_hand(path, "performance")

    assert cpufreq.overwritten(one.kernel) == {path: ("powersave", "performance")}


def test_what_a_driver_moves_by_itself_is_no_others_doing(
    processor: Callable[[str], Processor],
) -> None:
    one = processor("intel_pstate-active")
    one.set(ENERGY_PREFERENCE, "power")

    one.set(GOVERNOR, "performance")

    assert cpufreq.overwritten(one.kernel) == {}


def test_a_file_of_what_was_found_is_not_believed_beyond_its_names(
    processor: Callable[[str], Processor],
) -> None:
    one = processor("raspberrypi")
    outside = one.machine.root / "etc/shadow"
    outside.parent.mkdir()
    outside.write_text("secret\n")
    found = {
        "etc/shadow": "powersave",
        "sys/devices/system/cpu/cpufreq/policy0/../../../../../../etc/shadow": "powersave",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "a b\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_setspeed": "600000",
    }
    one.machine.write(cpufreq.STATE, json.dumps({"found": found, "set": {}}))

    one.keeper.restore()

    assert outside.read_text() == "secret\n"
    assert one.kernel.written == []


def test_nothing_is_set_that_could_not_be_put_back(processor: Callable[[str], Processor]) -> None:
    one = processor("raspberrypi")
    one.machine.remove(cpufreq.STATE_FOLDER)

    with pytest.raises(RefusedError, match="is missing"):
        one.set(GOVERNOR, "powersave")

    assert one.kernel.written == []


def test_a_machine_without_cpufreq_has_nothing(tmp_path: Path) -> None:
    assert cpufreq.Frequencies(cpufreq.Tree(str(tmp_path))).read() == {}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"restore now",
        b"governor",
        b"governor ../../x",
        b"governor powersave\n",
        b"governor -x",
        b"governor " + b"a" * 33,
        b"maximum_frequency 0",
        b"maximum_frequency -1",
        b"maximum_frequency 1e6",
        b"maximum_frequency 1234567890",
        "maximum_frequency ٣".encode(),
        b"boost 2",
        b"scaling_setspeed 1",
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(RefusedError):
        cpufreq.parse_request(line)


@given(line=some.binary(max_size=80))
def test_a_request_is_one_of_few_things_or_none(line: bytes) -> None:
    try:
        request = cpufreq.parse_request(line)
    except RefusedError:
        return
    assert request.name in {"", *cpufreq.SETTINGS}


_WORDS = some.from_regex(rb"[a-z][a-z0-9_-]{0,31}", fullmatch=True)


@given(
    request=some.one_of(
        some.tuples(some.sampled_from([GOVERNOR, ENERGY_PREFERENCE]), _WORDS.map(bytes.decode)),
        some.tuples(some.sampled_from([MINIMUM, MAXIMUM]), some.integers(1, 999_999_999)),
        some.tuples(some.just(BOOST), some.booleans()),
    )
)
def test_every_request_is_read_as_it_was_written(request: tuple[str, str | int | bool]) -> None:
    name, value = request
    text = int(value) if isinstance(value, bool) else value

    assert cpufreq.parse_request(f"{name} {text}".encode()) == request
