"""Fixtures of the agent's tests; the doubles are in `tests/support`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config.settings import Config
from support.agent_host import (
    WITHOUT_PACKAGE_MANAGERS,
    FakeCollector,
    FakePlatform,
    RunningAgent,
)
from support.agent_mqtt import Certificates, FakeHomeAssistant, Mosquitto, TransportDriver
from support.clock import ManualClock, PassingClock
from support.dbusmock import why_not
from support.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from companion_agent.config.settings import Broker
    from support.agent_logind import FakeLogind, FakePolkit, SystemBus

# The stack's brokers and releases.
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

# Fixtures that bring a broker, a bus, a server or a process of its own.
_REAL = {"bus", "mosquitto_program", "nut", "run_command", "server"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real: more than this process takes part")
    config.addinivalue_line("markers", "proves(*names): the readings and commands, supported.md")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that may fail by what happens elsewhere: these alone are tried again."""
    for item in items:
        if isinstance(item, pytest.Function) and not _REAL.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.real)


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Undo what a command did to the agent's loggers."""
    root = logging.getLogger("companion_agent")
    before = (root.handlers, root.propagate, root.level)
    yield
    root.handlers, root.propagate = before[:2]
    root.setLevel(before[2])


@pytest.fixture
def clock() -> PassingClock:
    return PassingClock()


@pytest.fixture
def still_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
def collector() -> FakeCollector:
    return FakeCollector()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Make a folder that may not be entered, by a user who does not enter everything like root."""
    folder = tmp_path / "closed"
    folder.mkdir(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)


@pytest.fixture(scope="session")
def mosquitto_program() -> str:
    program = shutil.which("mosquitto") or shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin"
    )
    if not program:
        pytest.skip("Mosquitto is not installed; `apt-get install mosquitto` brings it")
    return program


@pytest.fixture
def make_mosquitto(mosquitto_program: str, tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    made: list[Mosquitto] = []

    def make(settings: str = "allow_anonymous true\n") -> Mosquitto:
        mosquitto = Mosquitto(mosquitto_program, tmp_path, settings)
        made.append(mosquitto)
        mosquitto.start()
        return mosquitto

    yield make
    for mosquitto in made:
        mosquitto.thaw()
        mosquitto.stop()


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    return make_mosquitto()


@pytest.fixture
def make_nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """Start web proxies in front of ports of brokers; arguments as of `Nginx` from there on."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if not program:
        pytest.skip("nginx is not installed; `apt-get install nginx-light` brings it")
    made: list[Nginx] = []

    def make(upstream: int, **more: Any) -> Nginx:
        made.append(Nginx(program, tmp_path, upstream, **more))
        made[-1].start()
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    pytest.importorskip("trustme", reason="trustme, which makes certificates, is not installed")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def home_assistant_at() -> Iterator[Callable[[Mosquitto], FakeHomeAssistant]]:
    made: list[FakeHomeAssistant] = []

    def at(mosquitto: Mosquitto) -> FakeHomeAssistant:
        made.append(FakeHomeAssistant(mosquitto.port))
        return made[-1]

    yield at
    for home_assistant in made:
        home_assistant.close()


@pytest.fixture
def home_assistant(
    home_assistant_at: Callable[[Mosquitto], FakeHomeAssistant], mosquitto: Mosquitto
) -> FakeHomeAssistant:
    return home_assistant_at(mosquitto)


@pytest.fixture(scope="session")
def can_play() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def bus(
    can_play: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SystemBus]:
    """A system bus without any service on it."""
    from support.agent_logind import SystemBus

    bus = SystemBus(tmp_path_factory.mktemp("bus"))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    bus.start()
    yield bus
    bus.stop()


@pytest.fixture
def logind(bus: SystemBus) -> FakeLogind:
    """logind, on a machine that can do everything."""
    from support.agent_logind import LOGIND, MANAGER, FakeLogind

    bus.play("logind", LOGIND)
    logind = FakeLogind(bus)
    logind.method(MANAGER, "SetWallMessage", "sb", "", "")
    logind.method(MANAGER, "ScheduleShutdown", "st", "", "self.planned = args[0]")
    logind.method(
        MANAGER, "CancelScheduledShutdown", "", "b",
        "ret = bool(getattr(self, 'planned', '')); self.planned = ''",
    )  # fmt: skip
    return logind


@pytest.fixture
def polkit(bus: SystemBus) -> FakePolkit:
    """polkit, which permits nothing yet."""
    from support.agent_logind import POLKIT, FakePolkit

    bus.play("polkitd", POLKIT)
    return FakePolkit(bus)


@pytest.fixture
def driver(clock: PassingClock) -> Iterator[Callable[..., TransportDriver]]:
    drivers: list[TransportDriver] = []

    def make(*brokers: Broker, **options: Any) -> TransportDriver:
        drivers.append(TransportDriver(clock, *brokers, **options))
        return drivers[-1]

    yield make
    for made in drivers:
        made.end()


@pytest.fixture
def run_agent(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    running: list[RunningAgent] = []

    def run(
        *brokers: Broker,
        collectors: Sequence[FakeCollector] | None = None,
        platform: FakePlatform | None = None,
        session: str = "5e551017aaaaaaaa",
        interval: float = 3600,
        name: str = "",
        present: bool = False,
    ) -> RunningAgent:
        config = Config(brokers=brokers, state_dir=tmp_path, name=name)
        started = RunningAgent(
            config,
            platform or FakePlatform(),
            [FakeCollector()] if collectors is None else collectors,
            PassingClock(),
            session,
            interval,
            present=present,
        )
        running.append(started)
        return started

    yield run
    for agent in running:
        agent.stop()


@pytest.fixture
def run_command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `pilot-agent` as a process of its own."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PILOT_")}
        clean |= {"PILOT_STATE_DIR": str(tmp_path / "state"), **WITHOUT_PACKAGE_MANAGERS}
        clean |= environment
        process = subprocess.Popen(
            [sys.executable, "-m", "companion_agent", *arguments],
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        # pytest shows it when the test failed.
        print(*process.communicate())
