"""Actions on whole rooms, and sentences to Assist, leave a computer on that could be shut down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from security.commanded import Commanded

    from stack.homeassistant import HomeAssistant

ACTIONS = (
    ("homeassistant", "turn_off"),
    ("homeassistant", "toggle"),
    ("switch", "turn_off"),
    ("switch", "toggle"),
    ("button", "press"),
)
FOR_ALL = tuple(action for action in ACTIONS if action[0] != "homeassistant")
"""What takes `entity_id: all`; the actions of Home Assistant's own domain refuse it."""
SENTENCES = {
    "en": (
        "turn off everything in the office",
        "turn off all switches in the office",
        "turn off everything on the ground",
        "turn off the switches in the office",
        "turn off the office",
        "turn off office-pc",
        "turn off office-pc power",
        "press office-pc suspend",
    ),
    "fr": (
        "éteins tout dans le bureau",
        "éteins le bureau",
        "éteins office-pc",
        "éteins office-pc alimentation",
    ),
}


class Surroundings:
    """The area, the floor and the labels by which a computer can be reached without its name."""

    def __init__(self, ha: HomeAssistant, host: Commanded) -> None:
        self._ha = ha
        self.floor = ha.ws("config/floor_registry/create", name="Ground")["floor_id"]
        self.labels = [
            ha.ws("config/label_registry/create", name=name)["label_id"]
            for name in ("Rooms for work", "Computers")
        ]
        room_label, device_label = self.labels
        self.area = ha.ws(
            "config/area_registry/create",
            name="Office",
            aliases=["Bureau"],
            floor_id=self.floor,
            labels=[room_label],
        )["area_id"]
        self._ha.ws(
            "config/device_registry/update",
            device_id=host.device["id"],
            area_id=self.area,
            labels=[device_label],
        )
        self.targets: list[dict[str, Any]] = [
            {"area_id": self.area},
            {"floor_id": self.floor},
            *({"label_id": label} for label in self.labels),
            {"device_id": host.device["id"]},
        ]

    def remove(self) -> None:
        """Leave nothing behind."""
        self._ha.ws("config/area_registry/delete", area_id=self.area)
        self._ha.ws("config/floor_registry/delete", floor_id=self.floor)
        for label in self.labels:
            self._ha.ws("config/label_registry/delete", label_id=label)


@pytest.fixture
def surroundings(ha: HomeAssistant, commanded: Commanded) -> Iterator[Surroundings]:
    """Return what leads to a paired computer besides its name."""
    surroundings = Surroundings(ha, commanded)
    yield surroundings
    surroundings.remove()


def _power(host: Commanded) -> str:
    """Return the id of the switch that shuts a computer down."""
    return str(host.wait_for_entity("power")["entity_id"])


def _say(ha: HomeAssistant, sentence: str, language: str = "en") -> str:
    """Say something to Assist, and return what kind of answer it gave."""
    answer = ha.ws(
        "conversation/process",
        text=sentence,
        language=language,
        agent_id="conversation.home_assistant",
    )
    return str(answer["response"]["response_type"])


def _shut_down_by_name(ha: HomeAssistant, host: Commanded) -> list[str]:
    """Switch the named switch off, and return everything that the machine was ever told."""
    ha.ws(
        "call_service",
        domain="switch",
        service="turn_off",
        service_data={"entity_id": _power(host)},
    )
    return wait_for(host.machine.orders, "the order of the switch that is named")


def test_actions_that_do_not_name_it_shut_nothing_down(
    ha: HomeAssistant, commanded: Commanded, surroundings: Surroundings
) -> None:
    for domain, service in ACTIONS:
        for target in surroundings.targets:
            ha.ws("call_service", domain=domain, service=service, target=target)

    for domain, service in FOR_ALL:
        ha.ws("call_service", domain=domain, service=service, target={"entity_id": "all"})

    # Orders stay in their sequence: an earlier one would stand before this.
    assert _shut_down_by_name(ha, commanded) == ["PowerOff"]


def test_sentences_to_assist_shut_nothing_down(
    ha: HomeAssistant, commanded: Commanded, surroundings: Surroundings
) -> None:
    answers = {
        sentence: _say(ha, sentence, language)
        for language, sentences in SENTENCES.items()
        for sentence in sentences
    }

    assert set(answers.values()) == {"error"}, answers
    assert _shut_down_by_name(ha, commanded) == ["PowerOff"]


def test_a_user_can_expose_the_switch_to_assist(
    ha: HomeAssistant, commanded: Commanded, surroundings: Surroundings
) -> None:
    ha.ws(
        "homeassistant/expose_entity",
        assistants=["conversation"],
        entity_ids=[_power(commanded)],
        should_expose=True,
    )

    answer = _say(ha, "turn off office-pc power")

    assert answer == "action_done"
    assert wait_for(commanded.machine.orders, "the order of Assist") == ["PowerOff"]
