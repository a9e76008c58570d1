"""Plug-ins of other packages: found and used, and without harm when they are broken."""

from __future__ import annotations

import json
from pathlib import Path
import re
import shutil
import sys
import textwrap
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import platforms
from companion_agent.cli import doctor
from companion_agent.cli.snapshot import Snapshot
from companion_agent.config.settings import Broker, CollectorConfig, Config
from companion_agent.errors import PluginError
from companion_agent.models import Selection
from companion_agent.plugins import registry
from companion_agent.plugins.base import PluginContext
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    import subprocess

    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

EXAMPLE = Path(__file__).parents[1] / "examples" / "pilot-agent-hello"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    registry.load.cache_clear()
    yield folder
    registry.load.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("pilot_agent_"):
            del sys.modules[name]


def install(site: Path, project: Path) -> None:
    """Install a package as pip does, without what pip needs from the network."""
    about = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    for module in project.glob("*.py"):
        shutil.copy(module, site)
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n", "utf-8"
    )
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in entries.items())
        for group, entries in about["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups), "utf-8")


@pytest.fixture
def hello(site: Path) -> Path:
    """Install the example of `docs/plugins.md`."""
    install(site, EXAMPLE)
    return site


@pytest.fixture
def install_broken(site: Path, tmp_path: Path) -> Callable[[str], None]:
    """Install a plug-in `broken` with some source."""

    def make(source: str) -> None:
        project = tmp_path / "pilot-agent-broken"
        project.mkdir()
        (project / "pilot_agent_broken.py").write_text(
            "from companion_agent.models import Command, Reading\n"
            "from companion_agent.plugins.base import Collector, CommandProvider\n"
            + textwrap.dedent(source),
            "utf-8",
        )
        (project / "pyproject.toml").write_text(
            '[project]\nname = "pilot-agent-broken"\nversion = "1"\n'
            '[project.entry-points."pilot_agent.plugins"]\n'
            'broken = "pilot_agent_broken:BrokenPlugin"\n',
            "utf-8",
        )
        install(site, project)

    return make


def context() -> PluginContext:
    return PluginContext(platforms.current())


# --- The example -----------------------------------------------------------------------------


def test_a_plug_in_of_another_package_is_announced_with_its_reading_and_command(
    hello: Path,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    run_command: Callable[..., subprocess.Popen[str]],
) -> None:
    run_command(
        "run",
        PYTHONPATH=str(hello),
        PILOT_BROKER=f"127.0.0.1:{mosquitto.port}",
        PILOT_CONFIG="",
    )

    def announces() -> list[dict[str, Any]]:
        return [
            json.loads(payload)
            for topic, payload in home_assistant.published
            if topic.endswith("/announce")
        ]

    wait_until(lambda: any("hello" in one["collectors"] for one in announces()))
    announce = announces()[-1]
    assert {"key": "hello.greetings", "name": "Greetings"} in announce["readings"]
    assert {"key": "hello.greet", "state": "hello.greetings"} in announce["commands"]


def test_a_plug_in_of_another_package_has_a_section_in_the_configuration(
    hello: Path, tmp_path: Path, run_command: Callable[..., subprocess.Popen[str]]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("broker: localhost\ncollectors:\n  hello:\n    interval: 5\n", "utf-8")

    process = run_command("config", "check", "--config", str(file), PYTHONPATH=str(hello))

    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_command_of_another_package_s_plug_in_is_carried_out(hello: Path) -> None:
    plugin: Any = registry.create("hello", context())

    plugin.run("hello.greet", {})

    assert plugin.collect() == {"greetings": 1}


def test_a_plug_in_of_another_package_is_asked_for_by_name(
    hello: Path, run_command: Callable[..., subprocess.Popen[str]]
) -> None:
    output, _ = run_command("read", "hello", "--json", PYTHONPATH=str(hello)).communicate(
        timeout=30
    )

    assert json.loads(output)["readings"] == {
        "hello.greetings": {"value": 0, "kind": "hello.greetings"}
    }


def test_the_documented_plug_in_is_the_example(hello: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
    entry, source = re.findall(r"```(?:toml|python)\n(.*?)```", text, re.DOTALL)
    module: dict[str, Any] = {}
    exec(source, module)
    documented = module["HelloPlugin"](platforms.current())
    installed: Any = registry.create("hello", context())

    for plugin in (documented, installed):
        plugin.run("hello.greet", {})

    assert entry in (EXAMPLE / "pyproject.toml").read_text("utf-8")
    for method in ("collect", "readings", "commands"):
        assert getattr(documented, method)() == getattr(installed, method)()


# --- What is broken --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("BrokenPlugin = 5", "not a class derived from companion_agent.plugins.base.Plugin"),
        ("class BrokenPlugin: name = 'broken'", "not a class derived from"),
        ("class BrokenPlugin(Collector): name = 'other'", "'other', its entry point 'broken'"),
        ("class BrokenPlugin(Collector): pass", "named None"),
    ],
)
def test_a_plug_in_that_cannot_be_loaded_is_named_with_its_reason(
    install_broken: Callable[[str], None], source: str, reason: str
) -> None:
    install_broken(source)

    found = registry.load()

    assert reason in found.failures["broken"]
    assert found.types == registry.BUILT_IN


def test_a_plug_in_takes_no_name_that_there_is(site: Path, tmp_path: Path) -> None:
    project = tmp_path / "pilot-agent-disk"
    project.mkdir()
    (project / "pilot_agent_disk.py").write_text(
        "from companion_agent.plugins.disk import DiskPlugin\n", "utf-8"
    )
    (project / "pyproject.toml").write_text(
        '[project]\nname = "pilot-agent-disk"\nversion = "1"\n'
        '[project.entry-points."pilot_agent.plugins"]\ndisk = "pilot_agent_disk:DiskPlugin"\n',
        "utf-8",
    )
    install(site, project)

    assert registry.load().failures == {
        "disk": "there is a plug-in of that name; choose another name"
    }


def test_a_plug_in_that_cannot_be_made_is_an_error_with_its_reason(
    install_broken: Callable[[str], None],
) -> None:
    install_broken("""
        class BrokenPlugin(Collector):
            name = "broken"
            def __init__(self, *_): raise ValueError("no such serial port")
            def collect(self): return {}
        """)

    with pytest.raises(PluginError, match="ValueError: no such serial port"):
        registry.create("broken", context())


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("def probe(self): raise RuntimeError('no probe')", "RuntimeError: no probe"),
        ("def collect(self): raise OSError(5, 'Input/output error')", "Input/output error"),
        ("def collect(self): return None", "AttributeError"),
        ("def collect(self): return {'x': [1]}", "TypeError"),
        ("def readings(self): return ['x']", "AttributeError"),
        ("def pace(self, interval): raise KeyError('pace')", "KeyError"),
        ("def pace(self, interval): return 0", "an interval of 0 s"),
    ],
)
def test_a_plug_in_that_cannot_be_read_is_named_with_its_reason(
    install_broken: Callable[[str], None], method: str, reason: str
) -> None:
    install_broken(f"""
        class WorkingPlugin(Collector):
            name = "broken"
            def readings(self): return [Reading("x", resolution=1)]
            def collect(self): return {{"x": 1}}
        class BrokenPlugin(WorkingPlugin):
            {method}
        """)

    snapshot = Snapshot.of_this_host({"broken", "agent"})

    troubles = {source.name: source.trouble for source in snapshot.sources}
    assert reason in troubles.get("broken", "") + snapshot.failures.get("broken", "")
    assert troubles["agent"] == ""


def test_commands_that_cannot_be_listed_are_named_with_their_reason(
    install_broken: Callable[[str], None],
) -> None:
    install_broken("""
        class BrokenPlugin(CommandProvider):
            name = "broken"
            def commands(self): raise LookupError("nothing to ask")
            def run(self, key, args): pass
        """)

    snapshot = Snapshot.of_this_host({"broken"})

    assert snapshot.failures == {"broken": "LookupError: nothing to ask"}


def test_infinity_is_no_value(install_broken: Callable[[str], None]) -> None:
    install_broken("""
        class BrokenPlugin(Collector):
            name = "broken"
            def readings(self): return [Reading("x", resolution=1), Reading("y", resolution=1)]
            def collect(self): return {"x": float("inf"), "y": 2.2}
        """)

    (source,) = Snapshot.of_this_host({"broken"}).sources

    assert source.values == {"x": None, "y": 2}


def test_selections_reach_a_plug_in_of_another_package(
    install_broken: Callable[[str], None],
) -> None:
    install_broken("""
        class BrokenPlugin(Collector):
            name = "broken"
            selects = "room"
            def readings(self): return [Reading(room) for room in self.collect()]
            def collect(self): return {room: 1 for room in ("hall", "attic") if self.wants(room)}
        """)

    (source,) = Snapshot.of_this_host({"broken"}, lambda _: Selection(exclude=("a*",))).sources

    assert source.values == {"hall": 1}


def test_doctor_names_every_plug_in_that_is_broken_with_its_reason(
    install_broken: Callable[[str], None],
) -> None:
    install_broken("raise ImportError('libhello.so is missing')")

    checks = {check.name: check for check in doctor._check_collectors(None, doctor._read(None))}

    assert checks["plug-in broken"].verdict == "bad"
    assert checks["plug-in broken"].detail == "ImportError: libhello.so is missing"
    assert checks["collector agent"].verdict == "ok"


def test_doctor_does_not_read_what_is_switched_off(hello: Path, tmp_path: Path) -> None:
    config = Config(
        (Broker("localhost"),),
        tmp_path / "state",
        collectors={
            name: CollectorConfig(enabled=name == "agent") for name in registry.collectors()
        },
    )

    checks = list(doctor._check_collectors(config, doctor._read(config)))

    assert [check.name for check in checks if check.verdict == "ok"] == ["collector agent"]
    assert {check.detail for check in checks if check.name == "collector hello"} == {
        "switched off in the configuration"
    }
