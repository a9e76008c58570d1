r"""Graphics cards on Windows: its performance counters, its registry, NVIDIA's library.

The instances are called as a Windows 11 with an integrated and a discrete card calls them
(`\GPU Engine(pid_9524_luid_0x00000000_0x000095CA_phys_0_eng_0_engtype_3D)`); the buffers are laid
out as Microsoft's reference of pdh.h says.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Device, Selection
from companion_agent.platforms.nvml import NvmlCard, NvmlSample
from companion_agent.platforms.windows import adapters, graphics
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.graphics import GraphicsPlugin
from companion_agent.winapi import pdh
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GEFORCE, IRIS = 0x95CA, 0xA18D
ENGINES, MEMORY = (
    r"\GPU Engine(*)\Utilization Percentage",
    r"\GPU Adapter Memory(*)\Dedicated Usage",
)
REGISTRY: list[dict[str, object]] = [
    {
        "AdapterLuid": GEFORCE,
        "Description": "NVIDIA GeForce RTX 3080",
        "VendorId": 0x10DE,
        "DeviceId": 0x2206,
        "SubSysId": 0x87261043,
        "DedicatedVideoMemory": 8 << 30,
    },
    {
        "AdapterLuid": IRIS,
        "Description": "Intel(R) Iris(R) Xe Graphics",
        "VendorId": 0x8086,
        "DeviceId": 0x46A6,
        "SubSysId": 0x0B191028,
        "DedicatedVideoMemory": 128 << 20,
    },
    {"AdapterLuid": 0x1234, "Description": "Microsoft Basic Render Driver", "VendorId": 0x1414},
    # Of an earlier start of Windows.
    {"AdapterLuid": 0x9999, "Description": "NVIDIA GeForce RTX 3080", "VendorId": 0x10DE},
    {"Version": "4.09.00.0904"},
]


def memory(luid: int) -> str:
    return f"luid_0x00000000_0x{luid:08X}_phys_0"


def engine(luid: int, number: int, kind: str, process: int) -> str:
    return f"pid_{process}_{memory(luid)}_eng_{number}_engtype_{kind}"


class Counters:
    """Answers as pdh.h describes it.

    Attributes:
        values: What is counted, by the counter's path and the instance.
        codes: What is answered in the place of values, by path.
        collected: How often it was collected.
    """

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = {
            ENGINES: {
                engine(GEFORCE, 0, "3D", 4): 20.5,
                engine(GEFORCE, 0, "3D", 812): 31.5,
                engine(GEFORCE, 3, "VideoDecode", 812): 40.0,
                engine(IRIS, 0, "3D", 4): 3.0,
            },
            MEMORY: {memory(GEFORCE): float(2 << 30), memory(IRIS): 0.0},
        }
        self.codes: dict[str, int] = {}
        self.collected = 0
        self.closed = 0
        self._paths: dict[int, str] = {}
        self.fake = FakeWindows(
            {
                "pdh.PdhOpenQueryW": self._open,
                "pdh.PdhAddEnglishCounterW": self._add,
                "pdh.PdhCollectQueryData": self._collect,
                "pdh.PdhGetFormattedCounterArrayW": self._format,
                "pdh.PdhCloseQuery": self._close,
            }
        )

    def _open(self, _: None, __: int, query: ctypes.c_void_p) -> int:
        query.value = 0x51
        return 0

    def _add(self, _: object, path: str, __: int, counter: ctypes.c_void_p) -> int:
        if path in self.codes:
            return self.codes[path]
        counter.value = 0x100 + len(self._paths)
        self._paths[counter.value] = path
        return 0

    def _collect(self, _: object) -> int:
        self.collected += 1
        return 0

    def _close(self, _: object) -> int:
        self.closed += 1
        return 0

    def _format(self, counter: Any, _: int, size: Any, count: Any, buffer: Any) -> int:
        path = self._paths[counter.value]
        # A rate is of two collections.
        if path == ENGINES and self.collected < 2:
            return pdh.NOTHING_TO_COMPARE
        values = self.values[path]
        names = [f"{name}\0".encode("utf-16-le") for name in values]
        head = ctypes.sizeof(pdh.Item) * len(values)
        size.value, count.value = head + sum(map(len, names)), len(values)
        if buffer is None:
            return pdh.MORE_DATA
        at = ctypes.addressof(buffer) + head
        for index, (name, number) in enumerate(zip(names, values.values(), strict=True)):
            item = pdh.Item.from_buffer(buffer, index * ctypes.sizeof(pdh.Item))
            item.name, item.status, item.number = at, 0, number
            ctypes.memmove(at, name, len(name))
            at += len(name)
        return 0


class FakeNvml:
    """NVIDIA's library in the place of the one that `test_nvml.py` compiles."""

    def __init__(self) -> None:
        self.asked = 0
        self.missing: Unavailable | None = None

    def cards(self) -> list[NvmlCard]:
        self.asked += 1
        if self.missing:
            raise self.missing
        return [NvmlCard("0000:01:00.0", 0x2206)]

    def sample(self, address: str) -> NvmlSample:
        assert address == "0000:01:00.0"
        self.asked += 1
        return NvmlSample({"percent": 99, "temperature": 61, "power": 71.5}, {"fan_percent": "no"})

    def silent(self, _: str) -> Mapping[str, None]:
        return {"temperature": None, "power": None}

    def close(self) -> None:
        pass


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Counters:
    def entries() -> Iterator[dict[str, object]]:
        yield from REGISTRY

    monkeypatch.setattr(adapters, "entries", entries)
    counters = Counters()
    counters.fake.install(monkeypatch)
    return counters


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    nvml = FakeNvml()
    monkeypatch.setattr(graphics, "Nvml", lambda: nvml)
    return nvml


NVIDIA_CARD, INTEL_CARD = "10de-2206-87261043", "8086-46a6-0b191028"


@pytest.mark.proves("graphics.percent", "graphics.memory_*")
def test_a_card_is_as_busy_as_its_busiest_engine(counters: Counters, nvml: FakeNvml) -> None:
    plugin = GraphicsPlugin(WindowsPlatform())
    first = plugin.collect()

    second = plugin.collect()

    assert first[f"{INTEL_CARD}.percent"] is None
    assert second[f"{NVIDIA_CARD}.percent"] == 52
    assert second[f"{INTEL_CARD}.percent"] == 3
    assert second[f"{NVIDIA_CARD}.memory_percent"] == 25
    assert second[f"{INTEL_CARD}.memory_used"] == 0
    assert {key.rpartition(".")[0] for key in second} == {NVIDIA_CARD, INTEL_CARD}


def test_a_card_that_no_program_uses_is_idle(counters: Counters, nvml: FakeNvml) -> None:
    del counters.values[ENGINES][engine(IRIS, 0, "3D", 4)]
    plugin = GraphicsPlugin(WindowsPlatform())
    plugin.collect()

    assert plugin.collect()[f"{INTEL_CARD}.percent"] == 0


def test_a_card_is_a_device_that_a_restart_of_windows_does_not_rename(
    counters: Counters, nvml: FakeNvml
) -> None:
    plugin = GraphicsPlugin(WindowsPlatform(), Selection(include=("Intel*",)))
    plugin.collect()

    name = "Intel(R) Iris(R) Xe Graphics"
    assert {reading.device for reading in plugin.readings()} == {
        Device(f"graphics-{INTEL_CARD}", name, "Intel", name)
    }
    assert nvml.asked == 0


def test_nvidia_s_library_adds_what_windows_does_not_count(
    counters: Counters, nvml: FakeNvml
) -> None:
    plugin = GraphicsPlugin(WindowsPlatform())
    plugin.collect()

    values = plugin.collect()

    assert values[f"{NVIDIA_CARD}.temperature"] == 61
    assert values[f"{NVIDIA_CARD}.power"] == 71.5
    assert f"NVIDIA GeForce RTX 3080 ({NVIDIA_CARD}) fan_percent" in plugin.left_out()


def test_a_card_whose_memory_nothing_uses_is_not_woken(counters: Counters, nvml: FakeNvml) -> None:
    plugin = GraphicsPlugin(WindowsPlatform())
    plugin.collect()
    counters.values[MEMORY][memory(GEFORCE)] = 0.0
    nvml.asked = 0

    values = plugin.collect()

    assert nvml.asked == 0
    assert values[f"{NVIDIA_CARD}.temperature"] is None
    assert values[f"{NVIDIA_CARD}.percent"] == 52


def test_without_nvidia_s_library_its_card_has_what_windows_counts(
    counters: Counters, nvml: FakeNvml
) -> None:
    nvml.missing = Unavailable("nvidia-ml-py is not installed", "install it")
    plugin = GraphicsPlugin(WindowsPlatform())

    values = plugin.collect()

    assert values[f"{NVIDIA_CARD}.memory_used"] == 2 << 30
    assert plugin.left_out() == {
        f"NVIDIA GeForce RTX 3080 ({NVIDIA_CARD}) temperature": (
            "nvidia-ml-py is not installed; install it"
        )
    }


def test_two_cards_of_one_model_are_told_apart(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = {**REGISTRY[1], "AdapterLuid": 0xBEEF}
    monkeypatch.setattr(adapters, "entries", lambda: iter([REGISTRY[1], second]))
    counters.values[MEMORY][memory(0xBEEF)] = 0.0
    plugin = GraphicsPlugin(WindowsPlatform())

    plugin.collect()

    devices = {reading.device.id for reading in plugin.readings() if reading.device}
    assert devices == {f"graphics-{INTEL_CARD}", f"graphics-{INTEL_CARD}-2"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(pdh.ACCESS_DENIED, "does not let this program read", id="no permission"),
        pytest.param(pdh.NO_OBJECT, "does not count what graphics cards do", id="old Windows"),
        pytest.param(pdh.NO_COUNTER, "does not count what graphics cards do", id="old driver"),
        pytest.param(0xC0000BFF, "counters cannot be read", id="anything else"),
    ],
)
def test_counters_that_there_are_not_are_the_reason(
    counters: Counters, nvml: FakeNvml, code: int, reason: str
) -> None:
    counters.codes[MEMORY] = code

    with pytest.raises(Unavailable, match=reason):
        GraphicsPlugin(WindowsPlatform()).probe()

    assert counters.closed == 1


def test_a_computer_without_a_card_says_so(
    counters: Counters, nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "entries", lambda: iter(()))

    with pytest.raises(Unavailable, match="Windows knows no graphics card"):
        GraphicsPlugin(WindowsPlatform()).probe()
