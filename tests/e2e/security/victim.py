"""A host whose agent is attacked: a real process, and a machine that shows what was done to it."""

from __future__ import annotations

from collections import Counter
import json
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from security.controller import PREFIX, FakeController, Said

from stack.agent import PairingCode
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from security.attacker import Attacker
    from security.machine import FakeMachine

    from stack.agent import Agent
    from support.mqtt_client import Message

# How long a code lives is no setting: the ten minutes fit all.
_SHORT_LIVED = """
import sys
from companion_agent.protocol import pairing
pairing.LIFETIME = {lifetime}
from companion_agent.cli import main
sys.exit(main())
"""

LOCK = "session.lock"
SHUTDOWN = "power.shutdown"


class Result(NamedTuple):
    """What became of a command, as the host says."""

    status: str
    reason: str


class Victim:
    """A host, and the Home Assistant that it is rightly paired with.

    Args:
        agent: Its agent; not started yet.
        machine: What the agent can switch off.
        attacker: Listens to everything.
    """

    def __init__(self, agent: Agent, machine: FakeMachine, attacker: Attacker) -> None:
        self.agent = agent
        self.machine = machine
        self.attacker = attacker
        self.state = agent.folder / "state"
        self.id = agent.draw_id()
        self.home = FakeController(self.id)

    def topic(self, below: str) -> str:
        """Return one of the host's topics."""
        return f"{PREFIX}/{self.id}/{below}"

    def start(self) -> None:
        """Start its agent and wait until it offers commands."""
        begin = time.monotonic()
        self.agent.start()
        self.attacker.wait_for(
            self.topic("announce"),
            lambda heard: heard.payload and heard.body.get("commands"),
            since=begin,
        )
        self._wait_until_it_listens()

    def restart(self) -> None:
        """Stop its agent in order, and start it."""
        self.agent.stop()
        self.start()

    @property
    def announce(self) -> dict[str, Any]:
        """Its last announce: what its own Home Assistant believes, if it is paired with one."""
        heard = [m for m in self.attacker.heard(self.topic("announce")) if m.payload]
        genuine = [body for m in heard if (body := self.home.read(m.topic, m.payload))]
        return genuine[-1] if genuine else heard[-1].body

    def says(self, heard: Message) -> str:
        """Return what a message says about being there, as its own Home Assistant believes it."""
        body = self.home.read(heard.topic, heard.payload)
        return str(body["availability"]) if body else ""

    @property
    def session(self) -> str:
        """The session of its agent's last start."""
        return str(self.announce["session"])

    def command(
        self,
        key: str,
        args: Mapping[str, Any] | None = None,
        *,
        by: FakeController | None = None,
        **more: Any,
    ) -> Said:
        """Have the Home Assistant that it trusts sign a command, without publishing it."""
        session = more.pop("session", None) or self.session
        return (by or self.home).command(key, session, args, **more)

    def hears(self, said: Said) -> Result:
        """Publish one message on a command's topic, and return the result that comes of it."""
        begin = time.monotonic()
        self.attacker.say(said)
        key = said.topic.rpartition("/")[2]
        heard = self.attacker.wait_for(self.topic(f"result/{key}"), since=begin)
        return Result(heard.body["status"], heard.body["reason"])

    def obeys(self, key: str = LOCK) -> bool:
        """Tell whether it still does what its own Home Assistant asks of it."""
        return bool(self.ask(key)["status"] == "done")

    def ask(self, key: str) -> dict[str, Any]:
        """Have its own Home Assistant ask something of it, and return the verified result."""
        command = self.command(key)
        wanted = json.loads(json.loads(command.payload)["body"])["id"]
        self.attacker.say(command)
        topic = self.topic(f"result/{key}")
        heard = self.attacker.wait_for(topic, lambda m: m.body["id"] == wanted)
        body = self.home.read(heard.topic, heard.payload)
        assert body is not None, "the result is not signed for the Home Assistant that asked"
        return body

    def did_nothing(self) -> bool:
        """Tell whether its machine was left alone, while its own Home Assistant can command it."""
        assert self.machine.orders() == [], "the attack made the machine do something"
        obeyed = self.obeys()
        did = wait_for(self.machine.orders, "the order of its own Home Assistant")
        self.machine.forget()
        return obeyed and did == ["LockSession"]

    def record(self) -> list[dict[str, Any]]:
        """Return the lines of its audit log."""
        file = self.state / "audit.log"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def refusals(self) -> Counter[str]:
        """Return how often it refused what, as its audit log says."""
        counted: Counter[str] = Counter()
        for line in self.record():
            if line["event"] == "suppressed":
                counted.update(line["reasons"])
            elif line.get("reason"):
                counted[line["reason"]] += 1
        return counted

    def _wait_until_it_listens(self) -> None:
        """Ask for what no host can do, until it says so: it has subscribed to commands."""

        def answers() -> bool:
            self.attacker.say(self.command("test.ping"))
            return bool(self.attacker.heard(self.topic("result/test.ping"), begin))

        begin = time.monotonic()
        wait_for(answers, "an agent that listens", process=self.agent.process)


class Code(PairingCode):
    """A code that may expire soon, and wrong ones."""

    @classmethod
    def on(cls, agent: Agent, lifetime: float | None = None) -> Self:
        """Show one on a host whose agent runs.

        Args:
            agent: The agent.
            lifetime: Seconds until it expires, instead of ten minutes.
        """
        program = agent.process.command[:-3]
        if lifetime is not None:
            python = str(Path(program[-1]).with_name("python"))
            program = [*program[:-1], python, "-c", _SHORT_LIVED.format(lifetime=lifetime)]
        command = [*program, "pair", "--no-qr", "--config", str(agent.config)]
        return cls(command, agent.folder / f"pair-{time.monotonic_ns()}.log")

    def wrong(self, number: int = 1) -> str:
        """Return a code that is another one."""
        return f"{(int(self.digits) + number) % 10**8:08d}"

    def end(self) -> str:
        """Wait until it ends by itself, and return what it said."""
        self.process.wait(20)
        return self.process.output()

    def cancel(self) -> None:
        """Press Ctrl-C, or close the terminal."""
        self.process.stop()
