"""What session helpers are told of the host's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config import load
from companion_agent.config.known import known_collectors
from companion_agent.config.overlay import remote_keys
from companion_agent.desktop.messages import Welcome, encode_message, parse_from_agent
from companion_agent.plugins import registry
from companion_agent.plugins.base import PluginContext
from companion_agent.plugins.desktop import DesktopPlugin, told_to_helpers
from companion_agent.protocol.errors import ProtocolError
from support.agent_host import FakePlatform

if TYPE_CHECKING:
    from pathlib import Path


def told(folder: Path, *lines: str) -> dict[str, Any]:
    """Return what helpers are told by an agent with these lines in its configuration."""
    path = folder / "config.yaml"
    path.write_text("\n".join(("broker: mqtt.local", f"state_dir: {folder}", *lines)))
    config = load(path)
    context = PluginContext(FakePlatform(), given=config.of_plugins())  # type: ignore[arg-type]
    plugins = [
        plugin
        for name, made in registry.BUILT_IN.items()
        if issubclass(made, DesktopPlugin)
        and isinstance(plugin := registry.create(name, context), DesktopPlugin)
    ]
    read = {plugin.name for plugin in plugins if config.collector(plugin.name).enabled}
    return told_to_helpers(plugins, read)


def test_usually_windows_and_hotkeys_are_left_alone(tmp_path: Path) -> None:
    domains = told(tmp_path)

    assert domains["presence"] == {"idle_after": 300}
    assert domains["camera"] == {}
    assert domains["window"] is None
    assert domains["hotkeys"] is None


def test_an_owner_allows_more(tmp_path: Path) -> None:
    domains = told(
        tmp_path,
        "desktop:",
        "  idle_after: 60",
        "  window: true",
        "  hotkeys:",
        "    lamp: {name: Switch the lamp, keys: CTRL+ALT+l}",
        "    radio: {}",
    )

    assert domains["presence"] == {"idle_after": 60}
    assert domains["window"] == {"allowed": True}
    assert domains["hotkeys"] == {
        "hotkeys": {
            "lamp": {"name": "Switch the lamp", "keys": "CTRL+ALT+l"},
            "radio": {"name": "radio", "keys": ""},
        }
    }


def test_what_is_only_read_and_switched_off_is_not_looked_at(tmp_path: Path) -> None:
    """What can be commanded as well still can."""
    domains = told(
        tmp_path,
        "desktop: {window: true}",
        "collectors:",
        *(f"  {name}: {{enabled: false}}" for name in ("presence", "camera", "window", "screen")),
    )

    assert [name for name, settings in domains.items() if settings is None] == [
        "presence",
        "window",
        "camera",
        "hotkeys",
    ]
    assert domains["screen"] == {}


def test_home_assistant_cannot_switch_on_what_is_the_owners_to_allow() -> None:
    keys = remote_keys(known_collectors())

    assert "collectors.window.enabled" in keys
    # Neither the window nor a hotkey: when it is idle decides nothing of what is told.
    assert [key for key in keys if key.startswith("desktop.")] == ["desktop.idle_after"]


def test_a_helper_understands_what_it_is_told() -> None:
    welcome = Welcome(1, "1.0.0", "c2", {"presence": {"idle_after": 60}, "window": None})

    assert parse_from_agent(encode_message(welcome)) == welcome


@pytest.mark.parametrize("domains", [[], {"window": True}, {"no name": {}}, "window"])
def test_a_helper_hangs_up_on_nonsense(domains: object) -> None:
    message = {"welcome": {"protocol": 1, "version": "1", "session": "1", "domains": domains}}

    with pytest.raises(ProtocolError):
        parse_from_agent(message)


def test_an_older_agent_tells_nothing() -> None:
    message = {"welcome": {"protocol": 1, "version": "1", "session": "1"}}

    welcome = parse_from_agent(message)

    assert isinstance(welcome, Welcome)
    assert welcome.domains == {}
