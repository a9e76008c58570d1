"""What Home Assistant's MQTT integration hands over, and what is new in it."""

from typing import TYPE_CHECKING

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
