"""Sound through a session helper, with a real PulseAudio."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import ChoiceArgument
from companion_agent.plugins.sound.plugin import SoundPlugin
from support.agent_host import FakePlatform
from support.agent_sound import tone
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_desktop import AgentEnd
    from support.agent_sound import SoundServer

pytestmark = pytest.mark.proves("sound.*")

VOLUME = Thing("output_volume")


@pytest.fixture
def sound(agent: AgentEnd) -> SoundPlugin:
    return SoundPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]


@pytest.fixture
def start(
    agent: AgentEnd, tmp_path: Path, run_command: Callable[..., subprocess.Popen[str]]
) -> Callable[[str], object]:
    """Start a session helper that looks for a sound server at an address."""
    agent.folder.chmod(0o755)
    return lambda address: run_command(
        "session", "--folder", str(agent.folder),
        DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere", DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere",
        HOME=str(tmp_path), PULSE_SERVER=address,
    )  # fmt: skip


@pytest.fixture
def helper(agent: AgentEnd, server: SoundServer, start: Callable[[str], object]) -> None:
    """A session helper that has said what it reads."""
    start(server.address)
    agent.wait_for_value("sound", VOLUME, 100)


@pytest.mark.usefixtures("helper")
def test_devices_are_what_the_server_has(sound: SoundPlugin) -> None:
    assert sound.collect() == {
        "output": "Speaker", "output_volume": 100, "output_muted": False,
        "input": "Microphone", "input_volume": 100, "input_muted": False,
        "microphone_in_use": False, "microphone_programs": "",
    }  # fmt: skip
    choices = {command.key: command.args.get("value") for command in sound.commands()}
    assert choices["sound.output"] == ChoiceArgument(("Speaker", "Headset"))
    assert choices["sound.input"] == ChoiceArgument(("Microphone",))


@pytest.mark.usefixtures("helper")
def test_what_is_set_is_read_back(sound: SoundPlugin, server: SoundServer) -> None:
    sound.run("sound.output", {"value": "Headset"})
    sound.run("sound.output_volume", {"value": 30})
    sound.run("sound.output_muted", {"value": 1})
    sound.run("sound.input_volume", {"value": 0})

    wait_until(lambda: sound.collect()["input_volume"] == 0)
    assert sound.collect() == {
        "output": "Headset", "output_volume": 30, "output_muted": True,
        "input": "Microphone", "input_volume": 0, "input_muted": False,
        "microphone_in_use": False, "microphone_programs": "",
    }  # fmt: skip
    with server.by_hand() as mixer:
        assert mixer.server_info().default_sink_name == "headset"
        assert mixer.get_sink_by_name("headset").volume.value_flat == pytest.approx(0.3, abs=0.001)
        assert mixer.get_sink_by_name("speaker").volume.value_flat == 1


@pytest.mark.usefixtures("helper")
def test_a_volume_keeps_the_balance(sound: SoundPlugin, server: SoundServer) -> None:
    with server.by_hand() as mixer:
        speaker = mixer.get_sink_by_name("speaker")
        speaker.volume.values = [0.8, 0.4]
        mixer.volume_set(speaker, speaker.volume)

        sound.run("sound.output_volume", {"value": 40})

        values = mixer.get_sink_by_name("speaker").volume.values
    assert values == pytest.approx([0.4, 0.2], abs=0.001)


@pytest.mark.usefixtures("helper")
def test_what_others_change_is_followed(agent: AgentEnd, server: SoundServer) -> None:
    with server.by_hand() as mixer:
        mixer.volume_set_all_chans(mixer.get_sink_by_name("speaker"), 0.55)
        agent.wait_for_value("sound", VOLUME, 55)

        recording = mixer.module_load("module-loopback", "source=mic sink=speaker")
        agent.wait_for_value("sound", Thing("microphone_in_use"), True)
        agent.wait_for_value("sound", Thing("microphone_programs"), "Loopback to Speaker")
        mixer.module_unload(recording)
        agent.wait_for_value("sound", Thing("microphone_in_use"), False)


@pytest.mark.usefixtures("helper")
def test_what_a_program_plays_is_no_microphone(agent: AgentEnd, server: SoundServer) -> None:
    with server.by_hand() as mixer:
        mixer.module_load("module-loopback", "source=speaker.monitor sink=headset")
        mixer.volume_set_all_chans(mixer.get_sink_by_name("speaker"), 0.2)

    agent.wait_for_value("sound", VOLUME, 20)
    assert agent.sessions.view("sound").values[Thing("microphone_in_use")] is False


@pytest.mark.usefixtures("helper")
def test_a_device_that_comes_can_be_chosen(sound: SoundPlugin, server: SoundServer) -> None:
    with server.by_hand() as mixer:
        mixer.module_load(
            "module-null-sink", "sink_name=hdmi sink_properties=device.description=HDMI"
        )

        wait_until(
            lambda: (
                sound.commands()[0].args["value"] == ChoiceArgument(("Speaker", "Headset", "HDMI"))
            )
        )
    sound.run("sound.output", {"value": "HDMI"})
    wait_until(lambda: sound.collect()["output"] == "HDMI")


@pytest.mark.usefixtures("helper")
def test_a_device_that_has_gone_cannot_be_chosen(sound: SoundPlugin, server: SoundServer) -> None:
    with server.by_hand() as mixer:
        headset = mixer.get_sink_by_name("headset")
        mixer.module_unload(headset.owner_module)

        with pytest.raises(CommandError, match="there is no device Headset now"):
            sound.run("sound.output", {"value": "Headset"})


@pytest.mark.usefixtures("helper")
def test_a_server_that_is_started_anew_is_found_again(
    agent: AgentEnd, sound: SoundPlugin, server: SoundServer
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
    agent.wait_for_value("sound", VOLUME, 100)


def test_without_a_server_it_says_so(
    agent: AgentEnd, sound: SoundPlugin, start: Callable[[str], object]
) -> None:
    pytest.importorskip("pulsectl_asyncio", reason="the extra `sound` is not installed")
    start("unix:/nowhere")
    agent.wait_for_offer("sound")

    with pytest.raises(Unavailable, match="no sound server"):
        sound.collect()


@pytest.fixture
def play(server: SoundServer, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a program that plays for a minute under a name."""
    file = tmp_path / "tone.wav"
    file.write_bytes(tone(60))
    started: list[subprocess.Popen[bytes]] = []

    def play(name: str) -> subprocess.Popen[bytes]:
        before = len(server.streams_of(name))
        started.append(
            subprocess.Popen(
                ["paplay", f"--server={server.address}", f"--client-name={name}", file]
            )
        )
        wait_until(lambda: len(server.streams_of(name)) > before)
        return started[-1]

    yield play
    for process in started:
        process.kill()
        process.wait()


def programs(sound: SoundPlugin) -> dict[str, tuple[int, bool, bool]]:
    output = sound.run("sound.programs", {"session": ""})
    assert output is not None
    return {
        one["name"]: (one["volume"], one["muted"], one["playing"])
        for one in json.loads(output.text)
    }


@pytest.mark.usefixtures("helper")
def test_a_program_has_a_volume_of_its_own(
    sound: SoundPlugin,
    server: SoundServer,
    play: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    play("Firefox")
    tab = play("Firefox")
    play("Radio")

    sound.run("sound.program_volume", {"program": "firefox", "value": 30, "session": ""})
    sound.run("sound.program_muted", {"program": "Radio", "value": 1, "session": ""})

    assert programs(sound) == {"Firefox": (30, False, True), "Radio": (100, True, True)}
    assert [round(one.volume.value_flat, 2) for one in server.streams_of("Firefox")] == [0.3, 0.3]
    tab.kill()
    wait_until(lambda: len(server.streams_of("Firefox")) == 1)
    assert programs(sound)["Firefox"] == (30, False, True)


@pytest.mark.usefixtures("helper")
def test_a_program_that_does_not_play_is_named_with_those_that_do(
    sound: SoundPlugin, play: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    play("Radio")

    with pytest.raises(CommandError, match="Firefox plays nothing now; what plays: Radio"):
        sound.run("sound.program_volume", {"program": "Firefox", "value": 30, "session": ""})


@pytest.mark.usefixtures("helper")
def test_programs_that_record_are_named(agent: AgentEnd, server: SoundServer) -> None:
    record = ["parec", f"--server={server.address}", "--device=mic", "--client-name=Zoom"]
    meeting = subprocess.Popen(record, stdout=subprocess.DEVNULL)
    try:
        agent.wait_for_value("sound", Thing("microphone_programs"), "Zoom")
    finally:
        meeting.kill()
        meeting.wait()

    agent.wait_for_value("sound", Thing("microphone_in_use"), False)
    agent.wait_for_value("sound", Thing("microphone_programs"), "")
