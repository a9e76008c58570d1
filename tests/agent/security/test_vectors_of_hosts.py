"""The agent against the vectors that the integration is tested against, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from companion_agent.models import Argument, Command
from companion_agent.protocol.backlog import write_chunk
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.pairing import HostPairing
from companion_agent.protocol.signing import derive, fleet_secret
from companion_agent.security.acknowledgements import Acknowledgement, Acknowledgements
from companion_agent.security.audit import AuditLog
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing
from support.agent_commands import FakePower
from support.agent_security import NOW, FakeController, PairedHost
from support.clock import ManualClock

SIGNED = Path(__file__).parents[2] / "contract" / "signed"


def load(name: str) -> Any:
    return json.loads((SIGNED / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("case", load("keys"))
def test_keys(case: dict[str, str]) -> None:
    keys = derive("0" * 16, bytes.fromhex(case["secret"]), case["prefix"], case["host"])
    assert (keys.command.hex(), keys.report.hex()) == (case["command"], case["report"])


def test_fleet_keys() -> None:
    cases = load("fleet_keys")
    for case in cases["accepted"]:
        assert fleet_secret(case["text"]).hex() == case["secret"]
    for case in cases["refused"]:
        with pytest.raises(ValueError, match="openssl"):
            fleet_secret(case["text"])


COMMANDS = load("commands")


@pytest.mark.parametrize("case", COMMANDS["cases"], ids=lambda case: case["name"])
def test_commands(tmp_path: Path, case: dict[str, Any]) -> None:
    secrets = {name: bytes.fromhex(secret) for name, secret in COMMANDS["secrets"].items()}
    world = PairedHost(tmp_path, fleet=secrets["fleet"], session=COMMANDS["session"])
    assert world.home.secret == secrets[world.home.id]
    world.clock.now = COMMANDS["now"]
    limits = COMMANDS["command"]["args"]["delay"]
    delay = Argument("seconds", limits["minimum"], limits["maximum"], 0)
    group = FakePower()
    world.dispatcher.offer({group: [Command(COMMANDS["command"]["key"], {"delay": delay})]})
    world.call("power.first", counter=COMMANDS["last_counter"], time=COMMANDS["now"])
    key = case["topic"].rpartition("/")[2]
    world.send(key, case["payload"].encode(), retained=case.get("retained", False))
    assert world.last["reason"] == case["reason"]
    assert len(group.done) == (not case["reason"])


REPORTS = load("reports")


@pytest.mark.parametrize("case", REPORTS["valid"], ids=lambda case: case["topic"])
def test_reports(case: dict[str, Any]) -> None:
    keys = {
        key_id: derive(key_id, bytes.fromhex(secret), REPORTS["prefix"], REPORTS["host"]).report
        for key_id, secret in REPORTS["secrets"].items()
    }
    assert seal(case["topic"], dump(case["body"]), keys) == case["payload"]


@pytest.mark.parametrize("case", REPORTS["refused"], ids=lambda case: case["name"])
def test_reports_that_a_controller_does_not_believe(case: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        FakeController().read(case["topic"], case["payload"])


BACKLOG = load("backlog")


@pytest.mark.parametrize("case", BACKLOG["valid"], ids=lambda case: case["name"])
def test_backlog(case: dict[str, Any]) -> None:
    keys = {
        key_id: derive(key_id, bytes.fromhex(secret), BACKLOG["prefix"], BACKLOG["host"]).report
        for key_id, secret in BACKLOG["secrets"].items()
    }
    assert seal(BACKLOG["topic"], dump(case["body"]), keys) == case["payload"]


def test_the_agent_writes_the_first_of_them() -> None:
    body = BACKLOG["valid"][0]["body"]
    payload = write_chunk(
        body["chunk"], body["session"], body["time"], body["values"], more=body["more"]
    )
    assert payload.decode() == dump(body)


@pytest.mark.parametrize("case", BACKLOG["not_believed"], ids=lambda case: case["name"])
def test_backlogs_that_a_controller_does_not_believe(case: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        FakeController().read(BACKLOG["topic"], case["payload"])


ACKNOWLEDGEMENTS = load("acknowledgements")


@pytest.mark.parametrize("case", ACKNOWLEDGEMENTS["cases"], ids=lambda case: case["name"])
def test_acknowledgements(tmp_path: Path, case: dict[str, Any]) -> None:
    secrets = {name: bytes.fromhex(text) for name, text in ACKNOWLEDGEMENTS["secrets"].items()}
    world = PairedHost(tmp_path, fleet=secrets["fleet"])
    assert world.home.secret == secrets[world.home.id]
    reader = Acknowledgements(world.ring, world.audit)
    check_acknowledgement(reader, case)
    # Strangers' attempts are recorded.
    assert [line["reason"] for line in world.lines] == ([case["reason"]] if case["reason"] else [])


@pytest.mark.parametrize("case", ACKNOWLEDGEMENTS["unpaired"], ids=lambda case: case["name"])
def test_acknowledgements_of_an_unpaired_host(tmp_path: Path, case: dict[str, Any]) -> None:
    ring = KeyRing(TrustStore(tmp_path), ACKNOWLEDGEMENTS["prefix"], ACKNOWLEDGEMENTS["host"])
    audit = AuditLog(tmp_path / "audit.log", ManualClock(NOW), ManualClock(NOW))
    check_acknowledgement(Acknowledgements(ring, audit), case)


def check_acknowledgement(reader: Acknowledgements, case: dict[str, Any]) -> None:
    retained = case.get("retained", False)
    said = reader.read(ACKNOWLEDGEMENTS["topic"], case["payload"].encode(), retained=retained)
    if case["reason"]:
        assert said is None
        assert reader.refused == {case["reason"]: 1}
    else:
        expected = Acknowledgement(ACKNOWLEDGEMENTS["body"]["chunk"], case.get("key_id", ""))
        assert said == expected
        assert not reader.refused


def test_pairing() -> None:
    case = load("pairing")
    entropy = bytes.fromhex(case["host_entropy"])
    base = f"{case['prefix']}/{case['host']}"
    host = HostPairing(case["code"], base, ManualClock(NOW), lambda size: entropy[:size])
    request, answer, confirm, result = (message["payload"] for message in case["messages"])
    assert dump(host.request(case["controller"], request.encode())) == answer
    said, paired = host.confirm(case["controller"], confirm.encode())
    assert dump(said) == result
    assert paired is not None
    assert (paired.name, paired.secret.hex()) == (case["name"], case["secret"])
