"""Who may do what: every action and every websocket command asks here, whatever it is about.

The rules are Home Assistant's own: an administrator may do everything, other users what their
groups permit for single entities, and a call that no user has made (an automation's) is not
restricted. Who may not do all of what an action is for has nothing done at all. The table in
`docs/security.md` lists the outcome; a test compares it.
"""

from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.core import (
    Context,
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import Unauthorized, UnknownUser
from homeassistant.helpers import entity_registry as er
import probatio

from .const import DOMAIN

if TYPE_CHECKING:
    from homeassistant.auth.models import User
    from homeassistant.components.websocket_api.connection import ActiveConnection
    from homeassistant.helpers.typing import VolSchemaType

type Action = Callable[[ServiceCall, Caller], Coroutine[Any, Any, ServiceResponse]]


class Caller:
    """The user behind an action or a websocket command; an automation has none."""

    def __init__(self, hass: HomeAssistant, user: User | None, context: Context) -> None:
        """Keep who asks."""
        self._hass = hass
        self._user = user
        self._context = context

    def require_admin(self) -> None:
        """Let administrators pass.

        Raises:
            Unauthorized: It is another user.
        """
        if self._user is not None and not self._user.is_admin:
            raise Unauthorized(context=self._context)

    def require_entities(self, entity_ids: Collection[str], policy: str) -> None:
        """Let pass who has a permission for all of these entities, of which there has to be one.

        Raises:
            Unauthorized: The user lacks it, and for which entity.
        """
        if self._may_everywhere(policy):
            return
        refused = [
            entity_id for entity_id in sorted(entity_ids) if not self._may(entity_id, policy)
        ]
        if refused or not entity_ids:
            raise Unauthorized(
                context=self._context, entity_id=refused[0] if refused else None, permission=policy
            )

    def require_devices(self, device_ids: Iterable[str], policy: str) -> None:
        """Let pass who has a permission for all entities of these devices.

        Raises:
            Unauthorized: The user lacks it.
        """
        for device_id in device_ids:
            self.require_entities(self._entities(device_id), policy)

    def readable(self, device_ids: Iterable[str]) -> list[str]:
        """Return those devices all of whose entities the user may read.

        One without entities is for those who may read everything.
        """
        if self._may_everywhere(POLICY_READ):
            return list(device_ids)
        return [
            device_id
            for device_id in device_ids
            if (entities := self._entities(device_id))
            and all(self._may(entity_id, POLICY_READ) for entity_id in entities)
        ]

    def _may_everywhere(self, policy: str) -> bool:
        user = self._user
        return user is None or user.is_admin or user.permissions.access_all_entities(policy)

    def _may(self, entity_id: str, policy: str) -> bool:
        return self._user is None or self._user.permissions.check_entity(entity_id, policy)

    def _entities(self, device_id: str) -> list[str]:
        registry = er.async_get(self._hass)
        return [
            entity.entity_id
            for entity in er.async_entries_for_device(
                registry, device_id, include_disabled_entities=True
            )
        ]


@callback
def async_register_action(
    hass: HomeAssistant,
    name: str,
    action: Action,
    schema: VolSchemaType,
    supports_response: SupportsResponse = SupportsResponse.NONE,
    *,
    admin: bool = False,
    domain: str = DOMAIN,
) -> None:
    """Register an action; one that is not for administrators alone asks its caller itself."""

    async def handle(call: ServiceCall) -> ServiceResponse:
        caller = await _async_caller(hass, call.context)
        if admin:
            caller.require_admin()
        return await action(call, caller)

    hass.services.async_register(
        domain, name, handle, probatio.Schema(_refusing(schema)), supports_response
    )


def _refusing(schema: VolSchemaType) -> Callable[[Any], Any]:
    """Return a validator that refuses also what the schema's own validators fail with."""

    def validate(data: Any) -> Any:  # noqa: ANN401  (whatever the caller gives)
        try:
            return schema(data)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as err:
            raise probatio.Invalid(f"a value cannot be used: {err}") from err

    return validate


@callback
def websocket_caller(
    hass: HomeAssistant, connection: ActiveConnection, msg: dict[str, Any]
) -> Caller:
    """Return who sends a websocket command."""
    return Caller(hass, connection.user, connection.context(msg))


async def _async_caller(hass: HomeAssistant, context: Context) -> Caller:
    """Return who calls an action.

    Raises:
        UnknownUser: There is no such user any more.
    """
    if context.user_id is None:
        return Caller(hass, None, context)
    if (user := await hass.auth.async_get_user(context.user_id)) is None:
        raise UnknownUser(context=context)
    return Caller(hass, user, context)
