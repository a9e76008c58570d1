"""What is new in what hosts repeat."""

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from custom_components.pilot.messages import repetition
from custom_components.pilot.protocol.announce import parse_announce
from support.integration_host import ANNOUNCE, HOST_ID

if TYPE_CHECKING:
    from custom_components.pilot.protocol.announce import Announce


def parse(**changes: Any) -> Announce:
    announce = parse_announce(json.dumps(copy.deepcopy(ANNOUNCE) | changes).encode(), HOST_ID)
    assert announce is not None
    return announce


def test_an_announce_that_is_repeated_is_made_of_the_last_one() -> None:
    """By an agent that was started anew."""
    last, announce = parse(), parse(session="0123456789abcdef", sequence=[2, 1])

    repeated = repetition(last, announce)

    assert repeated == announce
    assert repeated.readings is last.readings
    assert repeated.host is last.host


@pytest.mark.parametrize(
    "changes",
    [
        {"readings": ANNOUNCE["readings"][1:]},
        {"collectors": ANNOUNCE["collectors"] | {"cpu": {"interval": 60}}},
        {"devices": {"aht20-1-38": {"name": "Cellar"}}},
        {"host": ANNOUNCE["host"] | {"name": "den-pc"}},
        {"agent": ANNOUNCE["agent"] | {"version": "0.2.0"}},
        {"events": [{"key": "session", "types": ["locked"]}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_one_that_says_something_else_is_none(changes: dict[str, Any]) -> None:
    """Whatever it is."""
    assert repetition(parse(), parse(**changes)) is None
