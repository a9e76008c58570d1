"""One broker and one Home Assistant serve all tests; every test brings its own hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.bus import Bus
from harness.host import Host, Shown
from harness.logs import Logs, tracebacks
from harness.settings import KEEP_ALIVE, QUICK
import pytest

from stack.agent import Agent
from stack.broker import Mosquitto
from stack.homeassistant import HomeAssistant
from stack.netns import Network

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stack.browser import Browser

_LOGS = pytest.StashKey[Logs]()

ANSWER = {
    "alias": "Open the front door",
    "triggers": [
        {
            "trigger": "event",
            "event_type": "mobile_app_notification_action",
            "event_data": {"action": "OPEN_FRONT_DOOR"},
        }
    ],
    "actions": [
        {
            "action": "input_boolean.turn_on",
            "target": {"entity_id": "input_boolean.front_door"},
        }
    ],
}
"""An automation as people have it for their phones' notifications."""


class MakeHost(Protocol):
    """Makes a host that is not started yet."""

    def __call__(self, name: str = ..., *, derived_id: bool = ..., **settings: Any) -> Host:
        """Make it; ``derived_id`` leaves it the id that this machine gives to every agent."""


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the logs of the stack."""
    config.stash[_LOGS] = Logs()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Let one worker have all pages of the front end: a second browser would read them anew.

    Raises:
        UsageError: Tests that belong together would not stay in one worker.
    """
    for item in items:
        if isinstance(item, pytest.Function) and "browser" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("browser"))
    # pytest-xdist tells the group by the end of the id, which it writes here.
    yield
    if getattr(config.option, "loadgroup", False):
        for item in items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError(f"pytest-xdist has lost the group of {item.nodeid}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the logs with every failure."""
    report = yield
    if report.failed:
        report.sections += item.config.stash[_LOGS].tails()
    return report


@pytest.fixture(scope="session")
def logs(pytestconfig: pytest.Config) -> Logs:
    """Return the logs of everything that was started."""
    return pytestconfig.stash[_LOGS]


@pytest.fixture(scope="session")
def artifacts(pytestconfig: pytest.Config) -> Path:
    """Return the folder for screenshots (``PILOT_ARTIFACTS``)."""
    folder = Path(os.environ.get("PILOT_ARTIFACTS") or pytestconfig.rootpath / "artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def maybe_network() -> Iterator[Network | None]:
    """Return a network whose cable can be pulled, where this machine lets us make one."""
    if not Network.available():
        yield None
        return
    with Network() as network:
        yield network


@pytest.fixture
def network(maybe_network: Network | None) -> Iterator[Network]:
    """Return a network whose cable can be pulled."""
    if maybe_network is None:
        pytest.skip("only root may make the network namespace whose cable this test pulls")
    yield maybe_network
    maybe_network.heal()


@pytest.fixture(scope="session")
def broker(
    tmp_path_factory: pytest.TempPathFactory, maybe_network: Network | None, logs: Logs
) -> Iterator[Mosquitto]:
    """Return a running Mosquitto."""
    bind = ["127.0.0.1", *([maybe_network.gateway] if maybe_network else [])]
    with Mosquitto(tmp_path_factory.mktemp("broker"), bind=bind) as broker:
        logs.watch(broker.process)
        yield broker


@pytest.fixture(scope="session")
def bus(broker: Mosquitto) -> Iterator[Bus]:
    """Return a plain client that hears what is said on the broker."""
    with Bus(broker) as bus:
        yield bus


@pytest.fixture(scope="session")
def ha(
    tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto, logs: Logs
) -> Iterator[HomeAssistant]:
    """Return a running Home Assistant that is connected with the broker."""
    configuration = {
        "conversation": None,
        "tts": [{"platform": "demo"}],
        "automation": [ANSWER],
        "input_boolean": {"front_door": {"name": "Front door open"}},
    }
    with HomeAssistant(tmp_path_factory.mktemp("homeassistant"), configuration=configuration) as ha:
        logs.watch(ha.process)
        ha.add_mqtt(broker)
        yield ha


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium."""
    from stack.browser import Browser

    with Browser() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _clean_log(logs: Logs, ha: HomeAssistant) -> Iterator[None]:
    """Fail tests during which the integration raised something, whatever they asserted."""
    logs.begin()
    yield
    found = tracebacks(logs.since_begin(ha.process))
    assert not found, "the integration raised:\n" + "\n".join(found)


@pytest.fixture
def make_host(
    tmp_path: Path, ha: HomeAssistant, bus: Bus, broker: Mosquitto, logs: Logs
) -> Iterator[MakeHost]:
    """Return a function that makes hosts; what it made is gone after the test."""
    made: list[Host] = []

    def make(name: str = "office-pc", *, derived_id: bool = False, **settings: Any) -> Host:
        options = ("host", "prefix", "env")
        agent_options = {key: settings.pop(key) for key in options if key in settings}
        agent = Agent(
            tmp_path / f"host-{len(made) + 1}",
            broker,
            settings={"collectors": QUICK, **({"name": name} if name else {}), **settings},
            **agent_options,
        )
        host = Host(ha, bus, agent)
        made.append(host)
        logs.watch(agent.process)
        return host if derived_id else host.new_id()

    yield make
    for host in made:
        if host.agent.process.running:
            host.agent.process.resume()
        host.agent.stop()
    for host in made:
        if host.id:
            forget(host)


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    """Return a host that runs and was added to Home Assistant."""
    return make_host("office-pc", broker={"keepalive": KEEP_ALIVE}).start().add()


def forget(host: Shown) -> None:
    """Remove every trace of a host from Home Assistant and the broker."""
    host.bus.forget_host(host.id)
    host.remove()
