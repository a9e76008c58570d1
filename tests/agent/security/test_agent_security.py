"""A whole agent at a real broker: paired, commanded, attacked, revoked."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.cli import pair
from companion_agent.config.policy import Policy
from companion_agent.config.settings import Config
from companion_agent.ipc.client import LocalClient
from companion_agent.protocol.envelope import seal
from companion_agent.security.key_store import Controller as Known, TrustStore
from support.agent_security import BASE, FakeController, FakePairingController
from support.event_loop import wait_until
from support.paired_agent import SESSION, PairedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

pytestmark = pytest.mark.proves("agent.refused_messages")

CODE = "01234567"


@pytest.fixture
def start(
    tmp_path: Path, home_assistant: FakeHomeAssistant, mosquitto: Mosquitto
) -> Iterator[Callable[..., PairedAgent]]:
    agents: list[PairedAgent] = []

    def make(*, paired: bool = True, session: str = SESSION, **settings: Any) -> PairedAgent:
        folder = tmp_path / "state"
        if paired:
            home = FakeController()
            TrustStore(folder).save([Known(home.id, home.name, home.secret, 0)])
        config = Config((mosquitto.broker(),), folder, **settings)
        agents.append(PairedAgent(folder, home_assistant, config, session))
        home_assistant.wait_for("availability", b"online")
        home_assistant.wait_for("state/fake")
        agents[-1].wait_until_it_listens()
        return agents[-1]

    yield make
    for agent in agents:
        agent.stop()


def test_pair_command_and_revoke(
    start: Callable[..., PairedAgent],
    home_assistant: FakeHomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = start(paired=False)
    announce = running.announce(b'"pairing":false')
    assert announce["trust"] == {"controllers": [], "pairing": False}
    assert announce["commands"][0] == {
        "key": "power.shutdown",
        "args": {"delay": "seconds"},
        "limits": {"delay": {"minimum": 0, "maximum": 3600}},
    }

    monkeypatch.setattr(pair, "draw_code", lambda: CODE)
    codes: list[int] = []
    terminal = threading.Thread(target=lambda: codes.append(pair.pair(running.folder, qr=False)))
    terminal.start()
    running.announce(b'"pairing":true')
    home = FakePairingController(CODE)
    home_assistant.publish(f"{BASE}/pair/{home.id}/request", home.request())
    answer = json.loads(home_assistant.wait_for(f"pair/{home.id}/answer"))
    home_assistant.publish(f"{BASE}/pair/{home.id}/confirm", home.confirm(answer))
    assert home.believes(json.loads(home_assistant.wait_for(f"pair/{home.id}/result")))
    terminal.join(20)
    assert codes == [0]

    running.home = FakeController(secret=home.secret, counter=int(time.time() * 1000))
    running.wait_until_it_listens()
    assert running.availability()["availability"] == "online"
    announce = running.announce(b"signatures")
    assert announce["trust"] == {"controllers": [home.id], "pairing": False}
    assert running.call("power.shutdown", {"delay": 60})["status"] == "done"
    assert running.power.done == [("power.shutdown", {"delay": 60})]

    home_assistant.forget()
    assert running.call("trust.revoke")["status"] == "done"
    # Bare: there is no key to verify more with.
    assert home_assistant.wait_for("availability") == b"online"
    running.wait_until_it_listens()
    home_assistant.forget()
    home_assistant.publish(f"{BASE}/command/power.lock", running.command("power.lock"))
    assert b"not_paired" in home_assistant.wait_for("result/power.lock")


def test_a_terminal_revokes_while_the_agent_runs(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    assert running.call("power.lock")["status"] == "done"
    assert pair.revoke(running.folder, ["Home"], all_controllers=False) == 0
    running.announce(b'{"controllers":[],"pairing":false}')
    home_assistant.wait_for("availability", b"online", count=2)
    running.wait_until_it_listens()
    home_assistant.forget()
    home_assistant.publish(f"{BASE}/command/power.lock", running.command("power.lock"))
    assert b"not_paired" in home_assistant.wait_for("result/power.lock")


def test_announces_are_numbered_across_starts(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    first = start()
    before = first.announce(b"signatures")["sequence"]
    first.stop()
    home_assistant.forget()
    after = start(session="5e551017cccccccc").announce(b"5e551017cccccccc")["sequence"]
    assert after > before
    assert after[0] > before[0]


def test_a_start_goes_on_above_one_that_a_controller_has_accepted(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    """As when the clock was ahead, and the number of that start was lost with the state."""
    running = start()
    accepted = running.announce(b"signatures")["sequence"][0] + 5 * 365 * 86_400
    home_assistant.forget()
    assert running.call("trust.verify", {"above": accepted})["status"] == "done"
    # The will as well: it is written with a new connection.
    home_assistant.wait_for("availability", str(accepted + 1).encode())
    assert running.announce(b"signatures")["sequence"][0] == accepted + 1
    told = json.loads(json.loads(home_assistant.wait_for("state/session"))["body"])
    assert told["sequence"][0] == accepted + 1

    running.stop()
    home_assistant.forget()
    after = start(session="5e551017cccccccc").announce(b"5e551017cccccccc")["sequence"][0]
    assert after == accepted + 2


def test_a_retained_command_does_not_run_at_a_start(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    home = FakeController(counter=int(time.time() * 1000))
    recorded = home.command("power.shutdown", time=time.time(), session=SESSION)
    home_assistant.publish(f"{BASE}/command/power.shutdown", recorded, retain=True)
    running = start()
    assert b"retained" in home_assistant.wait_for("result/power.shutdown")
    assert running.power.done == []


def test_repeats_are_answered_alike(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    payload = running.command("power.lock")
    for count in range(1, 4):
        home_assistant.publish(f"{BASE}/command/power.lock", payload)
        home_assistant.wait_for("result/power.lock", count=count)
    assert (
        len({home_assistant.wait_for("result/power.lock", count=count) for count in (1, 2, 3)}) == 1
    )
    assert len(running.power.done) == 1


def test_a_spoofed_announce_cannot_send_a_paired_host_away(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    announce = running.announce(b"signatures")
    forged = announce | {
        "session": "ffffffffffffffff",
        "conflict": {"session": running.session, "name": "mallory"},
    }
    home_assistant.forget()
    home_assistant.publish(f"{BASE}/announce", json.dumps(forged), retain=True)
    # It says again what is true, and is still there.
    assert running.announce(b"signatures")["session"] == running.session
    assert running.call("power.lock")["status"] == "done"


def test_a_clone_with_the_keys_is_believed(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    announce = running.announce(b"signatures")
    clone = announce | {
        "session": "ffffffffffffffff",
        "conflict": {"session": running.session, "name": "clone"},
    }
    body = json.dumps(clone)
    signed = seal(f"{BASE}/announce", body, {running.home.id: running.home.keys.report})
    home_assistant.forget()
    home_assistant.publish(f"{BASE}/announce", signed)
    wait_until(lambda: not running.agent._publisher.arrived)


def test_the_policy_of_the_configuration_holds(start: Callable[..., PairedAgent]) -> None:
    running = start(commands=Policy(deny=["*.shutdown"], dry_run=True))
    assert [c["key"] for c in running.announce(b"signatures")["commands"]] == [
        "power.lock",
        "power.suspend",
        "power.reboot",
    ]
    assert running.call("power.shutdown")["reason"] == "not_allowed"
    assert running.call("power.lock")["dry_run"] is True
    assert running.power.done == []


def test_a_permission_that_is_given_later_is_noticed(start: Callable[..., PairedAgent]) -> None:
    running = start()
    assert running.call("power.reboot")["reason"] == "not_permitted"
    running.power.missing = None
    # The first refusal may have had the system asked before that or after it.
    wait_until(lambda: running.call("power.reboot")["status"] == "done")
    assert running.power.done == [("power.reboot", {})]


# --- What is signed --------------------------------------------------------------------------


def test_the_will_is_signed_and_the_newest_word_of_its_connection(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant, mosquitto: Mosquitto
) -> None:
    running = start()
    online = running.availability()
    # As when the network is cut: nothing is said.
    transport = running.agent._transport
    running.thread.loop.call_soon_threadsafe(transport.restart, "the network was cut")
    lost = running.availability(b"lost")
    assert lost["sequence"] > online["sequence"]
    assert running.availability(count=2)["sequence"] > lost["sequence"]


def test_a_forged_word_is_contradicted_and_counted(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    said = home_assistant.wait_for("availability", b"signatures")
    home_assistant.forget()
    home_assistant.publish(f"{BASE}/availability", b"off", retain=True)
    assert home_assistant.wait_for("availability", b"signatures") == said
    assert running.call("trust.verify")["refused"] == {"availability.foreign": 1}


def test_the_lock_is_signed_and_numbered(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    told = [
        running.home.read(
            f"{BASE}/state/session", home_assistant.wait_for("state/session", count=count).decode()
        )
        for count in (1, 2)
    ]
    assert told[0]["values"] == {"locked": True}
    assert told[0]["sequence"] < told[1]["sequence"]
    # The others are not: that would cost more than it is worth.
    assert b"signatures" not in home_assistant.wait_for("state/fake")


def test_what_was_refused_is_told_to_who_is_paired_and_in_the_terminal(
    start: Callable[..., PairedAgent], home_assistant: FakeHomeAssistant
) -> None:
    running = start()
    home_assistant.publish(f"{BASE}/command/power.lock", b"nonsense")
    home_assistant.wait_for("result/power.lock")
    home_assistant.publish(f"{BASE}/pair/{'1' * 16}/request", FakePairingController(CODE).request())
    home_assistant.wait_for(f"pair/{'1' * 16}/answer")
    home_assistant.publish(f"{BASE}/acknowledge", b"nonsense")
    counted = {"acknowledge.malformed": 1, "command.malformed": 1, "pairing.no_code": 1}
    assert running.call("trust.verify")["refused"] == counted
    client = LocalClient(running.folder)
    assert client.ask({"ask": "refused"}) == {"refused": counted}
    client.close()
    assert running.counts.refused_messages == 3
