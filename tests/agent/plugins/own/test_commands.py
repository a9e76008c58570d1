"""Commands of the owner: what they are announced as, what they start, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from companion_agent import platforms
from companion_agent.announcement import describe_command
from companion_agent.config import ConfigError, load
from companion_agent.config.policy import Policy
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.own.commands import OwnCommandsPlugin, fill
from companion_agent.plugins.own.settings import OwnCommands
from companion_agent.protocol.announce import command_fields
from companion_agent.protocol.envelope import open_envelope
from companion_agent.protocol.messages import parse_result
from companion_agent.protocol.validation import MAX_RESULT
from companion_agent.security.authorizer import check_arguments
from support.agent_security import PairedHost

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.models import Value

EVERY_ARGUMENT = """
own_commands:
  every:
    command: [printf, "<%s>\\n", first, "{text}", "{number}", "{choice}", "{literal}", last]
    arguments:
      text: {type: text, pattern: ".*", longest: 40}
      number: {type: number, minimum: -1000, maximum: 1000}
      choice: {type: choice, options: ["a b", "$(id)", "c;d"]}
      literal: {type: choice, options: ["{text}"], default: "{text}"}
"""


def configured(folder: Path, text: str) -> OwnCommands:
    path = folder / "config.yaml"
    path.write_text(f"broker: localhost\n{text}", "utf-8")
    return OwnCommands(load(path, {}).own_commands)


def plugin_of(folder: Path, text: str) -> OwnCommandsPlugin:
    return OwnCommandsPlugin(platforms.current(), config=configured(folder, text))


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(folder, text)
    return [str(one).removeprefix(f"{folder}/config.yaml:") for one in caught.value.mistakes]


# --- Arguments -------------------------------------------------------------------------------

ARGUMENT_X = "{{command: [echo, '{{x}}'], arguments: {{x: {{{}}}}}}}"
NUMBER_OF_A_CHOICE = (
    "{command: [echo, '{value}'], show: number, state: [echo], "
    "arguments: {value: {type: choice, options: [a]}}}"
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> OwnCommands:
    return configured(tmp_path_factory.mktemp("every"), EVERY_ARGUMENT)


@given(args=st.fixed_dictionaries({"text": ANYTHING, "number": ANYTHING, "choice": ANYTHING}))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_argument_changes_the_shape(every: OwnCommands, args: dict[str, Any]) -> None:
    own = every.commands["every"]
    declared = {name: one.argument for name, one in own.arguments.items()}
    try:
        checked = check_arguments(declared, args)
    except CommandError:
        return

    argv = fill(own.command, checked)

    assert len(argv) == len(own.command)
    assert [argv[0], argv[1], argv[2], argv[-1]] == ["printf", "<%s>\\n", "first", "last"]
    assert argv[3] == args["text"]
    assert float(argv[4]) == args["number"]
    assert argv[5] == args["choice"]
    assert argv[6] == "{text}"
    assert not argv[3].startswith("-")
    assert not any("\0" in word or "\n" in word for word in argv[3:])


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(
        lambda text: text.isprintable() and not text.startswith("-")
    ),
    number=st.floats(-1000, 1000) | st.integers(-1000, 1000),
    choice=st.sampled_from(["a b", "$(id)", "c;d"]),
)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_a_program_is_handed_each_argument_as_one(
    every: OwnCommands, text: str, number: float, choice: str
) -> None:
    plugin = OwnCommandsPlugin(platforms.current(), config=every)

    output = plugin.run(
        "own_commands.every",
        {"text": text, "number": number, "choice": choice, "literal": "{text}"},
    )

    words = output.text.removesuffix("\n").split("\n")
    assert len(words) == 6
    assert words[1] == f"<{text}>"
    assert words[3:] == [f"<{choice}>", "<{text}>", "<last>"]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"text": "-rf"}, "text begins with -"),
        ({"text": "a\nb"}, "text is not a text of one line"),
        ({"text": "x" * 41}, "of up to 40 characters"),
        ({"number": 1001}, "number is not -1000 to 1000"),
        ({"number": True}, "number is not a number"),
        ({"choice": "c"}, "choice is not one of a b"),
        ({"more": 1}, "there is no argument more"),
    ],
)
def test_a_wrong_argument_is_named(every: OwnCommands, args: dict[str, Any], reason: str) -> None:
    own = every.commands["every"]
    declared = {name: one.argument for name, one in own.arguments.items()}
    right = {"text": "a", "number": 1, "choice": "a b"}

    with pytest.raises(CommandError, match=reason):
        check_arguments(declared, right | args)


def test_a_text_has_to_match_its_pattern(tmp_path: Path) -> None:
    plugin = plugin_of(
        tmp_path,
        "own_commands: {say: {command: [echo, '{t}'], "
        "arguments: {t: {type: text, pattern: '[a-z]+'}}}}",
    )
    [command] = plugin.commands()

    with pytest.raises(CommandError, match=r"t does not match \[a-z\]\+"):
        check_arguments(command.args, {"t": "abc1"})
    with pytest.raises(CommandError, match="t is missing"):
        check_arguments(command.args, {})


# --- Mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "mistake"),
    [
        ("{command: echo hello}", "not one text; write [echo, hello]"),
        ("{command: [echo], shwo: button}", "is not known here; did you mean show?"),
        ("{command: [echo], show: buton}", "did you mean button?"),
        ("{command: [echo], user: rooot}", "did you mean root?"),
        ("{command: [echo, '{x}']}", "own_commands.it.command[2]: {x} is no argument"),
        (
            "{command: ['{x}'], arguments: {x: {type: text, pattern: a}}}",
            "no argument may say which program is started",
        ),
        (
            "{command: [echo, 'a={x}'], arguments: {x: {type: text, pattern: a}}}",
            "an argument is an element of its own",
        ),
        (
            "{command: [bash, -lc, '{x}'], arguments: {x: {type: text, pattern: a}}}",
            "a shell would run the argument as a program",
        ),
        (
            "{command: [env, sh, -c, '{x}'], arguments: {x: {type: text, pattern: a}}}",
            "a shell would run the argument as a program",
        ),
        ("{command: [echo], arguments: {x: {type: text, pattern: a}}}", "add {x}"),
        (
            "{command: [echo, '{x}'], arguments: {x: {type: text}}}",
            "arguments.x.pattern: is missing",
        ),
        (
            "{command: [echo, '{x}'], arguments: {x: {type: text, pattern: '('}}}",
            "expected a regular expression",
        ),
        (
            "{command: [echo, '{x}'], arguments: {x: {type: text, pattern: '(a+)+', default: "
            + "a" * 64
            + "!}}}",
            "arguments.x.pattern: (a+)+ takes longer than 1 s",
        ),
        (
            "{command: [echo, '{x}'], arguments: {x: {type: number, minimum: 2}}}",
            "arguments.x.maximum: is missing",
        ),
        (
            "{command: [echo, '{x}'], arguments: {x: {type: number, minimum: 2, maximum: 1}}}",
            "is more than the maximum",
        ),
        (
            ARGUMENT_X.format("type: number, minimum: 1, maximum: 2, default: 3"),
            "arguments.x.default: expected a number from 1 to 2",
        ),
        (
            "{command: [echo, '{x}'], arguments: {x: {type: choice, options: [a], default: b}}}",
            "expected one of the options",
        ),
        (
            ARGUMENT_X.format("type: choice, options: [a], minimum: 1, maximum: 2"),
            "is known only of a number",
        ),
        (
            "{command: [echo, '{x}'], show: button, arguments: {x: {type: text, pattern: a}}}",
            "a button gives no argument, and x has no default",
        ),
        ("{command: [echo], state: [echo]}", "is known only of a switch, a select and a number"),
        ("{command: [echo, '{value}'], show: switch}", "own_commands.it.state: is missing"),
        ("{command: [echo], show: switch, state: [echo]}", "add {value}"),
        ("{command: [echo], show: number, state: [echo]}", "a number has one argument, value"),
        (
            NUMBER_OF_A_CHOICE,
            "the value of a number is a number",
        ),
    ],
)
def test_a_mistake_says_what_to_write(tmp_path: Path, command: str, mistake: str) -> None:
    found = mistakes(tmp_path, f"own_commands:\n  it: {command}\n")

    assert any(mistake in one for one in found), found
    assert all(one.startswith("3: own_commands.it") for one in found)


def test_a_name_is_one_that_stands_in_keys(tmp_path: Path) -> None:
    [mistake] = mistakes(tmp_path, "own_commands: {Back up: {command: [echo]}}")

    assert "expected a name of 1 to 64 of a-z, 0-9, _ and -" in mistake


# --- The plug-in -----------------------------------------------------------------------------

LAMP = """
own_commands:
  lamp:
    show: switch
    command: [sh, -c, 'echo "$1" > lamp', sh, "{value}"]
    state: [cat, lamp]
    folder: FOLDER
  profile:
    name: Profile of the fans
    show: select
    command: [sh, -c, 'echo "$1" > profile', sh, "{value}"]
    state: [cat, profile]
    arguments: {value: {type: choice, options: [quiet, loud]}}
    folder: FOLDER
  volume:
    show: number
    command: [sh, -c, 'echo "$1" > volume', sh, "{value}"]
    state: [cat, volume]
    arguments: {value: {type: number, minimum: 0, maximum: 100, step: 5, unit: "%"}}
    folder: FOLDER
  backup:
    command: [sh, -c, "echo done; exit 0"]
    confirm: true
    harmless: true
    time_limit: 600
  tidy: {command: [no-such-program]}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> OwnCommandsPlugin:
    return plugin_of(tmp_path, LAMP.replace("FOLDER", str(tmp_path)))


def test_they_are_announced_with_what_their_owner_says(plugin: OwnCommandsPlugin) -> None:
    announced = {one.key: command_fields(describe_command(one)) for one in plugin.commands()}

    assert announced["own_commands.backup"] == {
        "key": "own_commands.backup",
        "name": "Backup",
        "show": "button",
        "confirm": True,
        "harmless": True,
        "time_limit": 600,
    }
    assert announced["own_commands.lamp"] == {
        "key": "own_commands.lamp",
        "state": "own_commands.lamp",
        "name": "Lamp",
        "show": "switch",
        "args": {"value": "choice"},
        "options": {"value": ["on", "off"]},
        "time_limit": 30,
    }
    assert announced["own_commands.volume"]["limits"] == {
        "value": {"minimum": 0, "maximum": 100, "step": 5}
    }
    assert announced["own_commands.tidy"]["missing"]["reason"] == "program"
    assert plugin.left_out().keys() == {"tidy"}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [("lamp", "on", True), ("lamp", "off", False), ("profile", "loud", "loud"), ("volume", 35, 35)],
)
def test_what_is_set_is_read_back(
    plugin: OwnCommandsPlugin, name: str, value: str | float, read: Value
) -> None:
    plugin.run(f"own_commands.{name}", {"value": value})

    assert plugin.collect()[name] == read
    assert name not in plugin.troubles()


@pytest.mark.parametrize(
    ("name", "printed", "trouble"),
    [
        ("lamp", "maybe", "it prints 'maybe', which is neither on nor off"),
        ("profile", "x", "it prints 'x', which is none of the options"),
        ("volume", "x", "it prints 'x', which is no number"),
    ],
)
def test_a_state_that_says_something_else_is_unknown_and_says_why(
    plugin: OwnCommandsPlugin, tmp_path: Path, name: str, printed: str, trouble: str
) -> None:
    (tmp_path / name).write_text(printed)

    assert plugin.collect()[name] is None
    assert plugin.troubles()[name] == trouble


def test_what_systemctl_says_of_a_stopped_unit_is_off(tmp_path: Path) -> None:
    plugin = plugin_of(
        tmp_path,
        "own_commands: {it: {show: switch, command: [echo, '{value}'], "
        "state: [sh, -c, 'echo inactive; exit 3']}}",
    )

    assert plugin.collect() == {"it": False}


def test_without_any_there_is_nothing() -> None:
    plugin = OwnCommandsPlugin(platforms.current())

    assert plugin.commands() == []
    with pytest.raises(Unavailable, match="no command is named"):
        plugin.collect()


# --- From the message to its result ----------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path, plugin: OwnCommandsPlugin) -> PairedHost:
    host = PairedHost(tmp_path / "state")
    host.dispatcher.offer({plugin: plugin.commands()})
    return host


def test_the_result_has_the_output_and_the_record_the_call(host: PairedHost) -> None:
    result = host.call("own_commands.backup")

    assert (result["status"], result["output"], result["truncated"]) == ("done", "done\n", False)
    assert (host.lines[-1]["key"], host.lines[-1]["status"]) == ("own_commands.backup", "done")


def test_a_result_is_never_larger_than_a_reader_takes(tmp_path: Path) -> None:
    plugin = plugin_of(
        tmp_path, """own_commands: {it: {command: [sh, -c, 'yes "\\"é\\\\" | head -c 60000']}}"""
    )
    host = PairedHost(tmp_path / "state")
    host.dispatcher.offer({plugin: plugin.commands()})

    result = host.call("own_commands.it")

    assert result["truncated"] is True
    assert len(result["output"]) > 1000
    topic, payload = host.published[-1]
    assert topic.endswith("/result/own_commands.it")
    assert parse_result(open_envelope(payload.encode(), MAX_RESULT).body).output == result["output"]


def test_a_failure_is_told_and_recorded(host: PairedHost, tmp_path: Path) -> None:
    (tmp_path / "lamp").mkdir()

    result = host.call("own_commands.lamp", {"value": "on"})

    assert result["status"] == "failed"
    assert "it ended with" in result["detail"]
    assert "lamp" in host.lines[-1]["detail"]


def test_what_the_allowlist_denies_is_neither_announced_nor_started(
    tmp_path: Path, plugin: OwnCommandsPlugin
) -> None:
    host = PairedHost(tmp_path / "state", policy=Policy(deny=("own_commands.lamp",)))
    host.dispatcher.offer({plugin: plugin.commands()})

    assert "own_commands.lamp" not in host.dispatcher.announced()
    assert host.call("own_commands.lamp", {"value": "on"})["reason"] == "not_allowed"
    assert not (tmp_path / "lamp").exists()


def test_a_rehearsal_starts_nothing(tmp_path: Path, plugin: OwnCommandsPlugin) -> None:
    host = PairedHost(tmp_path / "state", policy=Policy(dry_run=True))
    host.dispatcher.offer({plugin: plugin.commands()})

    assert host.call("own_commands.lamp", {"value": "on"})["dry_run"] is True
    assert not (tmp_path / "lamp").exists()
