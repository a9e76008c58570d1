"""What the host does with commands: one result each, one reason for each refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.config.policy import Policy
from companion_agent.errors import CommandError
from companion_agent.models import Argument, Command, DataArgument, Output, TextArgument
from companion_agent.protocol.announce import command_fields
from companion_agent.protocol.envelope import verified
from companion_agent.protocol.messages import REASONS, parse_result
from companion_agent.protocol.topics import Separator
from companion_agent.protocol.validation import MAX_PICTURE, MAX_RESULT
from companion_agent.security import authorizer
from companion_agent.security.authorizer import check_arguments
from support.agent_security import BASE, NOW, FakeController, PairedHost

if TYPE_CHECKING:
    from pathlib import Path


def test_a_paired_controller_commands_the_host(world: PairedHost) -> None:
    result = world.call("power.shutdown", {"delay": 60})
    assert world.power.done == [("power.shutdown", {"delay": 60})]
    assert (result["status"], result["reason"], result["detail"]) == ("done", "", "")
    assert world.published[-1][0] == f"{BASE}/result/power.shutdown"


@pytest.mark.parametrize("separator", Separator)
def test_a_result_goes_on_the_form_of_the_topic_that_was_asked_on(
    world: PairedHost, separator: Separator
) -> None:
    asked = world.home.command("power.lock", separator=separator)
    world.send(f"power{separator}lock", asked)

    topic, _ = world.published[-1]
    assert topic == f"{BASE}/result/power{separator}lock"
    assert (world.last["status"], world.power.done) == ("done", [("power.lock", {})])


@pytest.mark.parametrize("separator", Separator)
def test_a_refusal_goes_on_the_form_of_the_topic_that_was_asked_on(
    world: PairedHost, separator: Separator
) -> None:
    recorded = world.home.command("power.lock", counter=5, separator=separator)
    for key_id in (world.home.key_id, "0" * 16):
        impostor = FakeController(key_id=key_id, secret=bytes(32))
        world.send(f"power{separator}lock", impostor.command("power.lock", separator=separator))
    world.call("power.first")
    world.send(f"power{separator}lock", recorded)

    topics = {topic for topic, _ in world.published if "first" not in topic}
    assert topics == {f"{BASE}/result/power{separator}lock"}
    assert world.last["reason"] == "replayed"


def test_a_result_names_request_session_controller_and_time(world: PairedHost) -> None:
    result = world.call("power.lock", id="5f1c0a9be3d24c99")
    assert result["id"] == "5f1c0a9be3d24c99"
    assert result["session"] == world.session
    assert result["controller"] == world.home.id
    assert result["time"] == NOW
    assert result["dry_run"] is False


def test_arguments_that_are_left_out_have_their_defaults(world: PairedHost) -> None:
    world.call("power.shutdown")
    assert world.power.done == [("power.shutdown", {"delay": 0})]


def test_a_command_that_fails_says_why(world: PairedHost) -> None:
    world.power.error = CommandError("failed", "logind did not answer")
    result = world.call("power.shutdown")
    assert (result["status"], result["reason"]) == ("failed", "failed")
    assert result["detail"] == "logind did not answer"


def test_a_command_that_the_system_refuses_is_rejected(world: PairedHost) -> None:
    world.power.error = CommandError("not_permitted", "install the polkit rule")
    result = world.call("power.shutdown")
    assert (result["status"], result["reason"]) == ("rejected", "not_permitted")


def test_an_unexpected_error_is_a_failure_and_logged(
    world: PairedHost, caplog: pytest.LogCaptureFixture
) -> None:
    world.power.error = RuntimeError("what now")
    result = world.call("power.shutdown")
    assert (result["status"], result["reason"]) == ("failed", "failed")
    assert "RuntimeError: what now" in result["detail"]
    assert "power.shutdown" in caplog.text


def test_a_fleet_key_commands_too(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, fleet=bytes(range(100, 132)))
    fleet = FakeController(id="ffffffffffffffff", secret=bytes(range(100, 132)), key_id="fleet")
    world.send("power.lock", fleet.command("power.lock"))
    assert fleet.read(*world.published[-1])["status"] == "done"
    assert world.lines[-1]["key_id"] == "fleet"
    assert world.lines[-1]["controller"] == "ffffffffffffffff"


def test_a_command_that_nothing_proves_is_done_and_recorded(world: PairedHost) -> None:
    world.dispatcher.unsigned("power.shutdown", {}, "v1")
    world.work()

    assert world.power.done == [("power.shutdown", {"delay": 0})]
    assert (world.lines[-1]["key"], world.lines[-1]["key_id"]) == ("power.shutdown", "v1")
    assert world.lines[-1]["status"] == "done"


@pytest.mark.parametrize(
    ("key", "args", "reason"),
    [
        ("trust.revoke", {}, "not_allowed"),
        ("config.set", {"revision": "x"}, "not_allowed"),
        ("agent.update", {}, "not_allowed"),
        ("power.explode", {}, "unknown_command"),
        ("power.shutdown", {"value": 1}, "bad_arguments"),
    ],
)
def test_a_command_that_nothing_proves_is_checked_like_any_other(
    world: PairedHost, key: str, args: dict[str, Any], reason: str
) -> None:
    world.dispatcher.unsigned(key, args, "unsigned")

    assert world.power.done == []
    assert world.lines[-1]["reason"] == reason
    assert world.home.key_id in world.ring.ids


def test_commands_that_nothing_proves_come_in_small_numbers(world: PairedHost) -> None:
    for _ in range(12):
        world.dispatcher.unsigned("power.lock", {}, "unsigned")

    assert world.dispatcher.refused["flood"] == 2


def test_what_can_be_pressed_needs_no_argument_and_no_signature(world: PairedHost) -> None:
    assert {"power.shutdown", "power.lock"} <= world.dispatcher.pressable
    assert not any(key.startswith(("agent.", "config.")) for key in world.dispatcher.pressable)


# --- Refusals, in their order ----------------------------------------------------------------


def refused(world: PairedHost, reason: str) -> None:
    """The last message was rejected for a reason, which is recorded, and nothing was done."""
    assert (world.last["status"], world.last["reason"]) == ("rejected", reason)
    assert world.power.done == []
    assert world.lines[-1]["reason"] == reason
    assert world.dispatcher.refused == {reason: 1}


def test_retained(world: PairedHost) -> None:
    world.send("power.shutdown", world.home.command("power.shutdown"), retained=True)
    refused(world, "retained")


@pytest.mark.parametrize("payload", [b"", b"{}", b"power off", b"[1]", b"\xff"])
def test_malformed(world: PairedHost, payload: bytes) -> None:
    world.send("power.shutdown", payload)
    refused(world, "malformed")
    assert world.last["id"] == ""


def test_not_paired(world: PairedHost) -> None:
    stranger = FakeController(id="0123456789abcdef", secret=bytes(32))
    world.send("power.shutdown", stranger.command("power.shutdown", id="aaaaaaaaaaaaaaaa"))
    refused(world, "not_paired")
    assert world.last["id"] == "aaaaaaaaaaaaaaaa"


def test_bad_signature(world: PairedHost) -> None:
    impostor = FakeController(secret=bytes(32))
    world.send("power.shutdown", impostor.command("power.shutdown"))
    refused(world, "bad_signature")


def test_wrong_session(world: PairedHost) -> None:
    world.call("power.shutdown", session="0000000000000000")
    refused(world, "wrong_session")


def test_replayed(world: PairedHost) -> None:
    world.call("trust.nothing", counter=100)
    world.dispatcher.refused.clear()
    world.call("power.shutdown", counter=100)
    refused(world, "replayed")
    assert world.last["counter"] == 100


@pytest.mark.parametrize(("off", "words"), [(-31, "31 s behind"), (7200, "7200 s ahead of")])
def test_too_old(world: PairedHost, off: float, words: str) -> None:
    result = world.call("power.shutdown", time=NOW + off)
    refused(world, "too_old")
    assert words in result["detail"]
    assert result["time"] == NOW


@pytest.mark.parametrize("off", [-30, 30])
def test_a_clock_may_be_off_by_half_a_minute(world: PairedHost, off: float) -> None:
    assert world.call("power.shutdown", time=NOW + off)["status"] == "done"


def test_unknown_command(world: PairedHost) -> None:
    world.call("power.explode")
    refused(world, "unknown_command")


def test_not_allowed(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, Policy(deny=["*.shutdown"]))
    world.call("power.shutdown")
    refused(world, "not_allowed")


@pytest.mark.parametrize(
    "args", [{"delay": -1}, {"delay": 3601}, {"delay": "60"}, {"delay": True}, {"force": 1}]
)
def test_bad_arguments(world: PairedHost, args: dict[str, Any]) -> None:
    world.call("power.shutdown", args)
    refused(world, "bad_arguments")


def test_cooling_down(world: PairedHost) -> None:
    world.call("power.suspend")
    world.power.done.clear()
    world.clock.now += 29.5
    result = world.call("power.suspend", time=world.clock.now)
    refused(world, "cooling_down")
    assert result["detail"] == "possible again in 1 s"
    world.clock.now += 0.5
    assert world.call("power.suspend", time=world.clock.now)["status"] == "done"


def test_so_many_in_a_minute(world: PairedHost) -> None:
    world.dispatcher.offer({world.power: [Command("power.suspend", per_minute=2)]})
    results = [world.call("power.suspend") for _ in range(3)]
    assert [result["reason"] for result in results] == ["", "", "cooling_down"]
    assert results[-1]["detail"] == "power.suspend is accepted 2 times a minute"
    world.clock.now += 30
    assert world.call("power.suspend", time=world.clock.now)["status"] == "done"


def test_a_file_has_room_where_a_command_takes_one(world: PairedHost) -> None:
    commands = [
        Command("power.suspend", {"image": DataArgument(longest=30_000)}),
        Command("power.lock", {}),
    ]
    world.dispatcher.offer({world.power: commands})
    image = "A" * 40_000
    assert world.call("power.suspend", {"image": image})["status"] == "done"
    assert world.lines[-1]["args"] == {"image": "<base64, 40000>"}
    assert world.call("power.suspend", {"image": image + "AAAA"})["reason"] == "bad_arguments"
    assert world.call("power.lock", {"image": image})["reason"] == "malformed"


def test_not_permitted(world: PairedHost) -> None:
    result = world.call("power.reboot")
    refused(world, "not_permitted")
    assert result["detail"] == "install the polkit rule"
    # The rule may have been installed meanwhile.
    assert world.reprobed == 1


def test_the_first_check_that_fails_is_the_reason(tmp_path: Path) -> None:
    """Start with a message that breaks every rule, and mend them one after the other."""
    world = PairedHost(tmp_path, Policy(deny=["power.shutdown", "power.explode"]))
    world.call("power.suspend", counter=500)
    home, stranger = world.home, FakeController(id="0123456789abcdef", secret=bytes(32))
    wrong = {"session": "0000000000000000", "counter": 400, "time": 0}
    steps: list[tuple[str, str, bytes, bool]] = [
        ("retained", "power.shutdown", b"", True),
        ("malformed", "power.shutdown", b"", False),
        ("not_paired", "power.shutdown", stranger.command("power.lock", **wrong), False),
        ("bad_signature", "power.shutdown", home.command("power.lock", **wrong), False),
    ]
    for fields in (
        wrong,
        {"counter": 400, "time": 0},
        {"counter": 501, "time": 0},
    ):
        payload = home.command("power.explode", {"when": "now"}, **fields)
        reason = ("wrong_session", "replayed", "too_old")[len(steps) - 4]
        steps.append((reason, "power.explode", payload, False))
    after = [
        ("unknown_command", "power.explode", {"when": "now"}),
        ("not_allowed", "power.shutdown", {"when": "now"}),
        ("bad_arguments", "power.suspend", {"when": "now"}),
        ("cooling_down", "power.suspend", {}),
        ("not_permitted", "power.reboot", {}),
    ]
    steps += [(reason, key, home.command(key, args), False) for reason, key, args in after]
    # The last one is said by a command itself.
    assert tuple(reason for reason, *_ in steps) == REASONS[:-1]
    assert REASONS[-1] == "stale"
    for reason, key, payload, retained in steps:
        world.clock.now += 1  # so that no limit on strangers' results is reached
        world.send(key, payload, retained=retained)
        assert world.last["reason"] == reason


def test_dry_run_does_everything_but_the_last_step(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, Policy(dry_run=True))
    result = world.call("power.shutdown", {"delay": 60})
    assert (result["status"], result["dry_run"]) == ("done", True)
    assert world.power.done == []
    assert world.lines[-1]["dry_run"] is True
    assert world.call("power.shutdown", {"delay": -1})["reason"] == "bad_arguments"
    assert world.call("power.suspend")["status"] == "done"
    assert world.call("power.suspend")["reason"] == "cooling_down"


def test_dry_run_holds_back_nothing_that_only_reads(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, Policy(dry_run=True))
    world.dispatcher.offer({world.power: [Command("power.look", reads=True)]})

    result = world.call("power.look")

    assert (result["status"], result["dry_run"]) == ("done", False)
    assert world.power.done == [("power.look", {})]
    assert world.lines[-1]["dry_run"] is False


# --- Repeats ---------------------------------------------------------------------------------


def test_a_repeat_gets_the_same_result_and_nothing_is_done_twice(world: PairedHost) -> None:
    payload = world.home.command("power.shutdown")
    for _ in range(5):
        world.send("power.shutdown", payload)
        world.clock.now += 1
    assert len(world.power.done) == 1
    assert len(world.published) == 5
    assert len(set(world.published)) == 1
    assert len(world.lines) == 1


def test_a_repeat_while_the_first_still_runs_waits_for_it(world: PairedHost) -> None:
    payload = world.home.command("power.shutdown")
    for _ in range(2):
        world.dispatcher.received(f"{BASE}/command/power.shutdown", payload, retained=False)
    assert (len(world.jobs), world.published) == (1, [])
    world.work()
    assert len(world.power.done) == len(world.published) == 1


def test_a_picture_is_handed_over_once_and_not_kept(world: PairedHost) -> None:
    payload = world.home.command("power.shutdown")
    topic = f"{BASE}/command/power.shutdown"
    picture = b"GIF89a" + bytes(MAX_PICTURE - 6)
    world.dispatcher.received(topic, payload, retained=False)

    world.dispatcher.finished(world.jobs[0], None, Output(data=picture))
    world.dispatcher.received(topic, payload, retained=False)

    [(answer, sealed)] = world.published
    assert len(sealed) <= MAX_RESULT
    body = verified(world.home.keys, answer, sealed.encode(), MAX_RESULT)
    assert parse_result(body).data == picture


def test_a_repeat_of_a_refused_request_is_refused_alike(world: PairedHost) -> None:
    payload = world.home.command("power.shutdown", time=NOW - 60)
    world.send("power.shutdown", payload)
    world.send("power.shutdown", payload)
    assert [world.home.read(*result)["reason"] for result in world.published] == ["too_old"] * 2
    assert len(world.lines) == 1


def test_an_answer_that_was_forgotten_is_not_given_by_acting_again(world: PairedHost) -> None:
    payload = world.home.command("power.shutdown")
    world.send("power.shutdown", payload)
    for _ in range(300):
        world.call("power.explode")
    world.send("power.shutdown", payload)
    assert world.last["reason"] == "replayed"
    assert len(world.power.done) == 1


# --- Revoking --------------------------------------------------------------------------------


def test_a_controller_revokes_its_own_key(world: PairedHost) -> None:
    result = world.call("trust.revoke")
    assert result["status"] == "done"
    assert (world.ring.ids, world.reannounced) == ([], 1)
    assert world.lines[-1]["key"] == "trust.revoke"
    assert world.lines[-1]["name"] == "Home"
    world.send("power.shutdown", world.home.command("power.shutdown"))
    topic, payload = world.published[-1]
    assert json.loads(payload)["reason"] == "not_paired"  # no key is left to sign it with
    assert topic == f"{BASE}/result/power.shutdown"


def test_revoking_needs_no_permission_and_leaves_others_alone(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, Policy(allow=[], dry_run=True))
    world.ring.add("0123456789abcdef", "Summer house", bytes(range(32)))
    assert world.call("trust.revoke")["status"] == "done"
    assert world.ring.ids == ["0123456789abcdef"]


def test_a_fleet_key_cannot_be_revoked_by_message(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, fleet=bytes(range(100, 132)))
    fleet = FakeController(secret=bytes(range(100, 132)), key_id="fleet")
    world.send("trust.revoke", fleet.command("trust.revoke"))
    assert world.last["reason"] == "not_allowed"
    assert world.ring.ids == [world.home.id, "fleet"]


def test_revoking_fails_aloud_when_the_keys_cannot_be_written(
    world: PairedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.security.key_store.write_private", _disk_full)
    result = world.call("trust.revoke")
    assert (result["status"], result["reason"]) == ("failed", "failed")
    assert "No space left" in result["detail"]
    assert world.ring.ids == [world.home.id]


def _disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


# --- What is allowed, what is announced ------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (Policy(), {"power.shutdown", "power.lock", "screen.set"}),
        (Policy(allow=["power.*"]), {"power.shutdown", "power.lock"}),
        (Policy(deny=["power.*"]), {"screen.set"}),
        (Policy(allow=["power.*"], deny=["*.shutdown"]), {"power.lock"}),
        (Policy(allow=["power.lock", "screen.?et"]), {"power.lock", "screen.set"}),
        (Policy(allow=["POWER.*"]), set()),
        (Policy(allow=[]), set()),
    ],
)
def test_policy(policy: Policy, allowed: set[str]) -> None:
    keys = {"power.shutdown", "power.lock", "screen.set"}
    assert {key for key in keys if policy.allows(key)} == allowed


def test_the_first_cooldown_that_matches_counts(world: PairedHost) -> None:
    command = world.power.commands()[2]
    assert Policy().cooldown_of(command) == 30
    assert Policy(cooldown={"*.suspend": 5, "power.*": 60}).cooldown_of(command) == 5
    assert Policy(cooldown={"power.*": 0, "power.suspend": 5}).cooldown_of(command) == 0


def test_the_announce_lists_what_may_be_called(tmp_path: Path) -> None:
    world = PairedHost(tmp_path, Policy(deny=["*.lock"]))
    announced = [command_fields(one) for one in world.dispatcher.announced().values()]
    assert announced == [
        {
            "key": "power.shutdown",
            "args": {"delay": "seconds"},
            "limits": {"delay": {"minimum": 0, "maximum": 3600}},
        },
        {"key": "power.suspend"},
        {"key": "power.reboot", "missing": {"reason": "polkit", "fix": "install the polkit rule"}},
    ]


def test_more_commands_than_a_reader_takes_are_not_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = PairedHost(tmp_path, Policy(deny=["power.denied*"]))
    many = [Command(f"power.n{number}") for number in range(203)]
    world.dispatcher.offer({world.power: [*many, Command("power.denied")]})

    assert list(world.dispatcher.announced()) == [command.key for command in many[:200]]
    assert caplog.messages == ["3 commands are not announced: they are too many"]


def test_a_plug_in_offers_no_command_of_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = PairedHost(tmp_path)

    world.dispatcher.offer({world.power: [Command("power.suspend"), Command("session.lock")]})

    assert list(world.dispatcher.announced()) == ["power.suspend"]
    assert "session.lock" in caplog.text


@given(
    st.dictionaries(
        st.sampled_from(["delay", "level", "force"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
    )
)
def test_arguments_are_in_range_or_refused(given_args: dict[str, Any]) -> None:
    expected = {"delay": Argument("seconds", 0, 60, 0), "level": Argument("%", 0, 100, 50)}
    try:
        checked = check_arguments(expected, given_args)
    except CommandError as refusal:
        reason = refusal.reason
    else:
        reason = ""
    if reason:
        assert reason == "bad_arguments"
        return
    assert checked.keys() == expected.keys()
    assert all(
        expected[name].minimum <= checked[name] <= expected[name].maximum for name in checked
    )


# --- What is asked to know who answers -------------------------------------------------------


def test_verify_is_answered_by_every_host_with_the_key(tmp_path: Path) -> None:
    """Whatever the configuration allows, and it changes nothing."""
    world = PairedHost(tmp_path, policy=Policy(allow=(), deny=("*",), dry_run=True))
    world.call("power.lock")
    world.send("power.lock", b"nonsense")
    told = world.call("trust.verify")
    assert (told["status"], told["dry_run"]) == ("done", False)
    assert told["refused"] == {"command.not_allowed": 1, "command.malformed": 1}
    assert world.call("trust.verify", {"more": 1})["reason"] == "bad_arguments"


@pytest.mark.parametrize(
    ("above", "reason"), [(2**34, ""), (2**34 + 1, "bad_arguments"), (-1, "bad_arguments")]
)
def test_verify_asks_to_go_on_above_a_start(tmp_path: Path, above: int, reason: str) -> None:
    """One that no clock gives is refused: it would leave no number for other controllers."""
    world = PairedHost(tmp_path)
    assert world.call("trust.verify", {"above": above})["reason"] == reason
    assert world.surpassed == ([] if reason else [above])


def test_a_pattern_that_would_never_end_refuses_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizer, "_MATCH_LIMIT", 0.2)

    with pytest.raises(CommandError, match=r"text: \(a\+\)\+ takes longer than 0\.2 s"):
        check_arguments(
            {"text": TextArgument(200, None, pattern="(a+)+")}, {"text": "a" * 64 + "!"}
        )
