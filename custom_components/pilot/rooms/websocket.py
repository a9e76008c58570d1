"""Placements for cards."""

from math import inf
from typing import TYPE_CHECKING, Any

from homeassistant.components import websocket_api
from homeassistant.components.websocket_api.decorators import websocket_command
from homeassistant.core import HomeAssistant, callback
import probatio

from ..access import websocket_caller
from . import view
from .runtime import PLACEMENTS

if TYPE_CHECKING:
    from homeassistant.components.websocket_api.connection import ActiveConnection


@callback
def async_setup_websocket(hass: HomeAssistant) -> None:
    """Register the commands."""
    websocket_api.async_register_command(hass, _list)
    websocket_api.async_register_command(hass, _subscribe)


@websocket_command(
    {
        probatio.Required("type"): "pilot/placements/list",
        probatio.Optional("device_ids"): [str],
        probatio.Optional("area_ids"): [str],
        probatio.Optional("start"): view.valid_moment,
        probatio.Optional("end"): view.valid_moment,
    }
)
@callback
def _list(hass: HomeAssistant, connection: ActiveConnection, msg: dict[str, Any]) -> None:
    """Return placements, by device, area and period."""
    tracker, caller = hass.data[PLACEMENTS].tracker, websocket_caller(hass, connection, msg)
    start, end = msg.get("start"), msg.get("end")
    found = view.placements(
        tracker,
        devices=view.devices(tracker, caller, msg.get("device_ids")),
        areas=msg.get("area_ids"),
        start=-inf if start is None else view.seconds_of(start),
        end=inf if end is None else view.seconds_of(end),
    )
    connection.send_result(msg["id"], {"placements": found})


@websocket_command({probatio.Required("type"): "pilot/placements/subscribe"})
@callback
def _subscribe(hass: HomeAssistant, connection: ActiveConnection, msg: dict[str, Any]) -> None:
    """Send all placements, now and whenever they change."""
    tracker, caller = hass.data[PLACEMENTS].tracker, websocket_caller(hass, connection, msg)
    sent: dict[str, Any] = {}

    @callback
    def send() -> None:
        nonlocal sent
        if (now := view.everything(tracker, caller)) != sent:
            sent = now
            connection.send_event(msg["id"], now)

    connection.subscriptions[msg["id"]] = tracker.async_listen(send)
    connection.send_result(msg["id"])
    send()
