"""What Home Assistant's MQTT integration hands over, and what is new in it."""

from typing import TYPE_CHECKING

from .protocol.validation import UNPRINTABLE

if TYPE_CHECKING:
    from homeassistant.helpers.service_info.mqtt import ReceivePayloadType

    from .protocol.announce import Announce


def payload_bytes(payload: ReceivePayloadType) -> bytes:
    """Return a payload as it came.

    Pilot subscribes without an encoding and gets bytes, with one exception: two
    subscriptions of the very same topic filter share what the first of them asked for.
    """
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def repetition(last: Announce, announce: Announce) -> Announce | None:
    """Return an announce made of the last one where it describes the very same; None otherwise.

    Hosts repeat their announces with another place in the order, and another session where the
    agent was started anew.
    """
    repeated = last._replace(session=announce.session, sequence=announce.sequence)
    return repeated if repeated == announce else None


def one_line(text: str) -> str:
    """Return a name as Home Assistant keeps it, in its registries and its log.

    What begins a new line, turns the direction of writing or commands a terminal is left out. What
    joins letters and pictures stays: there are languages that need it.
    """
    return UNPRINTABLE.sub(lambda found: " " if found[0].isspace() else "", text)
