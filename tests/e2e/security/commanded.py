"""A host that Home Assistant commands: pairs it, presses its buttons, counts what it refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from harness.host import Host
from security.victim import Code

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.bus import Bus
    from security.machine import FakeMachine

    from stack.agent import Agent
    from stack.homeassistant import HomeAssistant

LOCK = "session.lock"


class Commanded(Host):
    """A host, its machine, and the Home Assistant that it may be paired with."""

    def __init__(self, ha: HomeAssistant, bus: Bus, agent: Agent, machine: FakeMachine) -> None:
        super().__init__(ha, bus, agent)
        self.machine = machine

    def add_with_code(self) -> Self:
        """Add it as a user does who types the code that it shows."""
        flow = self.wait_until_offered()
        result = self.ha.confirm(flow["flow_id"], {"code": (code := Code.on(self.agent)).digits})
        assert result["type"] == "create_entry", f"adding it came to {result}"
        code.end()
        self.wait_for_status("online")
        self.wait_for_entity(unique_part(LOCK))
        return self

    def announce(self) -> dict[str, Any]:
        """Return its last announce, signed or not."""
        return _body(super().announce())

    def topic_of(self, below: str, key: str) -> str:
        """Return the topic on which Home Assistant asks for a command, or hears its result."""
        return self.topic(f"{below}/{key.replace('.', ':')}")

    def press(self, key: str = LOCK) -> None:
        """Press the button of a command; an error is raised as the user sees it."""
        self.ha.ws(
            "call_service",
            domain="button",
            service="press",
            service_data={"entity_id": self.entity(unique_part(key))["entity_id"]},
        )

    def obeys(self) -> bool:
        """Tell whether a button that is pressed now has the machine do what it says."""
        self.machine.forget()
        self.press(LOCK)
        did = wait_for(self.machine.orders, "the order of Home Assistant")
        self.machine.forget()
        return did == ["LockSession"]

    def refused(self) -> dict[str, int]:
        """Return what Home Assistant's diagnostics say that it refused."""
        path = f"diagnostics/config_entry/{self.entry['entry_id']}"
        refused: dict[str, int] = self.ha.get(path)["data"]["refused"]
        return refused

    def refused_by_host(self) -> dict[str, int]:
        """Return what the host itself has refused, as Home Assistant's diagnostics say."""
        path = f"diagnostics/config_entry/{self.entry['entry_id']}"
        told: dict[str, int] = self.ha.get(path)["data"]["trust"]["refused_by_host"]
        return told

    def wait_until_refused(self, what: str, times: int = 1) -> None:
        """Wait until Home Assistant has counted a refusal."""
        wait_for(lambda: self.refused().get(what, 0) >= times, f"{times} times {what}")

    def reauthentications(self) -> Iterator[dict[str, Any]]:
        """Return the flows in which Home Assistant asks to pair it again."""
        entry_id = self.entry["entry_id"]
        for flow in self.ha.flows():
            context = flow["context"]
            if context["source"] == "reauth" and context.get("entry_id") == entry_id:
                yield flow


def unique_part(key: str) -> str:
    """Return what the entity of a command is known by."""
    return key.replace(".", "_")


def _body(content: dict[str, Any]) -> dict[str, Any]:
    """Take the envelope off, if there is one."""
    if "signatures" in content:
        body: dict[str, Any] = json.loads(content["body"])
        return body
    return content
