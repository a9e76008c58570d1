"""What Home Assistant says and plays is heard on a host: real speech, a real sound server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from security.victim import Code

from stack import system
from stack.process import Process, wait_for
from support.agent_sound import SoundServer, tone, why_not
from support.unix_socket import accepts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeHost
    from harness.host import Host
    from harness.logs import Logs

pytestmark = pytest.mark.proves("media.play_media")

PLAYER = "media"
NOWHERE = "unix:path=/nowhere"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    if system.can_apt_install():
        system.require("dbus-daemon", "pulseaudio", "mpv")
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path / "sound"
    folder.mkdir()
    server = SoundServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def desktop(make_host: MakeHost, server: SoundServer, tmp_path: Path, logs: Logs) -> Iterator[Host]:
    """Return a paired host with a session whose helper has a sound server and a bus."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    address = f"unix:path={tmp_path}/bus"
    bus = Process(
        "dbus-daemon",
        ["dbus-daemon", "--session", f"--address={address}", "--nofork", "--nopidfile"],
        tmp_path / "bus.log",
    )
    bus.start()
    wait_for(lambda: accepts(tmp_path / "bus"), "the session's bus", process=bus)
    host = make_host(
        "desk-pc", env={"RUNTIME_DIRECTORY": str(folder), "DBUS_SYSTEM_BUS_ADDRESS": NOWHERE}
    ).start()
    flow = host.wait_until_offered()
    code = Code.on(host.agent)
    assert host.ha.confirm(flow["flow_id"], {"code": code.digits})["type"] == "create_entry"
    code.end()
    helper = Process(
        "session helper",
        [host.agent.process.command[0], "session", "--folder", str(folder)],
        tmp_path / "helper.log",
        env={
            "DBUS_SESSION_BUS_ADDRESS": address,
            "DBUS_SYSTEM_BUS_ADDRESS": NOWHERE,
            "HOME": str(tmp_path),
            "PULSE_SERVER": server.address,
        },
    )
    logs.watch(helper)
    helper.start()
    host.wait_for_entity(PLAYER, timeout=60)
    yield host
    helper.stop()
    bus.stop()


def call(host: Host, domain: str, service: str, **data: Any) -> None:
    """Call an action on the player; an error is raised as the user sees it."""
    entity_id = host.entity(PLAYER)["entity_id"]
    data = {"entity_id": entity_id, **data}
    host.ha.ws("call_service", domain=domain, service=service, service_data=data)


def test_speech_and_files_are_heard(desktop: Host, server: SoundServer) -> None:
    desktop.wait_for_state(PLAYER, "off")

    with server.listen("speaker") as loudest:
        call(desktop, "tts", "demo_say", message="The door is open.")
        wait_for(lambda: loudest() > 0.01, "speech that is heard")
    desktop.wait_for_state(PLAYER, "off")

    (desktop.ha.folder / "media" / "chime.wav").write_bytes(tone(60))
    with server.listen("speaker") as loudest:
        call(
            desktop,
            "media_player",
            "play_media",
            media_content_type="music",
            media_content_id="media-source://media_source/local/chime.wav",
        )
        wait_for(lambda: loudest() > 0.2, "a tone that is heard")
    shown = desktop.wait_for_state(PLAYER, "playing")
    assert shown["attributes"]["media_title"] == "chime"
    assert shown["attributes"]["source"] == "Home Assistant"

    call(desktop, "media_player", "media_stop")
    desktop.wait_for_state(PLAYER, "off")
