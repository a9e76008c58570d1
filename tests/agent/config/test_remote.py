"""Home Assistant reads and changes settings: by revision, errors by field."""

from __future__ import annotations

from functools import partial
import json
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import platforms
from companion_agent.config import load
from companion_agent.config.known import known_collectors
from companion_agent.config.overlay import OVERLAY_FILE, Overlay
from companion_agent.config.reloader import Reloader
from companion_agent.config.remote import RemoteSettings
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.config import ConfigPlugin
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.messages import FIELD_REASONS
from companion_agent.protocol.settings import (
    CONFIG_GET,
    CONFIG_SET,
    FieldType,
    SettingField,
    Settings,
    parse_settings,
)
from companion_agent.protocol.validation import MAX_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.proves("config.*")

INTERVAL = "collectors.cpu.interval"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    write(path, "")
    return path


@pytest.fixture
def reloader(path: Path) -> Reloader:
    return Reloader(load(path, {}), partial(load, path, {}))


@pytest.fixture
def plugin(reloader: Reloader) -> ConfigPlugin:
    return ConfigPlugin(platforms.current(), RemoteSettings(reloader, known_collectors()))


@pytest.fixture
def ask(plugin: ConfigPlugin) -> Callable[[str], Settings]:
    def ask(section: str = "") -> Settings:
        output = plugin.run(CONFIG_GET, {"section": section})
        assert output
        return parse_settings(output.text)

    return ask


@pytest.fixture
def change(plugin: ConfigPlugin, ask: Callable[[], Settings]) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        args = {"revision": ask().revision, "values": json.dumps(values)}
        plugin.run(CONFIG_SET, args)

    return change


def write(path: Path, text: str) -> None:
    path.write_text(f"broker: localhost\nstate_dir: {path.parent / 'state'}\n{text}\n", "utf-8")


def test_fields_say_what_they_can_hold(
    path: Path, reloader: Reloader, ask: Callable[..., Settings]
) -> None:
    write(path, "collectors: {disk: {exclude: [/boot]}}")
    reloader.read()

    assert {"collectors.cpu", "collectors.disk", "log"} <= set(ask().sections)
    assert ask().fields == ()
    enabled, interval, include, exclude = ask("collectors.disk").fields
    assert enabled == SettingField("collectors.disk.enabled", FieldType.BOOLEAN, True, True)
    assert (interval.type, interval.value, interval.default) == (FieldType.NUMBER, None, 60)
    assert (interval.minimum, interval.maximum, interval.unit) == (1, 86_400, "seconds")
    assert (include.type, include.value, include.fixed) == (FieldType.NAMES, (), None)
    assert (exclude.value, exclude.fixed) == (("/boot",), f"{path}:3")
    [level] = ask("log").fields
    assert (level.type, level.value) == (FieldType.CHOICE, "info")
    assert level.options == ("debug", "info", "warning", "error")


@pytest.mark.parametrize("names", [["x" * 300], [f"\\{n:060}" for n in range(300)]])
def test_names_that_are_too_long_to_be_told_hide_no_other_setting(
    path: Path, reloader: Reloader, plugin: ConfigPlugin, names: list[str]
) -> None:
    disk = {"include": names, "exclude": names, "interval": 30}
    write(path, f"collectors: {json.dumps({'disk': disk})}")
    reloader.read()

    output = plugin.run(CONFIG_GET, {"section": "collectors.disk"})

    assert output
    assert len(dump(output.text).encode()) <= MAX_OUTPUT
    _, interval, include, exclude = parse_settings(output.text).fields
    assert interval.value == 30
    assert include.fixed == exclude.fixed == f"{path}:3"
    assert include.value
    assert set(include.value) <= {name[:255] for name in names}


def test_what_is_set_is_kept_and_gone_on_with_and_never_written_into_the_file(
    path: Path, reloader: Reloader, ask: Callable[..., Settings], change: Callable[..., None]
) -> None:
    before = path.read_bytes()

    change({INTERVAL: 30, "collectors.memory.enabled": False, "log.level": "debug"})
    change({"log.level": None})

    assert reloader.config.collector("cpu").interval == 30
    assert reloader.config.log.level == "info"
    assert not load(path, {}).collector("memory").enabled
    assert ask("collectors.cpu").fields[1].value == 30
    assert path.read_bytes() == before


def test_what_was_changed_meanwhile_is_not_lost(
    plugin: ConfigPlugin, ask: Callable[..., Settings], change: Callable[..., None]
) -> None:
    seen = ask().revision
    change({INTERVAL: 30})

    with pytest.raises(CommandError) as caught:
        plugin.run(CONFIG_SET, {"revision": seen, "values": '{"log.level": "debug"}'})

    assert caught.value.reason == "stale"
    assert ask("log").fields[0].value == "info"


@pytest.mark.parametrize(
    ("key", "value", "reason", "detail"),
    [
        (INTERVAL, 0, "invalid", "expected seconds"),
        (INTERVAL, "often", "invalid", "expected seconds"),
        ("collectors.disk.include", ["/", ["x"]], "invalid", "expected a name"),
        ("collectors.disk.include", ["x" * 256], "invalid", "at most 255 characters"),
        ("collectors.disk.include", ["/\0"], "invalid", "at most 255 characters"),
        ("collectors.disk.include", [f"{n}" for n in range(201)], "invalid", "at most 200 names"),
        ("collectors.disk.include", [f"{n:050}" for n in range(99)], "invalid", "3072 bytes"),
        ("log.level", "loud", "invalid", "expected debug, info, warning or error"),
        ("collectors.memory.interval", 5, "fixed", "config.yaml:3"),
        ("broker.host", "x", "not_settable", "may not set"),
        ("broker.tls.ca_cert", "/x", "not_settable", "may not set"),
        ("commands.allow", ["*"], "not_settable", "may not set"),
        ("security.fleet_key", "x", "not_settable", "may not set"),
        ("update.keys", ["x"], "not_settable", "may not set"),
        ("own_commands.x.command", ["rm"], "not_settable", "may not set"),
        ("commands.unsigned", True, "not_settable", "may not set"),
        ("discovery", "mqtt", "not_settable", "may not set"),
        ("desktop.window", True, "not_settable", "may not set"),
        ("collectors.cpu.include", ["x"], "not_settable", "may not set"),
    ],
)
def test_errors_are_told_by_field_and_nothing_changes(
    path: Path,
    reloader: Reloader,
    change: Callable[..., None],
    key: str,
    value: object,
    reason: str,
    detail: str,
) -> None:
    write(path, "collectors: {memory: {interval: 20}}")

    with pytest.raises(CommandError) as caught:
        change({key: value, "collectors.fan.enabled": False})

    assert caught.value.reason == "bad_arguments"
    assert list(caught.value.fields) == [key]
    assert caught.value.fields[key].reason == reason
    assert reason in FIELD_REASONS
    assert detail in caught.value.fields[key].detail
    assert reloader.config.collector("fan").enabled
    assert not (path.parent / "state" / OVERLAY_FILE).exists()


@pytest.mark.parametrize("values", ["{}", "{x}", '{"a": 1]}'])
def test_what_is_no_json_is_refused(
    plugin: ConfigPlugin, ask: Callable[..., Settings], values: str
) -> None:
    with pytest.raises(CommandError, match="not a JSON object"):
        plugin.run(CONFIG_SET, {"revision": ask().revision, "values": values})


def test_a_file_with_mistakes_lets_nothing_be_set(path: Path, change: Callable[..., None]) -> None:
    write(path, "nmae: x")

    with pytest.raises(CommandError, match="did you mean name") as caught:
        change({INTERVAL: 30})

    assert caught.value.reason == "failed"
    assert not (path.parent / "state" / OVERLAY_FILE).exists()


def test_while_an_update_is_on_trial_nothing_is_set(
    reloader: Reloader, path: Path, change: Callable[..., None]
) -> None:
    reloader.occupied = lambda: "this version is on trial"

    with pytest.raises(CommandError, match="on trial"):
        change({INTERVAL: 30})

    assert not (path.parent / "state" / OVERLAY_FILE).exists()


def test_one_that_cannot_be_read_is_not_overwritten(
    path: Path, change: Callable[..., None]
) -> None:
    damaged = path.parent / "state" / OVERLAY_FILE
    damaged.parent.mkdir()
    damaged.write_text("{")

    with pytest.raises(CommandError, match="damaged"):
        change({INTERVAL: 30})

    assert damaged.read_text() == "{"


def test_an_overlay_with_mistakes_is_not_read_again(path: Path, reloader: Reloader) -> None:
    Overlay({INTERVAL: 0}).write(path.parent / "state")

    with pytest.raises(CommandError, match="set from Home Assistant: collectors"):
        reloader.read()

    assert reloader.config.overlay_mistakes == ()


def test_a_section_that_is_not_offered(ask: Callable[..., Settings]) -> None:
    with pytest.raises(CommandError, match="there is no section broker"):
        ask("broker")


def test_without_an_agent_there_is_nothing_to_set() -> None:
    with pytest.raises(Unavailable):
        ConfigPlugin(platforms.current()).commands()
