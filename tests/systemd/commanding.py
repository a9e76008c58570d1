"""A paired Home Assistant for hosts: it hears what they say, and has them do things."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
import uuid

from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.signing import derive
from companion_agent.protocol.validation import FLEET
from stack.process import wait_for
from support.mqtt_client import RecordingClient

if TYPE_CHECKING:
    from stack.broker import Mosquitto
    from support.mqtt_client import Message

PREFIX = "pilot/v2"
FLEET_KEY = bytes(range(32))
CONTROLLER = "4f1d2c3b5a697887"


class FakeHomeAssistant(RecordingClient):
    """What a paired Home Assistant hears and says."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__(broker.host, broker.port, f"{PREFIX}/#")

    def said(self, below: str) -> list[Message]:
        """Return what the host said on one of its topics."""
        return [message for message in self.heard() if message.topic.endswith(f"/{below}")]

    def availability(self) -> list[str]:
        return [word(message.payload) for message in self.said("availability")]

    def body(self, below: str) -> dict[str, Any]:
        """Wait for something that the host says, and take off its envelope."""
        return wait_for(lambda: self.said(below), below)[-1].body

    def wait_for_another_session(self, before: str) -> float:
        """Wait for the announce of an agent that is not the one before; return when it was heard.

        The one before says this and that until it ends.
        """

        def others() -> list[Message]:
            return [one for one in self.said("announce") if one.body["session"] != before]

        return wait_for(others, "the announce of another session")[0].at

    def reading(self, key: str, since: float = 0) -> Any:
        """Return what the host said last of a reading that is not signed; `None` for nothing."""
        collector, _, name = key.partition(".")
        states = [message for message in self.said("state") if message.at >= since]
        parts = [message.json["collectors"].get(collector) for message in states]
        told = [part["values"] for part in parts if part]
        return told[-1].get(name) if told else None

    def commands(self) -> dict[str, Any]:
        return {command["key"]: command for command in self.body("announce")["commands"]}

    def all_commands(self) -> list[set[str]]:
        """Return the keys of the commands of each announce that was heard."""
        bodies = [message.body for message in self.said("announce")]
        return [{command["key"] for command in body["commands"]} for body in bodies]

    def command(self, key: str, **args: Any) -> dict[str, Any]:
        """Have the host do something, and return its result."""
        announce = self.body("announce")
        host = announce["host"]["id"]
        topic = f"{PREFIX}/{host}/command/{key}"
        request = {
            "id": uuid.uuid4().hex[:16],
            "controller": CONTROLLER,
            "session": announce["session"],
            "counter": int(time.time() * 1000),
            "time": time.time(),
            "args": args,
        }
        keys = derive(FLEET, FLEET_KEY, PREFIX, host)
        payload = seal(topic, dump(request), {FLEET: keys.command})
        self.publish(topic, payload, qos=0)
        return wait_for(lambda: self._result(key, request["id"]), f"the result of {key}")

    def _result(self, key: str, of: str) -> dict[str, Any] | None:
        bodies = [message.body for message in self.said(f"result/{key}")]
        return next((body for body in bodies if body["id"] == of), None)


def word(payload: bytes) -> str:
    """Return what an availability says, signed or not."""
    text = payload.decode()
    return str(json.loads(json.loads(text)["body"])["availability"]) if text[:1] == "{" else text
