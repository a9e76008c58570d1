"""Tells an action that names an entity from one on `entity_id: all`.

Home Assistant leaves entities with a category out of actions on areas, floors, labels and devices,
but not out of `entity_id: all`: "switch everything off when we leave" would end the work on every
computer of the house. An entity is not told what an action was called for; it has the context, and
so does the event that Home Assistant fires for each action.
"""

import asyncio
from collections import OrderedDict
from typing import Any, Final

from homeassistant.const import (
    ATTR_ENTITY_ID,
    ATTR_SERVICE_DATA,
    ENTITY_MATCH_ALL,
    EVENT_CALL_SERVICE,
)
from homeassistant.core import Context, Event, HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

_MAX_CONTEXTS: Final = 100
"""Calls that are remembered; each is asked about at once, and no call has an end to wait for."""

_CONTEXTS: HassKey[OrderedDict[str, None]] = HassKey("pilot_calls_on_all")


@callback
def async_watch_calls(hass: HomeAssistant) -> None:
    """Remember from now on which contexts call actions on all entities."""
    contexts: OrderedDict[str, None] = OrderedDict()
    hass.data[_CONTEXTS] = contexts

    @callback
    def on_call(event: Event[dict[str, Any]]) -> None:
        # The steps of a script have a context in common: the last one counts.
        contexts.pop(event.context.id, None)
        if _is_for_all(event.data[ATTR_SERVICE_DATA].get(ATTR_ENTITY_ID)):
            contexts[event.context.id] = None
            if len(contexts) > _MAX_CONTEXTS:
                contexts.popitem(last=False)

    hass.bus.async_listen(EVENT_CALL_SERVICE, on_call)


async def async_is_for_all(hass: HomeAssistant, context: Context | None) -> bool:
    """Return whether the action with this context, which is under way, is for all entities."""
    # An automation that an event has triggered can get here before its own event is dispatched.
    await asyncio.sleep(0)
    return context is not None and context.id in hass.data[_CONTEXTS]


def _is_for_all(entity_id: object) -> bool:
    """Return whether Home Assistant takes a target for all entities."""
    return isinstance(entity_id, str) and entity_id.lower() == ENTITY_MATCH_ALL
