"""A desktop from Home Assistant's pages: its screen, its notifications, its media player."""

from __future__ import annotations

import json
import struct
import sys
from typing import TYPE_CHECKING
import wave

from harness.host import Shown
from harness.settings import QUICK
from playwright.sync_api import expect
import pytest
from security.victim import Code

from stack import nspawn, toolchain
from stack.browser import screenshot
from stack.nspawn import SystemdHost, why_not
from stack.process import wait_for
from support.desktops import SWAY, Desktops

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.bus import Bus
    from playwright.sync_api import Page
    from security.conftest import OpenPage

    from stack.broker import Mosquitto
    from stack.homeassistant import HomeAssistant

pytestmark = [
    pytest.mark.proves("screen.on", "notifications.show"),
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there can be such hosts"),
]

AGENT = "pilot-agent"
SCREEN, PLAYER = "screen.on", "media"
DASHBOARD = "pilot-desktop"
TRACK_SECONDS = 600


class Desktop(Shown):
    """The desktop of anna: sway without a monitor, mako, and mpv that plays silence."""

    def __init__(self, ha: HomeAssistant, bus: Bus, host: SystemdHost, broker: Mosquitto) -> None:
        host.add_user(AGENT, system_user=True)
        self.desktops = Desktops(host)
        self.desktops.install(
            {
                "broker": {"host": broker.host, "port": broker.port},
                "name": "living-room-pc",
                "collectors": QUICK,
            }
        )
        self.host = host
        kept = host.path / "var/lib/pilot-agent/host-id"
        wait_for(kept.exists, "the id of the host")
        super().__init__(ha, bus, kept.read_text(encoding="ascii").strip())

    def log_in(self) -> None:
        """Have anna come to her desktop, and play something."""
        self.desktops.log_in("anna", *SWAY)
        self.desktops.replace("anna", "swaync", "mako")
        track = self.host.path / "home/anna/Silence.wav"
        with wave.open(str(track), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(struct.pack("<h", 0) * 8000 * TRACK_SECONDS)
        self.desktops.start(
            "anna", "mpv", "--ao=null", "--vo=null", "--no-video", "/home/anna/Silence.wav"
        )

    def add_with_code(self) -> None:
        """Add it as a user does who types the code that it shows.

        The code is shown outside of the host, whose Python has no such cryptography.
        """
        config = self.host.folder / "outside.json"
        state = str(self.host.path / "var/lib/pilot-agent")
        config.write_text(json.dumps({"broker": "localhost", "state_dir": state}))
        python = str(toolchain.python_of("agent-3.11"))
        pair = (python, "-m", "companion_agent", "pair", "--no-qr", "--config", str(config))
        code = Code(pair, self.host.folder / "pair.log")
        flow = self.wait_until_offered()
        result = self.ha.confirm(flow["flow_id"], {"code": code.digits})
        assert result["type"] == "create_entry", f"adding it came to {result}"
        code.end()
        for key in (SCREEN, PLAYER, "notifications_show"):
            self.wait_for_entity(key, timeout=60)

    def show(self) -> str:
        """Make a dashboard with its screen, its player and a bell; return the path of its page."""
        ring = {
            "action": "perform-action",
            "perform_action": "pilot.notify",
            "target": {"device_id": self.device["id"]},
            "data": {
                "title": "Front door",
                "message": "The bell rang.",
                "actions": [
                    {"action": "WAIT", "title": "Let them wait"},
                    {"action": "OPEN_FRONT_DOOR", "title": "Open"},
                ],
            },
        }
        entities = [self.entity(SCREEN)["entity_id"], "input_boolean.front_door"]
        cards = [
            {"type": "entities", "title": "Desktop", "show_header_toggle": False,
             "entities": entities},
            {"type": "button", "name": "Ring the bell", "icon": "mdi:bell", "tap_action": ring},
            {"type": "media-control", "entity": self.entity(PLAYER)["entity_id"]},
        ]  # fmt: skip
        with self.ha.websocket() as websocket:
            websocket.call(
                "lovelace/dashboards/create", url_path=DASHBOARD, title="Desktop", mode="storage"
            )
            config = {"views": [{"title": "Desktop", "path": "desktop", "cards": cards}]}
            websocket.call("lovelace/config/save", url_path=DASHBOARD, config=config)
        return f"/{DASHBOARD}/desktop"


@pytest.fixture
def desktop(tmp_path: Path, ha: HomeAssistant, bus: Bus, broker: Mosquitto) -> Iterator[Desktop]:
    """Return a desktop at which anna works, in a computer that is paired."""
    python = toolchain.python_of("agent-3.11")
    with SystemdHost(
        tmp_path / "living-room-pc",
        "living-room-pc",
        suite="trixie",
        libraries=python.parent.parent / "lib" / "python3.11" / "site-packages",
        layers=[nspawn.desktops("trixie")],
    ) as host:
        desktop = Desktop(ha, bus, host, broker)
        try:
            desktop.log_in()
            desktop.add_with_code()
            yield desktop
        except BaseException:
            print(host.journal("-u", AGENT), file=sys.stderr)
            raise
        finally:
            desktop.remove()
    bus.forget_host(desktop.id)


def test_a_desktop_is_switched_rung_and_paused_by_clicks(
    desktop: Desktop, open_page: OpenPage, artifacts: Path
) -> None:
    desktop.wait_for_state(SCREEN, "on")
    desktop.wait_for_state(PLAYER, "playing")
    with open_page(desktop.show()) as page:
        screenshot(page, artifacts / "desktop-on.png")

        page.locator("hui-toggle-entity-row ha-entity-toggle").first.click()
        desktop.wait_for_state(SCREEN, "off")
        assert desktop.desktops.power("anna") == [False]
        expect_switch(page, checked=False)
        screenshot(page, artifacts / "desktop-screen-off.png")
        page.locator("hui-toggle-entity-row ha-entity-toggle").first.click()
        desktop.wait_for_state(SCREEN, "on")
        assert desktop.desktops.power("anna") == [True]

        page.get_by_text("Ring the bell").click()
        wait_for(
            lambda: "Front door" in desktop.desktops.run_as("anna", "makoctl", "list").stdout,
            "the notification",
        )
        desktop.desktops.run_as("anna", "makoctl", "invoke", "1")
        desktop.ha.wait_for_state("input_boolean.front_door", "on")

        player = desktop.entity(PLAYER)["entity_id"]
        half = TRACK_SECONDS / 2
        desktop.ha.call_service("media_player", "media_seek", entity_id=player, seek_position=half)
        page.get_by_role("button", name="Pause").click()
        desktop.wait_for_state(PLAYER, "paused")
        page.get_by_role("button", name="Play").wait_for()
        where = desktop.ha.states()[player]["attributes"]["media_position"]
        assert half <= where < TRACK_SECONDS
        bar = page.locator("hui-media-control-card ha-slider")
        wait_for(lambda: round(bar.evaluate("bar => bar.value")) == where, "the bar to stand there")
        screenshot(page, artifacts / "desktop-paused.png")

    device = f"/config/devices/device/{desktop.device['id']}"
    with open_page(device, height=1300) as page:
        page.get_by_text("Answered notification", exact=True).first.wait_for()
        screenshot(page, artifacts / "desktop-device.png")


def expect_switch(page: Page, *, checked: bool) -> None:
    """Wait until the switch of the screen is drawn so."""
    switch = page.locator("hui-toggle-entity-row").first.get_by_role("switch")
    expect(switch).to_be_checked(checked=checked)
