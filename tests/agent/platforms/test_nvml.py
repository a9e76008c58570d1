"""NVIDIA's cards: nvidia-ml-py on a library that the tests compile."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Device, Selection
from companion_agent.platforms import nvml
from companion_agent.plugins.graphics import GraphicsPlugin
from support.agent_machines import FakeMachine
from support.agent_nvml import (
    LOST,
    MISMATCH,
    NO_PERMISSION,
    NOT_SUPPORTED,
    StubNvml,
    build,
    compiler,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not compiler(), reason="needs Linux and a C compiler"
)

CARD = "sys/devices/pci0000:00/0000:01:00.0"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Path], StubNvml]]:
    """Have nvidia-ml-py load a library, which is one of this test's own."""
    number = iter(range(9))

    def load(library: Path) -> StubNvml:
        own = tmp_path / f"nvml{next(number)}.so"
        shutil.copy(library, own)
        stub = StubNvml(own)
        monkeypatch.setattr(nvml, "LIBRARY", str(own))
        monkeypatch.setattr(pynvml, "CDLL", lambda _: stub._library)
        monkeypatch.setattr(pynvml, "nvmlLib", None)
        monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0)
        pynvml._nvmlGetFunctionPointer_cache.clear()
        return stub

    yield load
    pynvml._nvmlGetFunctionPointer_cache.clear()


@pytest.fixture
def stub(load: Callable[[Path], StubNvml], compiled: Path) -> StubNvml:
    return load(compiled)


@pytest.fixture
def host(tmp_path: Path) -> FakeMachine:
    """A computer with a card of NVIDIA's, whose driver has no part for DRM."""
    host = FakeMachine(tmp_path / "host")
    for path, content in (
        (f"{CARD}/vendor", "0x10de\n"),
        (f"{CARD}/device", "0x2206\n"),
        (f"{CARD}/power/control", "on\n"),
        (f"{CARD}/power/runtime_status", "active\n"),
        (
            "usr/share/hwdata/pci.ids",
            "10de  NVIDIA Corporation\n\t2206  GA102 [GeForce RTX 3080]\n",
        ),
        ("sys/bus/pci/drivers/nvidia/bind", ""),
    ):
        host.write(path, content)
    driver = host.root / "sys/bus/pci/drivers/nvidia"
    (driver / "0000:01:00.0").symlink_to("../../../../devices/pci0000:00/0000:01:00.0")
    (host.root / CARD / "driver").symlink_to("../../../bus/pci/drivers/nvidia")
    return host


def values(plugin: GraphicsPlugin) -> dict[str, object]:
    """Read it; leave the card's id out of the keys."""
    return {key.rpartition(".")[2]: value for key, value in plugin.collect().items()}


@pytest.mark.proves("graphics.*", "graphics.temperature", "graphics.fan_percent")
def test_a_card_tells_everything(host: FakeMachine, stub: StubNvml) -> None:
    plugin = GraphicsPlugin(host)

    assert values(plugin) == {
        "percent": 42,
        "memory_used": 2 << 30,
        "memory_total": 8 << 30,
        "memory_percent": 25,
        "temperature": 61,
        "too_hot": False,
        "power": 71.5,
        "frequency": 1710,
        "fan_percent": 35,
    }
    assert {reading.device for reading in plugin.readings()} == {
        Device("graphics-0000-01-00-0", "NVIDIA GeForce RTX 3080", "NVIDIA", "GeForce RTX 3080")
    }
    assert plugin.left_out() == {}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param(NOT_SUPPORTED, "Not Supported", id="not supported"),
        pytest.param(NO_PERMISSION, "Insufficient Permissions", id="no permission"),
    ],
)
def test_what_a_card_does_not_tell_is_left_out_with_the_reason(
    host: FakeMachine, stub: StubNvml, status: int, reason: str
) -> None:
    stub.set(fan_status=status, utilization_status=status)
    plugin = GraphicsPlugin(host)

    seen = values(plugin)

    assert {"percent", "fan_percent"}.isdisjoint(seen)
    assert seen["temperature"] == 61
    assert plugin.left_out() == {
        "NVIDIA GeForce RTX 3080 (0000:01:00.0) percent": reason,
        "NVIDIA GeForce RTX 3080 (0000:01:00.0) fan_percent": reason,
    }


def test_a_driver_that_lacks_a_function_has_the_others(
    host: FakeMachine, load: Callable[[Path], StubNvml], tmp_path: Path
) -> None:
    load(build(tmp_path / "old", "-DWITHOUT_FAN"))
    plugin = GraphicsPlugin(host)

    assert values(plugin)["temperature"] == 61
    assert plugin.left_out() == {
        "NVIDIA GeForce RTX 3080 (0000:01:00.0) fan_percent": "Function Not Found"
    }


def test_what_was_read_once_stays_when_it_fails(host: FakeMachine, stub: StubNvml) -> None:
    plugin = GraphicsPlugin(host)
    plugin.collect()
    stub.set(power_status=999)

    seen = values(plugin)

    assert (seen["power"], seen["temperature"]) == (None, 61)


def test_a_card_that_is_lost_has_no_values(host: FakeMachine, stub: StubNvml) -> None:
    plugin = GraphicsPlugin(host)
    before = values(plugin)
    stub.set(card_status=LOST)

    assert values(plugin) == dict.fromkeys(before)
    assert "GPU is lost" in plugin.left_out().values()


def test_a_driver_that_was_loaded_anew_is_opened_anew(host: FakeMachine, stub: StubNvml) -> None:
    plugin = GraphicsPlugin(host)
    plugin.collect()
    stub.set(card_status=LOST)
    plugin.collect()
    stub.set(card_status=0)

    assert values(plugin)["percent"] == 42
    assert stub.count("opened") == 2


@pytest.mark.parametrize(
    ("celsius", "hot"), [((92,), False), ((93,), True), ((93, 90), True), ((93, 87), False)]
)
def test_a_card_is_too_hot_where_it_slows_down(
    host: FakeMachine, stub: StubNvml, celsius: tuple[int, ...], hot: bool
) -> None:
    plugin = GraphicsPlugin(host)
    for degrees in celsius:
        stub.set(temperature=degrees)
        seen = values(plugin)

    assert seen["too_hot"] is hot


def test_a_card_that_sleeps_is_not_asked(host: FakeMachine, stub: StubNvml) -> None:
    host.write(f"{CARD}/power/runtime_status", "suspended\n")

    with pytest.raises(Unavailable, match="it sleeps, and is asked as soon as it is awake"):
        GraphicsPlugin(host).collect()

    assert stub.count("opened") == 0


def test_a_card_that_falls_asleep_keeps_its_readings_without_values(
    host: FakeMachine, stub: StubNvml
) -> None:
    plugin = GraphicsPlugin(host)
    before = values(plugin)
    host.write(f"{CARD}/power/runtime_status", "suspended\n")

    assert values(plugin) == dict.fromkeys(before)


@pytest.mark.parametrize(("control", "counts"), [("on", (1, 0)), ("auto", (2, 2))])
def test_the_library_stays_open_only_where_no_card_may_sleep(
    host: FakeMachine, stub: StubNvml, control: str, counts: tuple[int, int]
) -> None:
    host.write(f"{CARD}/power/control", f"{control}\n")
    plugin = GraphicsPlugin(host)
    plugin.collect()

    plugin.collect()

    assert (stub.count("opened"), stub.count("closed")) == counts


def test_a_card_that_is_excluded_is_not_asked(host: FakeMachine, stub: StubNvml) -> None:
    with pytest.raises(Unavailable, match="no graphics card is selected"):
        GraphicsPlugin(host, Selection(exclude=("NVIDIA *",))).collect()

    assert stub.count("opened") == 0


def test_an_updated_driver_asks_for_a_restart(host: FakeMachine, stub: StubNvml) -> None:
    stub.set(init_status=MISMATCH)

    with pytest.raises(
        Unavailable, match=r"version mismatch; the driver was updated: restart this"
    ):
        GraphicsPlugin(host).collect()


def test_a_computer_without_the_library_does_not_import_nvidia_ml_py(
    host: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "LIBRARY", "libnvidia-ml-that-is-not-there.so.1")
    monkeypatch.setitem(sys.modules, "pynvml", None)

    with pytest.raises(Unavailable, match=r"\(NVML\) is not installed"):
        GraphicsPlugin(host).collect()


def test_a_computer_without_nvidia_ml_py_says_how_to_install_it(
    host: FakeMachine, stub: StubNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    with pytest.raises(Unavailable, match=r"pip install 'pilot-agent\[nvidia\]'"):
        GraphicsPlugin(host).collect()


def test_the_library_is_found_where_the_system_looks_for_libraries(compiled: Path) -> None:
    program = (
        "from companion_agent.platforms.nvml import Nvml\n"
        "print(*Nvml().cards(), Nvml().sample('0000:01:00.0').values['power'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LD_LIBRARY_PATH": str(compiled.parent)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ran.stdout == "NvmlCard(address='0000:01:00.0', device=8710) 71.5\n"
