"""The agents that are measured: how to start them, and how to count what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path
import shutil
import subprocess
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from companion_agent.service.unit import ENVIRONMENT
from stack.agent import Agent
from stack.broker import Broker
from stack.process import Process

from . import environments

if TYPE_CHECKING:
    from .environments import Installed

LNXLINK = "2026.10.0"
PSMQTT = "2.6.2"
# The versions of the agent's own lock, so that the floor stands on the same ground.
FLOOR = ("paho-mqtt==2.2.0", "psutil==7.2.2")

EVERYTHING = ", everything"
"""How the names of those end that have everything on."""
PROGRAMS = ("python", "mosquitto")
"""Programs whose processes are watched, where everything is on."""

_COLLECTD_PLUGINS = (
    "cpu",
    "load",
    "memory",
    "swap",
    "df",
    "disk",
    "interface",
    "contextswitch",
    "uptime",
    "users",
    "thermal",
    "battery",
)

Launch = Callable[[Path, Broker, float], Process]
"""Makes the process: given a folder for its files, the broker and the interval."""


@dataclass(frozen=True)
class Subject:
    """An agent to measure.

    Attributes:
        name: What the tables call it.
        launch: How it is started.
        is_reading: Tells whether a message on this topic holds a reading.
        count: The number of readings, from the last payload of every topic.
        packages: How many packages it needs, where that can be said.
        size: Bytes on disk.
        note: What is special about it.
    """

    name: str
    launch: Launch
    is_reading: Callable[[str], bool]
    count: Callable[[Mapping[str, bytes]], int]
    packages: int | None
    size: int | None
    note: str = field(default="")


def floor() -> Subject:
    """Return the floor: see ``benchmarks/floor.py``."""
    return _floor("floor (psutil + paho)")


def floor_of_everything() -> Subject:
    """Return a floor that reads what `pilot_with_everything` adds, too."""
    return _floor(f"floor{EVERYTHING}", *PROGRAMS)


def _floor(name: str, *programs: str) -> Subject:
    installed = environments.from_pypi("floor", FLOOR)

    def launch(folder: Path, broker: Broker, interval: float) -> Process:
        program = Path(__file__).with_name("floor.py")
        command = [str(installed.python), str(program), broker.host, str(broker.port)]
        return Process("floor", [*command, str(interval), *programs], folder / "floor.log")

    return Subject(
        name=name,
        launch=launch,
        is_reading=lambda topic: topic == "floor/state",
        count=lambda last: _values_in(last["floor/state"]),
        packages=installed.packages,
        size=installed.size,
    )


def pilot() -> Subject:
    """Return this checkout's agent with every collector on."""
    return _pilot("pilot-agent", lambda _: {})


def pilot_with_everything() -> Subject:
    """Return this checkout's agent with what else the local file can name."""
    return _pilot(
        f"pilot-agent{EVERYTHING}",
        _everything,
        note="everything: besides, the agent watches programs and a service and has a reading and "
        "a command of the owner's; its floor sums up the same programs",
    )


def _pilot(name: str, more: Callable[[float], dict[str, Any]], note: str = "") -> Subject:
    installed = environments.from_checkout()

    def launch(folder: Path, broker: Broker, interval: float) -> Process:
        return pilot_agent(folder, broker, installed, interval, more(interval)).process

    def count(last: Mapping[str, bytes]) -> int:
        announced = (payload for topic, payload in last.items() if topic.endswith("/announce"))
        return sum(len(json.loads(payload)["readings"]) for payload in announced if payload)

    return Subject(
        name=name,
        launch=launch,
        is_reading=lambda topic: topic.endswith("/state"),
        count=count,
        packages=installed.packages,
        size=installed.size,
        note=note,
    )


def pilot_agent(
    folder: Path,
    broker: Broker,
    installed: Installed,
    interval: float,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Agent:
    """Return an agent that reads everything at the same interval; its settings are written."""
    collectors = pilot_collectors(interval) | more.get("collectors", {})
    settings = {**more, "collectors": collectors}
    agent = Agent(folder, broker, python=installed.python, settings=settings, env=ENVIRONMENT)
    agent.configure()
    return agent


def pilot_collectors(interval: float) -> dict[str, dict[str, Any]]:
    """Return settings with which every collector is on and reads at this interval."""
    names = (
        "cpu",
        "memory",
        "disk",
        "disk_io",
        "network",
        "temperature",
        "fan",
        "battery",
        "system",
        "wifi",
        "agent",
    )
    return {name: {"interval": interval} for name in names}


def _everything(interval: float) -> dict[str, Any]:
    return {
        "collectors": {
            name: {"interval": interval} for name in ("graphics", "own_readings", "processes")
        },
        "processes": {name: {"program": f"{name}*"} for name in PROGRAMS},
        "services": {"dbus": {}},
        "own_readings": {"load": {"file": "/proc/loadavg", "pattern": r"^\S+"}},
        "own_commands": {"nothing": {"command": ["true"]}},
    }


def psmqtt() -> Subject:
    """Return psmqtt with the readings that it shares with the agent, each on its own topic."""
    installed = environments.from_pypi("psmqtt", [f"psmqtt=={PSMQTT}"])

    def launch(folder: Path, broker: Broker, interval: float) -> Process:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "psmqtt.yaml"
        settings = {
            "logging": {"level": "WARNING", "report_status_period_sec": 3600},
            "mqtt": {
                "broker": {"host": broker.host, "port": broker.port},
                "publish_topic_prefix": "psmqtt/host",
                "retain": True,
            },
            "schedule": [{"cron": f"every {interval:g} seconds", "tasks": _psmqtt_tasks()}],
        }
        config.write_text(json.dumps(settings), encoding="utf-8")
        return Process(
            "psmqtt",
            [str(installed.folder / "bin" / "psmqtt")],
            folder / "psmqtt.log",
            env={"PSMQTTCONFIG": str(config)},
        )

    return Subject(
        name=f"psmqtt {PSMQTT}",
        launch=launch,
        is_reading=_is_psmqtt_reading,
        count=lambda last: sum(map(_is_psmqtt_reading, last)),
        packages=installed.packages,
        size=installed.size,
    )


def _is_psmqtt_reading(topic: str) -> bool:
    return topic.startswith("psmqtt/host/") and not topic.endswith(("/psmqtt_status", "/error"))


def _psmqtt_tasks() -> list[dict[str, Any]]:
    every: Sequence[tuple[str, Sequence[str]]] = (
        ("cpu_percent", ("total",)),
        ("cpu_percent", ("*",)),
        ("cpu_stats", ("*",)),
        ("getloadavg", ("*", "abs")),
        ("virtual_memory", ("*",)),
        ("swap_memory", ("*",)),
        ("disk_usage", ("*", "/")),
        ("disk_io_counters", ("*",)),
        ("net_io_counters", ("*",)),
        ("boot_time", ()),
    )
    return [
        {
            "task": task,
            "params": list(params),
            "topic": f"{task}-{number}/*" if "*" in params else f"{task}-{number}",
        }
        for number, (task, params) in enumerate(every)
    ]


def lnxlink(env: Mapping[str, str] | None = None) -> Subject:
    """Return lnxlink with its own choice of modules, at the interval of the others.

    Args:
        env: The desktop that it runs on; none when left out.
    """
    installed = environments.from_pypi("lnxlink", [f"lnxlink=={LNXLINK}"])

    def launch(folder: Path, broker: Broker, interval: float) -> Process:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "lnxlink.yaml"
        # Its own template with the modules that it leaves out itself; only what leads
        # to our broker and the interval are changed.
        template = subprocess.run(
            [str(installed.python), "-c", "from lnxlink.consts import CONFIGTEMP as t; print(t)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for was, becomes in (
            ("server: '192.168.1.1'", f"server: '{broker.host}'"),
            ("port: 1883", f"port: {broker.port}"),
            ("user: 'user'", "user: ''"),
            ("pass: 'pass'", "pass: ''"),
            ("update_interval: 5", f"update_interval: {interval:g}"),
        ):
            if was not in template:
                raise ValueError(f"lnxlink's template has no “{was}” any more")
            template = template.replace(was, becomes)
        config.write_text(template, encoding="utf-8")
        return Process(
            "lnxlink",
            [str(installed.folder / "bin" / "lnxlink"), "--ignore-systemd", "-c", str(config)],
            folder / "lnxlink.log",
            cwd=folder,
            env=env,
        )

    return Subject(
        name=f"lnxlink {LNXLINK.rpartition('.')[0]}",
        launch=launch,
        is_reading=lambda topic: "/monitor_controls/" in topic,
        count=lambda last: sum(topic.endswith("/config") for topic in last),
        packages=installed.packages,
        size=installed.size,
        note="lnxlink: its own choice of modules, but 10 s where it reads every 5 s by itself; "
        "its readings are counted as the entities that it announces to Home Assistant",
    )


def collectd() -> Subject | None:
    """Return collectd with its plug-in for processes, which looks at each of them."""
    return _collectd("collectd {} (C)", (*_COLLECTD_PLUGINS, "processes"))


def collectd_without_processes() -> Subject | None:
    """Return collectd without what is by far the dearest of its plug-ins."""
    return _collectd("collectd {}, no processes", _COLLECTD_PLUGINS)


def _collectd(name: str, plugins: Sequence[str]) -> Subject | None:
    """Return collectd, where it is installed with its MQTT plug-in (``collectd-core``)."""
    program = shutil.which("collectd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/collectd/sbin")
    plugin = next(Path("/usr/lib").glob("**/collectd/mqtt.so"), None)
    if program is None or plugin is None:
        return None
    version, size = _dpkg("collectd-core")

    def launch(folder: Path, broker: Broker, interval: float) -> Process:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "collectd.conf"
        text = _collectd_config(folder, broker, interval, plugin.parent, plugins)
        config.write_text(text, encoding="utf-8")
        return Process("collectd", [program, "-f", "-C", str(config)], folder / "collectd.log")

    return Subject(
        name=name.format(version),
        launch=launch,
        is_reading=lambda topic: topic.startswith("collectd/"),
        # "time:value" or "time:value:value", with a NUL byte at the end.
        count=lambda last: sum(
            payload.count(b":") for topic, payload in last.items() if topic.startswith("collectd/")
        ),
        packages=None,
        size=size,
    )


def _dpkg(package: str) -> tuple[str, int | None]:
    """Return version and size of a Debian package."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version} ${Installed-Size}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    version, _, kibibytes = done.stdout.partition(" ")
    return version.partition("-")[0], int(kibibytes) * 1024 if kibibytes.isdigit() else None


def _collectd_config(
    folder: Path, broker: Broker, interval: float, plugin_dir: Path, plugins: Sequence[str]
) -> str:
    return "\n".join(
        (
            'Hostname "host"',
            "FQDNLookup false",
            f'BaseDir "{folder}"',
            f'PIDFile "{folder}/collectd.pid"',
            f'PluginDir "{plugin_dir}"',
            f"Interval {interval:g}",
            *(f"LoadPlugin {name}" for name in plugins),
            "LoadPlugin mqtt",
            "<Plugin mqtt>",
            '  <Publish "benchmark">',
            f'    Host "{broker.host}"',
            f"    Port {broker.port}",
            '    ClientId "collectd"',
            "    Retain true",
            "    StoreRates true",
            "  </Publish>",
            "</Plugin>",
            "<Plugin cpu>",
            "  ReportByCpu true",
            "  ReportByState false",
            "  ValuesPercentage true",
            "</Plugin>",
            "<Plugin df>",
            '  MountPoint "/"',
            "  ValuesPercentage true",
            "</Plugin>",
            "<Plugin swap>",
            "  ReportIO false",
            "</Plugin>",
            "<Plugin interface>",
            # Loopback and what virtual machines and containers bring along.
            r'  Interface "/^(lo|ifb|docker|veth|virbr|br-)/"',
            "  IgnoreSelected true",
            "</Plugin>",
            "",
        )
    )


def _values_in(payload: bytes) -> int:
    return len(json.loads(payload)["values"])
