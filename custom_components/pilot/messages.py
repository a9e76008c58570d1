"""What Home Assistant's MQTT integration hands over."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeassistant.helpers.service_info.mqtt import ReceivePayloadType


def payload_bytes(payload: ReceivePayloadType) -> bytes:
    """Return a payload as it came.

    Pilot subscribes without an encoding and gets bytes, with one exception: two
    subscriptions of the very same topic filter share what the first of them asked for.
    """
    return payload.encode() if isinstance(payload, str) else bytes(payload)
