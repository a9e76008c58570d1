"""A host: its agent on one side, and what Home Assistant shows of it on the other."""

from __future__ import annotations

from datetime import UTC, datetime
import json
import shutil
import time
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from harness.bus import PREFIX
from stack.console import StackError
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from harness.bus import Bus
    from stack.agent import Agent
    from stack.homeassistant import HomeAssistant

State: TypeAlias = dict[str, Any]

STATUS = "status"
"""The key of the entity that tells whether the host is there."""
OF_THE_HOST = {STATUS, "connectivity", "paired", "power_event", "problem", "session_event"}
"""The keys of entities that show no reading."""

NO_VALUE = {"unavailable", "unknown"}


def is_of_tests(key: str) -> bool:
    """Tell whether a reading is of a network cable that a test run has made and will remove."""
    return key.startswith("network.plt")


class Shown:
    """What Home Assistant shows of a host, whichever process speaks for it.

    Args:
        ha: The Home Assistant.
        bus: For what the host says.
        host_id: The host's id.
    """

    def __init__(self, ha: HomeAssistant, bus: Bus, host_id: str) -> None:
        self.ha = ha
        self.bus = bus
        self.id = host_id

    # -- what it says ----------------------------------------------------------------

    def topic(self, below: str) -> str:
        """Return one of the host's topics."""
        return f"{PREFIX}/{self.id}/{below}"

    def announce(self) -> dict[str, Any]:
        """Return its last announce."""
        last = [m for m in self.bus.heard(self.topic("announce")) if m.payload]
        assert last, f"{self.id} has not announced itself"
        announce: dict[str, Any] = last[-1].json
        if "signatures" in announce:
            announce = json.loads(announce["body"])
        return announce

    def announced_interval(self, collector: str) -> float:
        """Return how often it says that it reads a collector, in seconds."""
        interval: float = self.announce()["collectors"][collector]["interval"]
        return interval

    def readings(self) -> dict[str, dict[str, Any]]:
        """Return the readings of its last announce by key."""
        return {reading["key"]: reading for reading in self.announce()["readings"]}

    # -- discovery ---------------------------------------------------------------------

    def offered(self) -> dict[str, Any] | None:
        """Return the flow that offers it, if there is one."""
        return next((f for f in self.ha.flows() if f["context"].get("unique_id") == self.id), None)

    def wait_until_offered(self, timeout: float = 60) -> dict[str, Any]:
        """Wait until Home Assistant offers it, and return the flow."""
        return wait_for(
            self.offered, f"discovery of {self.id}", timeout=timeout, process=self.ha.process
        )

    def add(self) -> Self:
        """Add it as a user does who presses *Add* on its card."""
        result = self.ha.confirm(self.wait_until_offered()["flow_id"])
        assert result["type"] == "create_entry", f"adding it came to {result}"
        self.wait_for_status("online")
        return self

    def remove(self) -> None:
        """Take it out of Home Assistant, if it is there."""
        for entry in self.ha.entries():
            if entry["entry_id"] == (self._entry_id() or ""):
                self.ha.remove_entry(entry["entry_id"])

    # -- registries --------------------------------------------------------------------

    @property
    def entry(self) -> dict[str, Any]:
        """Its configuration entry."""
        entry_id = self._entry_id()
        found = [entry for entry in self.ha.entries() if entry["entry_id"] == entry_id]
        assert found, f"{self.id} is not in Home Assistant"
        return found[0]

    @property
    def device(self) -> dict[str, Any]:
        """Its device."""
        found = [
            device for device in self.ha.devices() if ["pilot", self.id] in device["identifiers"]
        ]
        assert len(found) == 1, f"{self.id} is {len(found)} devices"
        return found[0]

    @property
    def device_name(self) -> str:
        """The name that its device is shown under."""
        device = self.device
        return str(device["name_by_user"] or device["name"])

    def entities(self) -> dict[str, dict[str, Any]]:
        """Return its entities by unique id, disabled ones included."""
        return {
            entity["unique_id"]: entity
            for entity in self.ha.ws("config/entity_registry/list")
            if entity["platform"] == "pilot" and entity["unique_id"].startswith(f"{self.id}_")
        }

    def entity_ids(self) -> dict[str, str]:
        """Return its entity ids by unique id."""
        return {unique: entity["entity_id"] for unique, entity in self.entities().items()}

    def entity(self, key: str) -> dict[str, Any]:
        """Return the registry's entity of a reading, or of :data:`STATUS`."""
        entities = self.entities()
        assert f"{self.id}_{key}" in entities, f"no entity for {key}, only for {sorted(entities)}"
        return entities[f"{self.id}_{key}"]

    # -- states --------------------------------------------------------------------------

    def states(self) -> dict[str, State]:
        """Return the states of its enabled entities by key."""
        states = self.ha.states()
        return {
            unique.removeprefix(f"{self.id}_"): states[entity["entity_id"]]
            for unique, entity in self.entities().items()
            if entity["entity_id"] in states
        }

    def state(self, key: str) -> State:
        """Return the state of a reading's entity."""
        states = self.states()
        assert key in states, f"no state for {key}, only for {sorted(states)}"
        return states[key]

    @property
    def status(self) -> tuple[str, datetime]:
        """What Home Assistant says of its being there, and since when."""
        state = self.state(STATUS)
        return state["state"], datetime.fromisoformat(str(state["attributes"]["since"]))

    def enable_all_entities(self) -> None:
        """Enable what is disabled unless the user wants it."""
        with self.ha.websocket() as websocket:
            for entity in self.entities().values():
                if entity["disabled_by"]:
                    websocket.call(
                        "config/entity_registry/update",
                        entity_id=entity["entity_id"],
                        disabled_by=None,
                    )
        self.ha.reload_entry(self.entry["entry_id"])

    def wait_for_status(self, status: str, timeout: float = 20) -> datetime:
        """Wait until its status is this one, and return since when it is."""
        entity_id = self.wait_for_entity(STATUS)["entity_id"]
        state = self.ha.wait_for_state(entity_id, status, timeout=timeout)
        return datetime.fromisoformat(str(state["attributes"]["since"]))

    def wait_for_entity(self, key: str, timeout: float = 20) -> dict[str, Any]:
        """Wait until a reading has an entity, and return that."""
        return wait_for(
            lambda: self.entities().get(f"{self.id}_{key}"),
            f"entity of {key}",
            timeout=timeout,
            process=self.ha.process,
        )

    def wait_for_state(
        self, key: str, condition: str | Callable[[State], bool], timeout: float = 20
    ) -> State:
        """Wait until a reading has an entity whose state is as wanted, and return that state."""
        entity_id = self.wait_for_entity(key, timeout)["entity_id"]
        return self.ha.wait_for_state(entity_id, condition, timeout=timeout)

    def wait_for_fresh_values(self, since: float, timeout: float = 30) -> None:
        """Wait until Home Assistant shows what the host has said after a moment.

        Args:
            since: The moment, by this machine's monotonic clock.
            timeout: In seconds.
        """
        topic = self.topic("state")
        self.bus.wait_for(
            topic, lambda m: "cpu" in m.json["collectors"], since=since, timeout=timeout
        )
        wanted: Mapping[str, Any] = {}
        shown: Mapping[str, Any] = {}

        def matches() -> bool:
            nonlocal wanted, shown
            wanted = self.bus.heard(topic, since)[-1].json["collectors"]["cpu"]["values"]
            shown = {
                key.removeprefix("cpu."): state["state"]
                for key, state in self.states().items()
                if key.startswith("cpu.")
            }
            return bool(shown) and all(_same(wanted.get(key), text) for key, text in shown.items())

        try:
            wait_for(matches, f"fresh values of {self.id}", timeout=timeout)
        except StackError as error:
            raise StackError(f"{error.message}: it said {wanted}, shown is {dict(shown)}") from None

    def wait_until_shown_values_are_gone(self, timeout: float = 30) -> None:
        """Wait until every reading is unavailable, and the status is not."""

        def gone() -> bool:
            states = self.states()
            return states[STATUS]["state"] not in NO_VALUE and all(
                state["state"] == "unavailable" for key, state in states.items() if "." in key
            )

        wait_for(gone, f"unavailable values of {self.id}", timeout=timeout)

    def _entry_id(self) -> str | None:
        for device in self.ha.devices():
            if ["pilot", self.id] in device["identifiers"]:
                return str(device["primary_config_entry"] or device["config_entries"][0])
        return None


class Host(Shown):
    """A computer of the test's own: an agent with its configuration and state folder."""

    def __init__(self, ha: HomeAssistant, bus: Bus, agent: Agent) -> None:
        self.agent = agent
        super().__init__(ha, bus, agent.host_id)

    def start(self) -> Self:
        """Start its agent and wait until it has said who it is."""
        start = time.monotonic()
        self.agent.start()
        wait_for(lambda: self.agent.host_id, "id of the host", process=self.agent.process)
        self.id = self.agent.host_id
        self.bus.wait_for(
            self.topic("announce"),
            lambda message: bool(message.payload),
            since=start,
            process=self.agent.process,
        )
        return self

    def new_id(self) -> Self:
        """Give it an id that no other agent on this machine has."""
        self.id = self.agent.draw_id()
        return self

    def wipe_state(self) -> None:
        """Remove what the agent keeps, as its removal from the machine would."""
        shutil.rmtree(self._state_dir)

    def copy_disk_of(self, other: Host) -> None:
        """Take over what another host's agent keeps, as a cloned disk does."""
        self._state_dir.mkdir(parents=True, exist_ok=True)
        # A running agent's lock and socket end with it; they are on no disk that is cloned.
        for file in other._state_dir.iterdir():
            if file.is_file() and file.name != "lock":
                shutil.copy2(file, self._state_dir)
        self.id = self.agent.host_id

    @property
    def _state_dir(self) -> Path:
        return self.agent.folder / "state"


class FakeHost(Shown):
    """A host without an agent: the test says what it says."""

    def __init__(self, ha: HomeAssistant, bus: Bus, announce: Mapping[str, Any]) -> None:
        super().__init__(ha, bus, announce["host"]["id"])
        self.told = dict(announce)
        self._read: dict[str, Any] = {}

    def say_everything(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Come online, announce itself and publish its values, by collector."""
        self.bus.publish(self.topic("availability"), "online", retain=True)
        self.bus.publish(self.topic("announce"), json.dumps(self.told), retain=True)
        for collector, of_it in values.items():
            self.say_values(collector, of_it)

    def say_values(self, collector: str, values: Mapping[str, Any]) -> None:
        """Publish the values of a collector, read now, with what others read before."""
        ts = datetime.now(UTC).timestamp()
        self._read[collector] = {"ts": ts, "values": values}
        self.bus.publish(self.topic("state"), json.dumps({"collectors": self._read}), retain=True)


def _same(said: Any, shown: str) -> bool:
    if said is None:
        return shown == "unknown"
    try:
        return abs(float(said) - float(shown)) < 1e-6
    except ValueError:
        return str(said) == shown
