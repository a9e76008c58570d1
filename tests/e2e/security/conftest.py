"""A broker whose administrator's login the attacker has, and hosts that it attacks.

Tests that need no Home Assistant use `victim`; the others `commanded`, a host that is in it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from harness.logs import tracebacks
from harness.settings import QUICK, WITHOUT_PACKAGE_MANAGERS
import pytest
from security.attacker import Attacker
from security.commanded import Commanded
from security.machine import FakeMachine
from security.victim import Victim

from stack.agent import Agent
from stack.broker import Mosquitto
from support.dbusmock import why_not

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.bus import Bus
    from harness.logs import Logs
    from playwright.sync_api import Page

    from stack.browser import Browser
    from stack.homeassistant import HomeAssistant


class MakeVictim(Protocol):
    """Makes a host that trusts one Home Assistant, and starts it."""

    def __call__(self, *, paired: bool = ..., start: bool = ..., **settings: Any) -> Victim:
        """Make it."""


class MakeCommanded(Protocol):
    """Makes a host that Home Assistant can command once it is paired."""

    def __call__(
        self,
        name: str = ...,
        env: Mapping[str, str] | None = ...,
        command: Sequence[str] | None = ...,
        **settings: Any,
    ) -> Commanded:
        """Make it; it is not started yet. ``command`` starts another agent than this one."""


@pytest.fixture(autouse=True)
def _clean_log(request: pytest.FixtureRequest, logs: Logs) -> Iterator[None]:
    """Look through the log of Home Assistant, in tests that have one."""
    if "ha" not in request.fixturenames:
        yield
        return
    ha: HomeAssistant = request.getfixturevalue("ha")
    logs.begin()
    yield
    found = tracebacks(logs.since_begin(ha.process))
    assert not found, "the integration raised:\n" + "\n".join(found)


@pytest.fixture(scope="module")
def admin_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Return a broker that asks every client for a login."""
    folder = tmp_path_factory.mktemp("broker")
    with Mosquitto(folder, username="admin", password="admin's password") as broker:
        yield broker


@pytest.fixture(scope="module")
def attacker(admin_broker: Mosquitto) -> Iterator[Attacker]:
    """Return a client with the login of the broker's administrator."""
    with Attacker(admin_broker) as attacker:
        yield attacker


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeMachine]:
    """Return a machine that can be switched off, where it can be played."""
    if reason := why_not():
        pytest.skip(reason)
    with FakeMachine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture
def machine(furnished: FakeMachine) -> FakeMachine:
    """Return a machine that nothing was done to yet."""
    furnished.forget()
    furnished.lock(False)
    return furnished


@pytest.fixture
def make_victim(
    tmp_path: Path, admin_broker: Mosquitto, attacker: Attacker, machine: FakeMachine
) -> Iterator[MakeVictim]:
    """Return a function that makes hosts; they are gone after the test."""
    made: list[Victim] = []

    def make(*, paired: bool = True, start: bool = True, **settings: Any) -> Victim:
        agent = Agent(
            tmp_path / f"host-{len(made) + 1}",
            admin_broker,
            settings={"collectors": WITHOUT_PACKAGE_MANAGERS, "name": "office-pc", **settings},
            env=machine.env,
        )
        victim = Victim(agent, machine, attacker)
        made.append(victim)
        if paired:
            victim.home.pair_long_ago(victim.state)
        if start:
            victim.start()
        return victim

    yield make
    for victim in made:
        victim.agent.stop()


@pytest.fixture
def victim(make_victim: MakeVictim) -> Victim:
    """Return a host that trusts one Home Assistant, and runs."""
    return make_victim()


@pytest.fixture
def make_commanded(
    tmp_path: Path, ha: HomeAssistant, broker: Mosquitto, logs: Logs, machine: FakeMachine,
    bus: Bus, listener: Attacker,
) -> Iterator[MakeCommanded]:  # fmt: skip
    """Return a function that makes hosts for Home Assistant; they are gone after the test.

    The attacker listens from the first word on.
    """
    made: list[Commanded] = []

    def make(
        name: str = "office-pc",
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        **settings: Any,
    ) -> Commanded:
        agent = Agent(
            tmp_path / f"host-{len(made) + 1}",
            broker,
            settings={"collectors": QUICK, "name": name, **settings},
            env={**machine.env, **(env or {})},
            command=command,
        )
        host = Commanded(ha, bus, agent, machine)
        made.append(host)
        logs.watch(agent.process)
        host.new_id()
        return host

    yield make
    for host in made:
        if host.agent.process.running:
            host.agent.process.resume()
        # While its agent runs, so that Home Assistant can part from it.
        host.remove()
        host.agent.stop()
        host.bus.forget_host(host.id)


@pytest.fixture
def commanded(make_commanded: MakeCommanded) -> Commanded:
    """Return a host that was added to Home Assistant with the code that it showed."""
    return make_commanded().start().add_with_code()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Attacker]:
    """Return an attacker on the broker of Home Assistant, where every client is administrator."""
    with Attacker(broker) as attacker:
        yield attacker


class OpenPage(Protocol):
    """Opens a page of the front end."""

    def __call__(self, path: str, *, height: int = ...) -> AbstractContextManager[Page]:
        """Open it; when what follows fails, a picture of it is taken."""


@pytest.fixture
def open_page(
    browser: Browser, ha: HomeAssistant, artifacts: Path, request: pytest.FixtureRequest
) -> OpenPage:
    """Return a function that opens a page of the front end."""
    from stack.browser import screenshot

    @contextmanager
    def open_page(path: str, *, height: int = 900) -> Iterator[Page]:
        with browser.page(ha, path, height=height) as page:
            page.set_default_timeout(20_000)
            try:
                yield page
            except BaseException:
                screenshot(page, artifacts / f"failed-{request.node.name}.png")
                raise

    return open_page
