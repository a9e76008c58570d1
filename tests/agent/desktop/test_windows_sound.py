"""Sound of a Windows session, at a Core Audio that the tests play."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
import json
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.sound import core_audio
from companion_agent.plugins.sound.windows import WindowsSoundDomain
from companion_agent.winapi import audio
from support.agent_desktop import FakeContext
from support.windows_api import FakeWindows
from support.windows_sound import FakeProgram, FakeSound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.windows_sound import FakeDevice

pytestmark = pytest.mark.proves("sound.*")

OUTPUT, INPUT = Thing("output"), Thing("input")
OUTPUT_VOLUME, OUTPUT_MUTED = Thing("output_volume"), Thing("output_muted")
INPUT_VOLUME = Thing("input_volume")
IN_USE, RECORDERS = Thing("microphone_in_use"), Thing("microphone_programs")
PROGRAMS = {4: r"C:\Firefox\firefox.exe", 5: r"C:\Zoom\Zoom.exe", 6: r"C:\Firefox\firefox.exe"}


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    def name(process: int, _: int, text: Any, __: Any) -> int:
        text.value = PROGRAMS[process]
        return 1

    def open_process(_: int, __: int, process: int) -> int:
        return process if process in PROGRAMS else windows.fail(87)

    windows = FakeWindows(
        {
            "kernel32.OpenProcess": open_process,
            "kernel32.QueryFullProcessImageNameW": name,
            "kernel32.CloseHandle": lambda _: 1,
        }
    )
    return windows.install(monkeypatch)


@pytest.fixture
def sound(windows: FakeWindows) -> FakeSound:
    return FakeSound(windows)


@pytest.fixture
def speaker(sound: FakeSound) -> FakeDevice:
    return sound.plug_in(audio.OUTPUT, "Speaker (High Definition Audio)", default=True)


@asynccontextmanager
async def started() -> AsyncIterator[tuple[FakeContext, WindowsSoundDomain]]:
    context = FakeContext()
    domain = WindowsSoundDomain(context)
    context.offer(await domain.start())
    try:
        yield context, domain
    finally:
        await domain.stop()


def play(act: Callable[[], Any]) -> None:
    asyncio.run(act())


def test_devices_are_read_with_volume_and_mute(sound: FakeSound, speaker: FakeDevice) -> None:
    sound.plug_in(audio.OUTPUT, "Headset")
    sound.plug_in(audio.INPUT, "Microphone", default=True).level = 0.73

    async def act() -> None:
        async with started() as (context, _):
            assert context.values == {
                OUTPUT: "Speaker (High Definition Audio)",
                OUTPUT_VOLUME: 50,
                OUTPUT_MUTED: False,
                INPUT: "Microphone",
                INPUT_VOLUME: 73,
                Thing("input_muted"): False,
                IN_USE: False,
                RECORDERS: "",
            }
            assert context.offered.options[OUTPUT] == (
                "Speaker (High Definition Audio)", "Headset",
            )  # fmt: skip
            assert context.offered.way == "Core Audio"

    play(act)


def test_nothing_is_held_afterwards(sound: FakeSound, speaker: FakeDevice) -> None:
    microphone = sound.plug_in(audio.INPUT, "Microphone", default=True)
    microphone.begin(FakeProgram(5))
    speaker.begin(FakeProgram(4))

    async def act() -> None:
        async with started() as (_, domain):
            await domain.call(Thing("programs"), {})
            assert sound.held() > 0

    play(act)
    assert sound.held() == 0


def test_volume_and_mute_are_set_and_read_back(sound: FakeSound, speaker: FakeDevice) -> None:
    async def act() -> None:
        async with started() as (context, domain):
            await domain.call(OUTPUT_VOLUME, {"value": 37})
            await domain.call(OUTPUT_MUTED, {"value": 1})
            assert (round(speaker.level, 2), speaker.muted) == (0.37, True)
            assert (context.values[OUTPUT_VOLUME], context.values[OUTPUT_MUTED]) == (37, True)

    play(act)


def test_a_device_that_refuses_is_a_failure(sound: FakeSound, speaker: FakeDevice) -> None:
    speaker.obeys = False

    async def act() -> None:
        async with started() as (_, domain):
            with pytest.raises(CommandError, match=r"Windows refuses it: .*SetMasterVolume"):
                await domain.call(OUTPUT_VOLUME, {"value": 37})

    play(act)


def test_a_knob_is_heard_of(sound: FakeSound, speaker: FakeDevice) -> None:
    async def act() -> None:
        async with started() as (context, _):
            await asyncio.to_thread(speaker.turn, 0.9)
            await context.until(lambda: context.values[OUTPUT_VOLUME] == 90)

    play(act)


def test_another_default_device_is_chosen(sound: FakeSound, speaker: FakeDevice) -> None:
    headset = sound.plug_in(audio.OUTPUT, "Headset")

    async def act() -> None:
        async with started() as (context, domain):
            await domain.call(OUTPUT, {"value": "Headset"})
            assert sound.default[audio.OUTPUT] == headset.identity
            assert context.values[OUTPUT] == "Headset"
            with pytest.raises(CommandError, match="there is no device Radio now"):
                await domain.call(OUTPUT, {"value": "Radio"})

    play(act)


def test_a_windows_that_lets_nothing_be_chosen_says_so(
    sound: FakeSound, speaker: FakeDevice
) -> None:
    sound.forget_chooser()

    async def act() -> None:
        async with started() as (context, _):
            assert OUTPUT in context.offered.readings
            assert OUTPUT not in context.offered.commands
            assert OUTPUT_VOLUME in context.offered.commands
            assert "lets no program choose" in context.offered.why["output"]

    play(act)


def test_a_device_that_is_plugged_in_is_found(sound: FakeSound, speaker: FakeDevice) -> None:
    async def act() -> None:
        async with started() as (context, _):
            assert context.offered.why["input"] == "there is no device"
            await asyncio.to_thread(sound.plug_in, audio.INPUT, "Microphone", default=True)
            await context.until(lambda: context.values.get(INPUT) == "Microphone")

    play(act)


def test_without_a_default_device_there_is_no_volume(sound: FakeSound) -> None:
    sound.plug_in(audio.OUTPUT, "Headset")

    async def act() -> None:
        async with started() as (context, domain):
            assert context.values[OUTPUT] is None
            with pytest.raises(CommandError, match="there is no device now"):
                await domain.call(OUTPUT_VOLUME, {"value": 37})

    play(act)


def test_two_devices_of_one_name_are_told_apart(sound: FakeSound, speaker: FakeDevice) -> None:
    other = sound.plug_in(audio.OUTPUT, speaker.name)

    async def act() -> None:
        async with started() as (context, domain):
            _, name = context.offered.options[OUTPUT]
            await domain.call(OUTPUT, {"value": name})
            assert sound.default[audio.OUTPUT] == other.identity

    play(act)


def test_who_records_is_told(sound: FakeSound, speaker: FakeDevice) -> None:
    microphone = sound.plug_in(audio.INPUT, "Microphone", default=True)
    waiting = FakeProgram(4, audio.INACTIVE)
    microphone.begin(waiting)

    async def act() -> None:
        async with started() as (context, _):
            assert context.values[IN_USE] is False
            await asyncio.to_thread(microphone.begin, FakeProgram(5))
            await context.until(lambda: context.values[RECORDERS] == "Zoom")
            await asyncio.to_thread(waiting.become, audio.ACTIVE)
            await context.until(lambda: context.values[RECORDERS] == "Zoom, firefox")
            for one in microphone.programs:
                await asyncio.to_thread(one.become, audio.EXPIRED)
            await context.until(lambda: context.values[IN_USE] is False)

    play(act)


def test_programs_are_listed_and_turned_down(sound: FakeSound, speaker: FakeDevice) -> None:
    windows_of_firefox = FakeProgram(4), FakeProgram(6, audio.INACTIVE)
    ended, unknown = FakeProgram(5, audio.EXPIRED), FakeProgram(99)
    for one in (*windows_of_firefox, ended, unknown, FakeProgram(0, system=True)):
        speaker.begin(one)

    async def act() -> None:
        async with started() as (_, domain):
            await domain.call(Thing("program_volume"), {"program": "Firefox", "value": 40})
            await domain.call(Thing("program_muted"), {"program": "Windows", "value": 1})
            answer = await domain.call(Thing("programs"), {})
            assert answer
            assert json.loads(str(answer["programs"])) == [
                {"name": "Windows", "volume": 100, "muted": True, "playing": True},
                {"name": "firefox", "volume": 40, "muted": False, "playing": True},
                {"name": "unknown", "volume": 100, "muted": False, "playing": True},
            ]
            with pytest.raises(CommandError, match="vlc plays nothing now; what plays: Windows, "):
                await domain.call(Thing("program_volume"), {"program": "vlc", "value": 40})

    play(act)
    assert {round(one.level, 2) for one in windows_of_firefox} == {0.4}


def test_the_audio_service_that_ends_is_heard_again(
    sound: FakeSound, speaker: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_audio, "LOOK_AGAIN", 0.05)

    async def act() -> None:
        async with started() as (context, _):
            sound.serves = False
            await asyncio.to_thread(sound.tell)
            await context.until(lambda: "does not answer" in context.offered.why.get("", ""))
            sound.serves = True
            await context.until(lambda: OUTPUT in context.offered.readings)

    play(act)


@pytest.mark.usefixtures("windows")
def test_without_core_audio_and_without_a_record_nothing_is_offered() -> None:
    async def act() -> None:
        with pytest.raises(Unavailable, match=r"no Core Audio.*; Windows has no record"):
            async with started():
                pass

    play(act)
