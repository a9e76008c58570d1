"""An attacker on the broker pretends towards Home Assistant to be a host that is paired with it.

Every test ends with a button that is pressed, and a machine that does what it says.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from security.attacker import again
from security.commanded import LOCK
from security.controller import Said, wrap
from security.victim import Code

from stack.console import StackError
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.logs import Logs
    from security.attacker import Attacker
    from security.commanded import Commanded
    from security.conftest import MakeCommanded

    from stack.homeassistant import HomeAssistant
    from support.mqtt_client import Message

NO_SIGNATURE = "0" * 64


def test_button_has_the_machine_do_it(commanded: Commanded) -> None:
    """Else all that follows would prove nothing."""
    commanded.press(LOCK)

    assert commanded.machine.orders() == ["LockSession"]


# -- recorded commands -----------------------------------------------------------------------


def recorded(commanded: Commanded, listener: Attacker) -> Said:
    """Return the command that Home Assistant has signed for a press of the button."""
    begin = time.monotonic()
    commanded.press(LOCK)
    said = again(listener.wait_for(commanded.topic_of("command", LOCK), since=begin))
    commanded.machine.forget()
    return said


def test_replay_in_the_same_session(commanded: Commanded, listener: Attacker) -> None:
    said = recorded(commanded, listener)

    for _ in range(20):
        listener.say(said)

    assert commanded.obeys()


def test_replay_after_home_assistant_has_started_again(
    commanded: Commanded, listener: Attacker, ha: HomeAssistant
) -> None:
    said = recorded(commanded, listener)
    ha.restart()
    commanded.wait_for_status("online")

    listener.say(said)

    assert commanded.obeys()


def test_replay_after_the_agent_has_started_again(commanded: Commanded, listener: Attacker) -> None:
    said = recorded(commanded, listener)
    begin = time.monotonic()
    commanded.agent.restart()
    listener.wait_for(
        commanded.topic("availability"), lambda m: b"online" in m.payload, since=begin
    )

    def refused() -> bool:
        listener.say(said)
        results = listener.heard(commanded.topic_of("result", LOCK), begin)
        return any(m.body["reason"] == "wrong_session" for m in results)

    wait_for(refused, "the refusal")
    assert commanded.obeys()


# -- spoofed results -------------------------------------------------------------------------


@contextmanager
def silent(commanded: Commanded) -> Iterator[None]:
    """Keep a host from answering, so that the attacker can do so in its stead."""
    commanded.agent.process.suspend()
    try:
        yield
    finally:
        commanded.agent.process.resume()


def wait_for_late_answer(
    commanded: Commanded, listener: Attacker, said: Message, since: float
) -> None:
    """Wait until a host that was silent has answered what it was asked meanwhile.

    A command that waited for less than 30 s is carried out, after the user was told that it is
    not known whether it would be.
    """
    listener.wait_for(
        commanded.topic_of("result", LOCK),
        lambda message: message.body.get("id") == said.body["id"],
        since=since,
    )


def pretend(said: Message, **fields: Any) -> str:
    """Write the body of a result for a command that was heard."""
    asked = said.body
    content = {
        "id": asked["id"],
        "session": asked["session"],
        "controller": asked["controller"],
        "status": "done",
        "reason": "",
        "detail": "",
        "time": time.time(),
        "dry_run": False,
    }
    return json.dumps(content | fields)


def test_spoofed_results_are_no_success(commanded: Commanded, listener: Attacker) -> None:
    """The user who presses the button learns that the host has not answered."""
    commanded.press(LOCK)
    genuine = listener.newest(commanded.topic_of("result", LOCK))
    [controller] = commanded.announce()["trust"]["controllers"]
    begin = time.monotonic()

    with silent(commanded), ThreadPoolExecutor() as threads:
        pressed = threads.submit(commanded.press, LOCK)
        said = listener.wait_for(commanded.topic_of("command", LOCK), since=begin)
        topic = commanded.topic_of("result", LOCK)
        done = pretend(said)
        listener.say(
            Said(topic, done.encode()),
            Said(topic, wrap(done, {controller: NO_SIGNATURE})),
            Said(topic, wrap(done, {"0123456789abcdef": NO_SIGNATURE})),
            Said(topic, wrap(done, json.loads(genuine.payload)["signatures"])),
            again(genuine),
            # What Home Assistant itself has signed, sent back.
            Said(topic, said.payload),
        )
        with pytest.raises(StackError, match="office-pc"):
            pressed.result()
        silent_until = time.monotonic()

    wait_for_late_answer(commanded, listener, said, silent_until)
    commanded.wait_until_refused("result.unsigned")
    commanded.wait_until_refused("result.bad_signature", 3)
    commanded.wait_until_refused("result.not_signed_for_us")
    commanded.wait_for_status("online")
    assert commanded.obeys()


def test_spoofed_refusals_do_not_unpair(commanded: Commanded, listener: Attacker) -> None:
    """A host that has lost its keys says so without them, and so can any client."""
    begin = time.monotonic()
    with silent(commanded), ThreadPoolExecutor() as threads:
        pressed = threads.submit(commanded.press, LOCK)
        said = listener.wait_for(commanded.topic_of("command", LOCK), since=begin)
        refusal = pretend(said, status="rejected", reason="not_paired")
        listener.say(Said(commanded.topic_of("result", LOCK), refusal.encode()))
        with pytest.raises(StackError, match="whether it was done is not known"):
            pressed.result()
        silent_until = time.monotonic()

    wait_for_late_answer(commanded, listener, said, silent_until)
    commanded.wait_for_status("online")
    assert commanded.obeys()
    wait_for(lambda: not list(commanded.reauthentications()), "the end of the doubt")


def test_spoofed_refusal_before_the_hosts_own_answer(
    commanded: Commanded, listener: Attacker
) -> None:
    """A fast liar is not believed, and does not keep the host from being heard."""
    begin = time.monotonic()
    with ThreadPoolExecutor() as threads:
        commanded.agent.process.suspend()
        pressed = threads.submit(commanded.press, LOCK)
        said = listener.wait_for(commanded.topic_of("command", LOCK), since=begin)
        refusal = pretend(said, status="rejected", reason="not_allowed", detail="no")
        listener.say(Said(commanded.topic_of("result", LOCK), refusal.encode()))
        commanded.wait_until_refused("result.unsigned")
        commanded.agent.process.resume()

        pressed.result()

    assert commanded.machine.orders() == ["LockSession"]


def test_result_of_another_command(commanded: Commanded, listener: Attacker) -> None:
    commanded.press(LOCK)
    genuine = listener.newest(commanded.topic_of("result", LOCK))

    listener.say(Said(commanded.topic("result/power.suspend"), genuine.payload))

    commanded.wait_until_refused("result.bad_signature")
    assert commanded.obeys()


def test_retained_result(commanded: Commanded, listener: Attacker, ha: HomeAssistant) -> None:
    commanded.press(LOCK)
    genuine = listener.newest(commanded.topic_of("result", LOCK))
    listener.say(again(genuine), retain=True)
    try:
        # Home Assistant listens to the results of all hosts from its start to its end.
        ha.restart()

        commanded.wait_until_refused("result.retained")
        commanded.wait_for_status("online")
        assert commanded.obeys()
    finally:
        listener.say(Said(genuine.topic, b""), retain=True)


# -- spoofed announces -----------------------------------------------------------------------


def test_spoofed_announces_change_nothing(
    commanded: Commanded, listener: Attacker, ha: HomeAssistant
) -> None:
    genuine = listener.newest(commanded.topic("announce"))
    [controller] = genuine.body["trust"]["controllers"]
    entities = commanded.entity_ids()
    lie = json.dumps(
        genuine.body
        | {
            "host": genuine.body["host"] | {"name": "mallory", "macs": ["00:00:5e:00:53:66"]},
            "readings": [{"key": "cpu.percent"}],
            "commands": [{"key": "power.reboot"}],
            "sequence": [2**52, 1],
        }
    )
    topic = commanded.topic("announce")

    for _ in range(2):
        listener.say(
            Said(topic, lie.encode()),
            Said(topic, wrap(lie, {controller: NO_SIGNATURE})),
            Said(topic, wrap(lie, {"0123456789abcdef": NO_SIGNATURE})),
            Said(topic, wrap(lie, json.loads(genuine.payload)["signatures"])),
        )

    commanded.wait_until_refused("announce.unsigned", 2)
    commanded.wait_until_refused("announce.bad_signature", 4)
    commanded.wait_until_refused("announce.not_signed_for_us", 2)
    assert commanded.entity_ids() == entities
    assert commanded.device_name == "office-pc"
    assert commanded.obeys()
    wait_for(lambda: not list(commanded.reauthentications()), "the end of the doubt")


def test_old_announce_is_not_believed(commanded: Commanded, listener: Attacker) -> None:
    """What the host could do before its configuration forbade it is no news."""
    old = again(listener.newest(commanded.topic("announce")))
    begin = time.monotonic()
    commanded.agent.configure(commands={"allow": ["session.*"]})
    commanded.agent.restart()
    listener.wait_for(commanded.topic("announce"), since=begin)
    wait_for(lambda: f"{commanded.id}_power" not in commanded.entities(), "the end of the switch")

    listener.say(old, retain=True)

    commanded.wait_until_refused("announce.replayed")
    assert f"{commanded.id}_power" not in commanded.entities()
    assert commanded.obeys()


def test_spoofed_removal_is_no_removal(commanded: Commanded, listener: Attacker) -> None:
    """An empty announce says that a host was removed for good."""
    listener.say(Said(commanded.topic("announce"), b""), retain=True)

    commanded.wait_until_refused("announce.unsigned")
    commanded.wait_for_status("online")
    assert commanded.obeys()


def test_announces_of_another_host_are_not_its_own(
    make_commanded: MakeCommanded, listener: Attacker
) -> None:
    """The same Home Assistant, another key: a host cannot speak for its neighbour."""
    one = make_commanded("office-pc").start().add_with_code()
    other = make_commanded("kitchen-pc").start().add_with_code()
    of_other = listener.newest(other.topic("announce"))

    listener.say(Said(one.topic("announce"), of_other.payload))

    one.wait_until_refused("announce.bad_signature")
    assert one.device_name == "office-pc"
    assert one.obeys()
    assert other.obeys()


# -- spoofed events --------------------------------------------------------------------------


def test_spoofed_events_did_not_happen(commanded: Commanded, listener: Attacker) -> None:
    [controller] = commanded.announce()["trust"]["controllers"]
    topic = commanded.topic("event/session")
    lie = json.dumps(
        {
            "ts": time.time(),
            "session": commanded.announce()["session"],
            "sequence": [2**52, 1],
            "type": "unlocked",
            "data": {"user": "anna"},
        }
    )

    listener.say(
        Said(topic, lie.encode()),
        Said(topic, wrap(lie, {controller: NO_SIGNATURE})),
        Said(topic, wrap(lie, {"0123456789abcdef": NO_SIGNATURE})),
        qos=1,
    )

    for kind in ("unsigned", "bad_signature", "not_signed_for_us"):
        commanded.wait_until_refused(f"event.{kind}")
    shown = [state["state"] for key, state in commanded.states().items() if key == "session_event"]
    assert shown == ["unknown"]
    assert commanded.obeys()


# -- floods ----------------------------------------------------------------------------------


def test_spoofed_good_bye_does_not_disarm_the_power_switch(
    commanded: Commanded, listener: Attacker
) -> None:
    """A host that another client says is off is still switched off by who means it."""
    topic = commanded.topic("availability")
    genuine = listener.newest(topic).payload
    [controller] = commanded.announce()["trust"]["controllers"]
    body = json.loads(genuine)["body"]
    listener.say(
        Said(topic, b"off"),
        Said(topic, wrap(body.replace("online", "off"), {controller: NO_SIGNATURE})),
        Said(topic, wrap(body.replace("online", "off"), json.loads(genuine)["signatures"])),
        retain=True,
    )
    commanded.wait_until_refused("availability.bad_signature", 2)
    commanded.wait_until_refused("availability.unsigned")

    commanded.ha.ws(
        "call_service",
        domain="switch",
        service="turn_off",
        service_data={"entity_id": commanded.wait_for_entity("power")["entity_id"]},
    )

    assert commanded.machine.orders() == ["PowerOff"]
    assert commanded.state("power")["state"] == "on"
    told = wait_for(lambda: commanded.refused_by_host().get("availability.foreign"), "its count")
    assert told >= 1


def test_flood_is_counted_and_logged_once(
    commanded: Commanded, listener: Attacker, ha: HomeAssistant, logs: Logs
) -> None:
    for number in range(2_000):
        listener.say(
            Said(commanded.topic_of("result", LOCK), b"{}"),
            Said(commanded.topic("announce"), b'{"protocol": 2, "session": "%08d"}' % number),
            Said(commanded.topic("event/session"), b"\xff" * 100),
        )

    assert commanded.obeys()
    commanded.wait_until_refused("announce.unsigned", 2_000)
    refused = commanded.refused()
    assert refused["result.unsigned"] == 2_000
    assert sum(count for name, count in refused.items() if name.startswith("event.")) == 2_000
    lines = re.findall(r"Refused a payload on the (\w+) topic", logs.since_begin(ha.process))
    assert sorted(lines) == ["announce", "event", "result"]
    wait_for(lambda: not list(commanded.reauthentications()), "the end of the doubt")


# -- the pairing -----------------------------------------------------------------------------


def test_another_client_answers_the_pairing(
    make_commanded: MakeCommanded, listener: Attacker, ha: HomeAssistant
) -> None:
    """A man in the middle who does not know the code is found out, and gets one try of it."""
    from spake2 import SPAKE2_B  # type: ignore[import-untyped, import-not-found, unused-ignore]

    host = make_commanded().start()
    flow = host.wait_until_offered()
    code = Code.on(host.agent)
    with silent(host), ThreadPoolExecutor() as threads:
        typed = threads.submit(ha.confirm, flow["flow_id"], {"code": code.digits})
        request = wait_for(lambda: _of_pairing(listener, host, "request"), "the request")
        controller = request.topic.split("/")[-2]
        identities = (f"controller:{controller}".encode(), f"host:pilot/v2/{host.id}".encode())
        spake = SPAKE2_B(code.wrong().encode(), idA=identities[0], idB=identities[1])
        answer = {
            "attempt": request.body["attempt"],
            "message": base64.b64encode(spake.start()).decode(),
        }
        base = request.topic.removesuffix("request")

        def confirmed() -> Message | None:
            listener.say(Said(f"{base}answer", json.dumps(answer).encode()))
            return _of_pairing(listener, host, "confirm")

        wait_for(confirmed, "the proof")
        proof = {"attempt": request.body["attempt"], "confirm": "0" * 64}
        listener.say(Said(f"{base}result", json.dumps(proof).encode()))
        step = typed.result()

    assert step["type"] == "form"
    assert step["errors"] == {"base": "not_genuine"}
    assert host.announce()["trust"]["controllers"] == []
    code.cancel()


def _of_pairing(listener: Attacker, host: Commanded, kind: str) -> Message | None:
    said = [
        heard
        for heard in listener.heard()
        if heard.topic.startswith(host.topic("pair/")) and heard.topic.endswith(kind)
    ]
    return said[-1] if said else None
