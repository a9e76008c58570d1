"""What the integration says of each kind, which takes no Home Assistant to see."""

from typing import TYPE_CHECKING

import pytest

from custom_components.pilot import sensor
from custom_components.pilot.protocol.catalogue import CATALOGUE, ReadingType

from .platforms import DESCRIPTIONS, KINDS

if TYPE_CHECKING:
    from homeassistant.const import Platform


@pytest.mark.parametrize("kind", sorted(sensor.DESCRIPTIONS))
def test_a_number_is_drawn_as_one_and_a_text_is_not(kind: str) -> None:
    """Home Assistant tells them apart by a precision."""
    description = sensor.DESCRIPTIONS[kind]

    is_number = CATALOGUE[kind].type is ReadingType.NUMBER
    assert (description.suggested_display_precision is not None) == is_number


@pytest.mark.parametrize(("kind", "platform"), sorted(KINDS))
def test_every_kind_has_its_translation(kind: str, platform: Platform) -> None:
    """Translations are found by the kind's name."""
    assert DESCRIPTIONS[platform][kind].translation_key == kind.replace(".", "_")
