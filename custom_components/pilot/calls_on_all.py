"""Tells an action that names an entity from one on `entity_id: all`.

Home Assistant leaves entities with a category out of actions on areas, floors, labels and devices,
but not out of `entity_id: all`: "switch everything off when we leave" would end the work on every
computer of the house. An entity is not told what an action was called for; it has the context, and
so does the event that Home Assistant fires for each action.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from homeassistant.const import (
    ATTR_ENTITY_ID,
    ATTR_SERVICE_DATA,
    ENTITY_MATCH_ALL,
    EVENT_CALL_SERVICE,
)
from homeassistant.core import Context, Event, HomeAssistant, callback
from homeassistant.helpers.target import TargetSelection, async_extract_referenced_entity_ids
from homeassistant.util.hass_dict import HassKey

_MAX_CONTEXTS: Final = 100
"""Calls that are remembered; each is asked about at once, and no call has an end to wait for."""

_CONTEXTS: HassKey[OrderedDict[str, set[str]]] = HassKey("pilot_calls_on_all")
"""Contexts that have called an action on all entities, and what they have named since then."""


@callback
def async_watch_calls(hass: HomeAssistant) -> None:
    """Remember from now on which contexts call actions on all entities."""
    contexts: OrderedDict[str, set[str]] = OrderedDict()
    hass.data[_CONTEXTS] = contexts

    @callback
    def on_call(event: Event[dict[str, Any]]) -> None:
        # The steps of a script have a context in common, also those that it takes in parallel.
        data = event.data[ATTR_SERVICE_DATA]
        if _is_for_all(data.get(ATTR_ENTITY_ID)):
            contexts.pop(event.context.id, None)
            contexts[event.context.id] = set()
            if len(contexts) > _MAX_CONTEXTS:
                contexts.popitem(last=False)
        elif (named := contexts.get(event.context.id)) is not None:
            named |= _reached(hass, data)

    hass.bus.async_listen(EVENT_CALL_SERVICE, on_call)


async def async_is_for_all(hass: HomeAssistant, context: Context | None, entity_id: str) -> bool:
    """Return whether an action under way reaches an entity only as one of all entities."""
    # An automation that an event has triggered can get here before its own event is dispatched.
    await asyncio.sleep(0)
    named = None if context is None else hass.data[_CONTEXTS].get(context.id)
    return named is not None and entity_id not in named


def _is_for_all(entity_id: object) -> bool:
    """Return whether Home Assistant takes a target for all entities."""
    return isinstance(entity_id, str) and entity_id.lower() == ENTITY_MATCH_ALL


@callback
def _reached(hass: HomeAssistant, data: Mapping[str, Any]) -> set[str]:
    """Return the entities that an action is for, which the event has as the caller wrote them."""
    ids = data.get(ATTR_ENTITY_ID) or ()
    try:
        listed = [one.strip().lower() for one in (ids.split(",") if isinstance(ids, str) else ids)]
        found = async_extract_referenced_entity_ids(
            hass, TargetSelection({**data, ATTR_ENTITY_ID: listed})
        )
    except AttributeError, TypeError:
        return set()  # An action without a target may call anything so.
    return found.referenced | found.indirectly_referenced
