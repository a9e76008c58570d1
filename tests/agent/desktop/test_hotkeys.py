"""Hotkeys by the desktop's portal, which python-dbusmock plays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.async_bus import AsyncBus
from companion_agent.plugins.desktop_settings import DesktopConfig, Hotkey
from companion_agent.plugins.hotkeys.helper import HotkeysDomain
from companion_agent.plugins.hotkeys.plugin import HotkeysPlugin
from companion_agent.plugins.hotkeys.portal import PORTAL
from support.agent_host import FakePlatform
from support.agent_logind import MOCK

from .domains import started

if TYPE_CHECKING:
    from support.agent_logind import SystemBus

pytestmark = pytest.mark.proves("hotkeys.*")

KEYS = Thing("keys")
LAMP = {"hotkeys": {"lamp": {"name": "Switch the lamp", "keys": "CTRL+ALT+l"}}}
SESSION = "/org/freedesktop/portal/desktop/session/1"
_ANSWER = """
path = '/org/freedesktop/portal/desktop/request/1/' + str(args[-1]['handle_token'])
self.AddObject(path, 'org.freedesktop.portal.Request', {}, [])
results = dbus.Dictionary(RESULTS, signature='sv')
objects[path].EmitSignal(
    'org.freedesktop.portal.Request', 'Response', 'ua{sv}', [dbus.UInt32(CODE), results]
)
ret = dbus.ObjectPath(path)
"""
_BOUND = """{'shortcuts': dbus.Array([
    (name, dbus.Dictionary({'trigger_description': 'Ctrl+Alt+L'}, signature='sv'))
    for name, _ in args[1]], signature='(sa{sv})')}"""


class FakePortal:
    """The portal of a desktop that has global shortcuts.

    Args:
        bus: Where it is.
        code: What it answers to binding: 0 is done, 1 is that the user declined.
    """

    def __init__(self, bus: SystemBus, code: int = 0) -> None:
        self._bus = bus
        bus.serve(*PORTAL)
        self._mock("AddProperty", "ssv", PORTAL.interface, "version", ("u", 1))
        session = f"{{'session_handle': '{SESSION}'}}"
        for name, takes, results, answer in (
            ("CreateSession", "a{sv}", session, 0),
            ("BindShortcuts", "oa(sa{sv})sa{sv}", _BOUND, code),
        ):
            body = _ANSWER.replace("RESULTS", results).replace("CODE", str(answer))
            self._mock("AddMethod", "sssss", PORTAL.interface, name, takes, "o", body)

    @staticmethod
    def bus() -> AsyncBus:
        """Connect as to the session's bus."""
        return AsyncBus("SYSTEM", lambda _: None)

    def press(self, hotkey: str, session: str = SESSION) -> None:
        data = [("o", session), ("s", hotkey), ("t", 1), ("a{sv}", {})]
        self._mock("EmitSignal", "sssav", PORTAL.interface, "Activated", "osta{sv}", data)

    def _mock(self, method: str, signature: str, *args: Any) -> None:
        self._bus.call(PORTAL.service, PORTAL.path, MOCK, method, signature, *args)


def test_a_hotkey_is_bound_and_told_when_it_is_pressed(bus: SystemBus) -> None:
    portal = FakePortal(bus)

    async def play() -> None:
        async with started(HotkeysDomain, LAMP, session=portal.bus) as context:
            await context.until(lambda: context.values)
            assert context.values == {KEYS: "lamp: Ctrl+Alt+L"}
            # What is not its own, and what is.
            await asyncio.to_thread(portal.press, "lamp", "/another/session")
            await asyncio.to_thread(portal.press, "radio")
            await asyncio.to_thread(portal.press, "lamp")
            await context.until(lambda: context.events)
            assert context.events == [("pressed", {"hotkey": "lamp"})]

    asyncio.run(play())


def test_a_user_may_decline(bus: SystemBus) -> None:
    portal = FakePortal(bus, code=1)

    async def play() -> None:
        async with started(HotkeysDomain, LAMP, session=portal.bus) as context:
            await context.until(lambda: "declined" in context.offered.why[""])
            assert context.offered.empty

    asyncio.run(play())


def test_a_desktop_without_such_a_portal(bus: SystemBus) -> None:
    async def play() -> None:
        async with started(HotkeysDomain, LAMP, session=FakePortal.bus) as context:
            assert "no portal for global shortcuts" in context.offered.why[""]

    asyncio.run(play())


def test_a_helper_is_told_of_the_hotkeys_in_the_configuration() -> None:
    hotkeys = {"lamp": Hotkey("Switch the lamp", "CTRL+ALT+l"), "radio": Hotkey()}
    plugin = HotkeysPlugin(FakePlatform(), config=DesktopConfig(hotkeys=hotkeys))  # type: ignore[arg-type]

    assert plugin.settings == {
        "hotkeys": {**LAMP["hotkeys"], "radio": {"name": "radio", "keys": ""}}
    }


def test_without_hotkeys_there_is_nothing() -> None:
    plugin = HotkeysPlugin(FakePlatform())  # type: ignore[arg-type]

    assert plugin.settings is None
    with pytest.raises(Unavailable, match="no hotkeys are configured"):
        plugin.collect()
