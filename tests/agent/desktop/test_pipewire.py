"""Sound and media through a session helper, with a real PipeWire and WirePlumber."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import Unavailable
from companion_agent.models import ChoiceArgument
from companion_agent.plugins.media.inbox import MAX_PART
from companion_agent.plugins.media.plugin import MediaPlugin
from companion_agent.plugins.sound.plugin import SoundPlugin
from support.agent_host import FakePlatform
from support.agent_media import why_not
from support.agent_sound import PipeWireServer, tone, why_no_pipewire
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_desktop import AgentEnd
    from support.agent_logind import SystemBus


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipeWireServer]:
    if reason := why_no_pipewire():
        pytest.skip(reason)
    pytest.importorskip("pulsectl_asyncio", reason="the extra `sound` is not installed")
    server = PipeWireServer(tmp_path_factory.mktemp("pipewire"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def sound(agent: AgentEnd) -> SoundPlugin:
    return SoundPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _helper(
    agent: AgentEnd,
    bus: SystemBus,
    server: PipeWireServer,
    tmp_path: Path,
    run_command: Callable[..., subprocess.Popen[str]],
) -> None:
    """A session helper that has said what it reads."""
    agent.folder.chmod(0o755)
    run_command(
        "session", "--folder", str(agent.folder), HOME=str(tmp_path),
        DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere", DBUS_SESSION_BUS_ADDRESS=bus.address,
        PULSE_SERVER=server.address,
    )  # fmt: skip
    agent.wait_for_value("sound", Thing("input"), "Microphone")


def test_devices_and_programs_are_set_and_followed(
    agent: AgentEnd, sound: SoundPlugin, server: PipeWireServer, tmp_path: Path
) -> None:
    choices = {command.key: command.args.get("value") for command in sound.commands()}
    assert choices["sound.output"] == ChoiceArgument(("Speaker", "Headset"))

    # Devices without a stream are suspended.
    sound.run("sound.output", {"value": "Headset"})
    sound.run("sound.output_volume", {"value": 30})
    sound.run("sound.output_muted", {"value": 1})
    wait_until(lambda: sound.collect()["output_muted"] is True)
    seen = sound.collect()
    assert (seen["output"], seen["output_volume"], seen["microphone_in_use"]) == (
        "Headset", 30, False,
    )  # fmt: skip

    (tmp_path / "tone.wav").write_bytes(tone(60))
    with (
        subprocess.Popen(
            ["paplay", f"--server={server.address}", "--client-name=Radio", tmp_path / "tone.wav"]
        ) as radio,
        subprocess.Popen(
            ["parec", f"--server={server.address}", "--device=mic", "--client-name=Zoom"],
            stdout=subprocess.DEVNULL,
        ) as meeting,
    ):
        try:
            agent.wait_for_value("sound", Thing("microphone_programs"), "Zoom")
            wait_until(lambda: server.streams_of("Radio"))
            sound.run("sound.program_volume", {"program": "radio", "value": 40, "session": ""})
            output = sound.run("sound.programs", {"session": ""})
        finally:
            radio.kill()
            meeting.kill()
    assert output is not None
    assert json.loads(output.text) == [
        {"name": "Radio", "volume": 40, "muted": False, "playing": True}
    ]
    agent.wait_for_value("sound", Thing("microphone_in_use"), False)


def test_media_is_heard(agent: AgentEnd, server: PipeWireServer) -> None:
    if reason := why_not():
        pytest.skip(reason)
    media = MediaPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]
    agent.wait_for_value("media", Thing("state"), "no_player")
    sound = tone(60)

    for offset in range(0, len(sound), MAX_PART):
        part = base64.b64encode(sound[offset : offset + MAX_PART]).decode()
        args = {"id": "1", "offset": offset, "data": part, "session": ""}
        media.run("media.load", args)
    media.run("media.play_media", {"id": "1", "title": "", "announce": 0, "session": ""})

    with server.listen("speaker") as loudest:
        wait_until(lambda: loudest() > 0.2)
    media.run("media.volume", {"value": 50, "session": ""})
    media.run("media.stop", {"session": ""})
    agent.wait_for_value("media", Thing("state"), "no_player")


def test_a_server_that_is_started_anew_is_found_again(
    agent: AgentEnd, sound: SoundPlugin, server: PipeWireServer
) -> None:
    def has_gone() -> bool:
        try:
            sound.collect()
        except Unavailable as error:
            return error.reason == "the sound server has gone"
        return False

    server.stop()
    wait_until(has_gone)

    server.start()
    agent.wait_for_value("sound", Thing("input"), "Microphone")
