"""Batteries of Windows machines.

The answers of drivers are laid out as Microsoft's reference of poclass.h says; the numbers are
those that a laptop's battery of 57 Wh reports.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.battery import BatteryPlugin
from support.windows_api import FakeWindows

QUERY_TAG, QUERY_INFORMATION, QUERY_STATUS = 0x294040, 0x294044, 0x29404C
ON_LINE, DISCHARGING, CHARGING = 1, 2, 4
SYSTEM, RELATIVE = 0x8000_0000, 0x4000_0000
UNKNOWN, UNKNOWN_RATE = 0xFFFF_FFFF, -0x8000_0000


class FakeBattery:
    """A battery's driver."""

    def __init__(
        self,
        state: int = DISCHARGING,
        capacity: int = 28_500,
        rate: int = -11_400,
        *,
        full: int = 50_000,
        time: int = UNKNOWN,
        capabilities: int = SYSTEM,
    ) -> None:
        self.tag = 7
        self.information = struct.pack(
            "<IB3x4sIIIIII", capabilities, 1, b"LION", 57_000, full, 5_000, 2_500, 0, 132
        )
        self.status = struct.pack("<IIIi", state, capacity, 11_550, rate)
        self.time = time

    def answer(self, code: int, request: bytes) -> bytes:
        if code == QUERY_TAG:
            return self.tag.to_bytes(4, "little")
        assert int.from_bytes(request[:4], "little") == self.tag
        if code == QUERY_STATUS:
            return self.status
        assert code == QUERY_INFORMATION
        return self.information if request[4] == 0 else self.time.to_bytes(4, "little")


class Machine:
    """The batteries of a machine, by the paths of their devices."""

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.batteries: dict[str, FakeBattery | int] = {}
        self.on_line = 0
        self.system = struct.pack("<4B3xBIIiIII", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        self._list_fails = 0
        windows.functions.update(
            {
                "setupapi.SetupDiGetClassDevsW": lambda *_: 1,
                "setupapi.SetupDiEnumDeviceInterfaces": self._enumerate,
                "setupapi.SetupDiGetDeviceInterfaceDetailW": self._detail,
                "setupapi.SetupDiDestroyDeviceInfoList": lambda _: 1,
                "kernel32.CreateFileW": self._open,
                "kernel32.CloseHandle": lambda _: 1,
                "kernel32.DeviceIoControl": self._control,
                "kernel32.GetSystemPowerStatus": self._power_status,
                "powrprof.CallNtPowerInformation": self._system_state,
            }
        )

    def _enumerate(self, _list: int, _device: Any, _kind: Any, at: int, found: Any) -> int:
        found.reserved = at
        return 1 if at < len(self.batteries) else self.windows.fail(259)

    def _detail(self, _list: int, found: Any, detail: Any, size: int, *_: Any) -> int:
        path = f"{list(self.batteries)[found.reserved]}\0".encode("utf-16-le")
        assert int.from_bytes(detail.raw[:4], "little") in {6, 8}
        ctypes.memmove(ctypes.addressof(detail) + 4, path, min(len(path), size - 4))
        return 1

    def _open(self, path: str, *_: Any) -> int:
        battery = self.batteries[path]
        if isinstance(battery, int):
            self.windows.fail(battery)
            return -1 & (1 << 8 * ctypes.sizeof(ctypes.c_void_p)) - 1
        return 100 + list(self.batteries).index(path)

    def _control(
        self, handle: int, code: int, request: bytes, _size: int, answer: Any, *rest: Any
    ) -> int:
        battery = list(self.batteries.values())[handle - 100]
        assert isinstance(battery, FakeBattery)
        if code == QUERY_TAG and not battery.tag:
            return self.windows.fail(2)
        found = battery.answer(code, request)
        ctypes.memmove(answer, found, min(len(found), rest[0]))
        rest[1].value = len(found)
        return 1

    def _power_status(self, found: Any) -> int:
        found.on_line = self.on_line
        return 1

    def _system_state(self, level: int, _in: Any, _size: int, found: Any, size: int) -> int:
        assert (level, size) == (5, 32)
        ctypes.memmove(ctypes.addressof(found), self.system, size)
        return 0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(FakeWindows().install(monkeypatch))


def read(include: tuple[str, ...] = ()) -> dict[str, Any]:
    return dict(BatteryPlugin(WindowsPlatform(), Selection(include=include)).collect())


def test_a_battery_that_discharges(machine: Machine) -> None:
    machine.batteries["\\\\?\\acpi#pnp0c0a#1"] = FakeBattery()

    assert read() == {
        "battery.level": pytest.approx(57),
        "battery.state": "discharging",
        "battery.time_left": 28_500 / 11_400 * 3600,
        "battery.power": pytest.approx(11.4),
        "battery.energy": 28.5,
        "battery.health": pytest.approx(87.7, abs=0.1),
        "plugged": False,
    }


def test_the_driver_s_own_time_comes_first(machine: Machine) -> None:
    machine.batteries["one"] = FakeBattery(time=5_400)

    assert read()["battery.time_left"] == 5_400


@pytest.mark.parametrize(
    ("battery", "state", "power", "time_left"),
    [
        pytest.param(
            FakeBattery(ON_LINE | CHARGING, 25_000, 20_000), "charging", -20.0, 4_500, id="charging"
        ),
        pytest.param(FakeBattery(ON_LINE, 49_900, 0), "full", 0.0, None, id="full"),
        pytest.param(FakeBattery(ON_LINE, 40_000, 0), "not_charging", 0.0, None, id="held at 80 %"),
        pytest.param(
            FakeBattery(DISCHARGING, 25_000, UNKNOWN_RATE), "discharging", None, None, id="no rate"
        ),
        pytest.param(
            FakeBattery(DISCHARGING, 25_000, -10), "discharging", 0.01, None, id="just pulled"
        ),
    ],
)
def test_states_of_a_battery(
    machine: Machine,
    battery: FakeBattery,
    state: str,
    power: float | None,
    time_left: float | None,
) -> None:
    machine.batteries["one"] = battery

    (found,) = WindowsPlatform().power().batteries

    assert found.state == state
    assert found.power == (None if power is None else pytest.approx(power))
    assert found.time_left == time_left


def test_a_battery_that_counts_in_units_of_its_own_tells_no_watts(machine: Machine) -> None:
    machine.batteries["one"] = FakeBattery(
        DISCHARGING, 40, -20, full=100, capabilities=SYSTEM | RELATIVE
    )

    (found,) = WindowsPlatform().power().batteries

    assert (found.level, found.time_left) == (40, 7_200)
    assert (found.power, found.reports_power) == (None, False)


def test_a_level_that_is_not_known(machine: Machine) -> None:
    machine.batteries["one"] = FakeBattery(DISCHARGING, UNKNOWN)

    (found,) = WindowsPlatform().power().batteries

    assert (found.level, found.time_left, found.reports_time) == (None, None, False)


def test_several_batteries(machine: Machine) -> None:
    machine.batteries |= {
        "a": FakeBattery(capacity=25_000),
        "an empty bay": FakeBattery(),
        "b, of a mouse": FakeBattery(capabilities=0),
        "c": FakeBattery(CHARGING, 5_000, 9_000),
        "d, just taken out": 2,
    }
    bay = machine.batteries["an empty bay"]
    assert isinstance(bay, FakeBattery)
    bay.tag = 0

    levels = {key: value for key, value in read().items() if key.endswith("level")}

    assert levels == {"battery.level": 50, "battery2.level": 10}


def test_a_battery_that_is_not_wanted_is_not_opened(machine: Machine) -> None:
    machine.batteries |= {"a": FakeBattery(), "c": FakeBattery()}

    assert "battery2.level" in read(include=("battery2",))

    opened = [call[1] for call in machine.windows.calls if call[0] == "CreateFileW"]
    assert opened == ["c"]


def test_drivers_that_may_not_be_asked_are_summed_up_by_windows(machine: Machine) -> None:
    machine.batteries["one"] = 5
    machine.on_line = 1
    # External power, present, charging; 50 Wh, half full, 15 W.
    machine.system = struct.pack(
        "<4B3xBIIiIII", 1, 1, 1, 0, 7, 50_000, 25_000, 15_000, UNKNOWN, 0, 0
    )

    assert read() == {
        "battery.level": 50,
        "battery.state": "charging",
        "battery.time_left": 6_000,
        "battery.power": -15.0,
        "battery.energy": 25.0,
        "plugged": True,
    }


def test_a_machine_without_a_battery(machine: Machine) -> None:
    with pytest.raises(Unavailable, match="no battery"):
        read()


def test_external_power_that_is_not_known(machine: Machine) -> None:
    machine.batteries["one"] = FakeBattery()
    machine.on_line = 255

    assert "plugged" not in read()
