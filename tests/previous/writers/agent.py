"""Writes what an agent of the previous version keeps and sends.

Runs as a test of that version, `tests/agent/trust/test_write.py` in its tree, with its code and its
test doubles: see `tests/previous/write`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import shutil
import threading
import time
from typing import TYPE_CHECKING

from companion_agent import identity
from companion_agent.agent import Agent
from companion_agent.collectors.agent import Counters
from companion_agent.config.model import Config
from companion_agent.sensors.tuned import Change, Tuned
from companion_agent.source import Source
from companion_agent.trust import console

from ..bench import HOST, Clock, FakeCollector, FakePlatform, House, wait_until  # noqa: TID252
from .peer import BASE, Controller, PairingController, Power
from .test_agent_trust import CODE, SESSION, Running

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest import MonkeyPatch  # noqa: PT013

    from ..bench import Mosquitto  # noqa: TID252


class Previous(Running):
    """An agent with values that change, and time that passes as fast as is wanted."""

    def __init__(self, folder: Path, house: House, config: Config) -> None:
        self.folder = folder
        self.house = house
        self.home = Controller()
        self.power = Power()
        self.session = SESSION
        self.counts = Counters()
        self.clock = Clock()
        self.cpu = FakeCollector("cpu", percent=12.5)
        self.agent = Agent(
            config,
            FakePlatform(),  # type: ignore[arg-type]
            [Source(self.cpu, 10), Source(FakeCollector("session", locked=True), 10)],
            HOST,
            SESSION,
            self.counts,
            self.clock,
            groups=[self.power],
        )
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()

    def read(self, percent: float) -> None:
        before = self.cpu.reads
        self.cpu.values = {"percent": percent}
        self.clock.ahead += 10
        self.agent._waker.wake()
        wait_until(lambda: self.cpu.reads > before)


def test_write(
    tmp_path: Path,
    house_at: Callable[[Mosquitto], House],
    mosquitto: Mosquitto,
    monkeypatch: MonkeyPatch,
) -> None:
    target = Path(os.environ["PILOT_WRITE_TO"])
    state = tmp_path / "state"
    identity._keep(state / identity.ID_FILE, HOST)
    Tuned(state).add("aht20-1-38", Change({"temperature": -0.5}, 30.0, 4))
    house = house_at(mosquitto)
    agent = Previous(state, house, Config((mosquitto.broker(),), state))
    house.wait_for("availability", b"online")

    # It is paired by a code.
    monkeypatch.setattr(console, "draw_code", lambda: CODE)
    terminal = threading.Thread(target=lambda: console.pair(state, qr=False))
    terminal.start()
    agent.announce(b'"pairing":true')
    pairing = PairingController(CODE)
    house.say(f"{BASE}/pair/{pairing.id}/request", pairing.request())
    answer = json.loads(house.wait_for(f"pair/{pairing.id}/answer"))
    house.say(f"{BASE}/pair/{pairing.id}/confirm", pairing.confirm(answer))
    assert pairing.believes(json.loads(house.wait_for(f"pair/{pairing.id}/result")))
    terminal.join(20)
    agent.home = Controller(secret=pairing.secret, counter=int(time.time() * 1000))
    agent.wait_until_it_listens()
    agent.announce(b"signatures")

    # Now everything that it says is signed.
    agent.availability()
    command = agent.command("power.shutdown", {"delay": 60})
    house.say(f"{BASE}/command/power.shutdown", command)
    agent.result("power.shutdown", json.loads(json.loads(command)["body"])["id"])
    agent.read(13.5)
    house.wait_for("state/cpu", b"13.5")
    messages = [[topic, payload.decode()] for topic, payload in house.heard]

    # The broker goes, and what is read stays.
    house.leave()
    mosquitto.stop()
    wait_until(lambda: not agent.agent._transport.online)
    for percent in (14, 15, 16):
        agent.read(percent)
    agent.clock.ahead += 60
    agent.agent._waker.wake()
    wait_until((state / "backlog.db").exists)
    agent.stop()

    shutil.copytree(state, target / "state", ignore=shutil.ignore_patterns("lock", "*.sock"))
    (target / "agent.json").write_text(
        json.dumps({"recorded": time.time(), "session": SESSION, "messages": messages}, indent=1),
        "utf-8",
    )
