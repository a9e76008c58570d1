"""The sound of a paired host's desktop."""

import json
from time import time
from typing import TYPE_CHECKING, Any, ClassVar

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import probatio
import pytest

from companion_agent.errors import CommandError
from companion_agent.models import Argument, ChoiceArgument, Command, Output, TextArgument
from companion_agent.plugins.base import CommandProvider
from companion_agent.plugins.sound.plugin import SoundPlugin
from support.integration_agent import BASE, FakeAgent, FakeBroker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from syrupy.assertion import SnapshotAssertion

OUTPUT = "select.office_pc_sound_output"
INPUT = "select.office_pc_sound_input"
VOLUME = "number.office_pc_volume"
MUTE = "switch.office_pc_mute"
MICROPHONE = "binary_sensor.office_pc_microphone"
ENTITIES = (
    OUTPUT,
    INPUT,
    VOLUME,
    "number.office_pc_microphone_volume",
    MUTE,
    "switch.office_pc_microphone_mute",
    MICROPHONE,
)
PROGRAMS = [
    {"name": "Firefox", "volume": 40, "muted": False, "playing": True},
    {"name": "Radio", "volume": 100, "muted": True, "playing": False},
]


class Sound(CommandProvider):
    """The sound of a session, as a host offers it."""

    name: ClassVar[str] = "sound"

    def __init__(self, bus: FakeBroker) -> None:
        """Begin with two outputs."""
        self.bus = bus
        self.outputs = ("Speaker", "Headset")
        self.values: dict[str, Any] = {
            "output": "Speaker",
            "output_volume": 40,
            "output_muted": False,
            "input": "Microphone",
            "input_volume": 100,
            "input_muted": True,
            "microphone_in_use": False,
            "microphone_programs": "",
        }
        self.programs: Any = PROGRAMS
        self.failure = ""

    def commands(self) -> Sequence[Command]:
        """Offer what the agent offers of sound."""
        percent = Argument("percent", 0, 100, step=1)
        switch = Argument("boolean", 0, 1, step=1)
        arguments = {
            "output": ChoiceArgument(self.outputs),
            "output_volume": percent,
            "output_muted": switch,
            "input": ChoiceArgument(("Microphone",)),
            "input_volume": percent,
            "input_muted": switch,
        }
        settings = [
            Command(f"sound.{name}", {"value": argument}, state=f"sound.{name}")
            for name, argument in arguments.items()
        ]
        session = {"session": TextArgument(longest=64, default="")}
        return settings + [
            Command(one.key, {**one.args, **session})
            for one in SoundPlugin.declared_commands
            if one.key.startswith("sound.program")
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Set something, or list the programs."""
        if self.failure:
            raise CommandError("failed", self.failure)
        name = key.removeprefix("sound.")
        if name == "programs":
            return Output(json.dumps(self.programs))
        if "program" in args:
            return None
        boolean = isinstance(self.values[name], bool)
        self.values[name] = args["value"] == 1 if boolean else args["value"]
        self.say()
        return None

    def say(self) -> None:
        """Publish what is read."""
        parts = {"sound": {"ts": time(), "values": self.values}}
        self.bus.fire(f"{BASE}/state", json.dumps({"collectors": parts}))


@pytest.fixture
async def sound(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> Sound:
    """Return the sound of the paired host."""
    sound = Sound(bus)
    agent.announced["readings"] = [{"key": f"sound.{name}"} for name in sound.values]
    agent.announced["collectors"] = {"sound": {"interval": 60}}
    agent.dispatcher.offer({agent.power: agent.power.commands(), sound: sound.commands()})
    agent.announce()
    sound.say()
    await hass.async_block_till_done()
    return sound


async def test_entities_of_sound(
    hass: HomeAssistant,
    sound: Sound,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Each has its name, icon and category, and shows what is read."""
    for entity_id in ENTITIES:
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


@pytest.mark.parametrize(
    ("entity_id", "service", "data", "shown"),
    [
        (OUTPUT, "select.select_option", {"option": "Headset"}, "Headset"),
        (VOLUME, "number.set_value", {"value": 55}, "55.0"),
        (MUTE, "switch.turn_on", {}, "on"),
    ],
)
async def test_it_is_set_by_the_host(
    hass: HomeAssistant,
    sound: Sound,
    entity_id: str,
    service: str,
    data: dict[str, Any],
    shown: str,
) -> None:
    """The host is asked, and says by itself what is so."""
    await hass.services.async_call(
        *service.split("."), {"entity_id": entity_id, **data}, blocking=True
    )
    await hass.async_block_till_done()

    state = hass.states.get(entity_id)
    assert state is not None
    assert state.state == shown


async def test_what_does_not_work_is_said_and_shown_as_it_is(
    hass: HomeAssistant, sound: Sound
) -> None:
    """A device that was unplugged in the same moment, say."""
    sound.failure = "there is no device Headset now"

    with pytest.raises(HomeAssistantError, match="no device Headset"):
        await hass.services.async_call(
            "select", "select_option", {"entity_id": OUTPUT, "option": "Headset"}, blocking=True
        )

    state = hass.states.get(OUTPUT)
    assert state is not None
    assert state.state == "Speaker"


async def test_what_is_louder_than_can_be_set_is_shown(hass: HomeAssistant, sound: Sound) -> None:
    """PulseAudio's own settings go beyond 100 %."""
    sound.values["output_volume"] = 153
    sound.say()
    await hass.async_block_till_done()

    assert hass.states.get(VOLUME).state == "153"


async def test_a_device_that_comes_can_be_chosen(
    hass: HomeAssistant, sound: Sound, agent: FakeAgent
) -> None:
    """The options follow the announce."""
    sound.outputs = (*sound.outputs, "HDMI")
    agent.dispatcher.offer({agent.power: agent.power.commands(), sound: sound.commands()})
    agent.announce()
    await hass.async_block_till_done()

    state = hass.states.get(OUTPUT)
    assert state is not None
    assert state.attributes["options"] == ["Speaker", "Headset", "HDMI"]


async def test_the_microphone_names_the_programs_that_record(
    hass: HomeAssistant, sound: Sound
) -> None:
    """As an attribute, for automations."""
    sound.values |= {"microphone_in_use": True, "microphone_programs": "Firefox, Zoom"}
    sound.say()
    await hass.async_block_till_done()

    state = hass.states.get(MICROPHONE)
    assert state is not None
    assert state.state == "on"
    assert state.attributes["programs"] == ["Firefox", "Zoom"]


async def call(hass: HomeAssistant, action: str, **data: Any) -> Any:
    return await hass.services.async_call(
        "pilot",
        action,
        data,
        target={"entity_id": VOLUME},
        blocking=True,
        return_response=action == "get_programs",
    )


async def test_programs_that_play_are_listed(
    hass: HomeAssistant, sound: Sound, bus: FakeBroker
) -> None:
    """For automations, and to know how they are called."""
    assert await call(hass, "get_programs") == {"office-pc": {"programs": PROGRAMS}}
    assert [one["args"] for one in bus.commands("sound.programs")] == [{}]


async def test_what_is_no_program_is_left_out(hass: HomeAssistant, sound: Sound) -> None:
    """A host may say anything."""
    sound.programs = [{"name": "Firefox"}, 7, {**PROGRAMS[0], "secret": 1}]

    assert await call(hass, "get_programs") == {"office-pc": {"programs": PROGRAMS[:1]}}


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        ({"volume": 30}, [("sound.program_volume", 30)]),
        ({"muted": True}, [("sound.program_muted", 1)]),
        (
            {"volume": 0, "muted": False},
            [("sound.program_volume", 0), ("sound.program_muted", 0)],
        ),
    ],
)
async def test_a_program_is_set(
    hass: HomeAssistant,
    sound: Sound,
    bus: FakeBroker,
    data: dict[str, Any],
    asked: list[tuple[str, int]],
) -> None:
    """Its volume, whether it is muted, or both."""
    await call(hass, "set_program_volume", program="Firefox", user="anna", **data)

    for key, value in asked:
        assert [one["args"] for one in bus.commands(key)] == [
            {"program": "Firefox", "value": value, "session": "anna"}
        ]


async def test_setting_nothing_is_refused(hass: HomeAssistant, sound: Sound) -> None:
    """A call that could do nothing is a mistake."""
    with pytest.raises(probatio.Invalid, match="at least one of"):
        await call(hass, "set_program_volume", program="Firefox")


async def test_a_host_without_sound_says_so(hass: HomeAssistant, paired: MockConfigEntry) -> None:
    """No user has logged in, say."""
    with pytest.raises(ServiceValidationError, match="offers no volume of programs"):
        await hass.services.async_call(
            "pilot",
            "set_program_volume",
            {"program": "Firefox", "volume": 30},
            target={"entity_id": "switch.office_pc_power"},
            blocking=True,
        )
