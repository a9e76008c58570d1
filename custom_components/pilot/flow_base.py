"""What all flows of Pilot share: escaped placeholders, and the search for computers."""

from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components import mqtt
from homeassistant.config_entries import (
    ConfigEntryBaseFlow,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
import probatio

from .const import DOMAIN
from .devices import model_of, name_of
from .discovery import Found, async_search
from .markdown import Markdown, markdown_placeholders
from .messages import one_line
from .protocol.announce import Announce, Host
from .protocol.errors import ProtocolError
from .protocol.topics import DEFAULT_PREFIX

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Container, Mapping

    from .data import PilotConfigEntry

CONF_HOST_ID: Final = "host_id"


class MarkdownFlow(ConfigEntryBaseFlow):
    """A flow whose placeholders are escaped: what it shows is drawn as Markdown.

    What a host says of itself goes into descriptions, helps and errors. A menu's title gets no
    placeholders from Home Assistant's front end, only its description does.
    """

    @override
    @callback
    def async_show_form(
        self,
        *,
        step_id: str | None = None,
        data_schema: probatio.Schema | None = None,
        errors: dict[str, str] | None = None,
        description_placeholders: Mapping[str, str] | None = None,
        last_step: bool | None = None,
        preview: str | None = None,
    ) -> ConfigFlowResult:
        """Return a form."""
        return super().async_show_form(
            step_id=step_id,
            data_schema=data_schema,
            errors=errors,
            description_placeholders=markdown_placeholders(description_placeholders or {}),
            last_step=last_step,
            preview=preview,
        )

    @override
    @callback
    def async_show_menu(
        self,
        *,
        step_id: str | None = None,
        menu_options: Container[str],
        sort: bool = False,
        description_placeholders: Mapping[str, str] | None = None,
    ) -> ConfigFlowResult:
        """Return a menu."""
        return super().async_show_menu(
            step_id=step_id,
            menu_options=menu_options,
            sort=sort,
            description_placeholders=markdown_placeholders(description_placeholders or {}),
        )

    @override
    @callback
    def async_show_progress(
        self,
        *,
        step_id: str | None = None,
        progress_action: str,
        description_placeholders: Mapping[str, str] | None = None,
        progress_task: asyncio.Task[Any] | None = None,
    ) -> ConfigFlowResult:
        """Return what is shown while something is done."""
        return super().async_show_progress(
            step_id=step_id,
            progress_action=progress_action,
            description_placeholders=markdown_placeholders(description_placeholders or {}),
            progress_task=progress_task,
        )


class HostFlow(MarkdownFlow, ConfigFlow):
    """A flow about one host: one that was announced, or one that is set up."""

    def __init__(self) -> None:
        """Start without a host."""
        self._prefix = DEFAULT_PREFIX
        self._announce: Announce
        self._found = Found()

    async def _search(self) -> dict[str, str]:
        """Find the hosts that are not set up yet; return what to tell if none was found.

        There is no error where all that were found are set up.
        """
        found = await async_search(self.hass, self._prefix)
        configured = self._async_current_ids(include_ignore=False)
        hosts = sorted(found.hosts.values(), key=lambda announce: announce.host.name.casefold())
        self._found = Found(
            {a.host.id: a for a in hosts if a.host.id not in configured},
            found.refused,
            found.payloads,
            found.answered,
        )
        if found.hosts:
            return {}
        for err in found.refused.values():
            return {"base": refusal(err, "not_understood")}
        return {"base": "no_hosts" if found.answered else "broker_silent"}


@callback
def async_dismiss_offer(hass: HomeAssistant, host_id: str) -> None:
    """Take back the offer to add a host."""
    for flow in hass.config_entries.flow.async_progress_by_handler(
        DOMAIN, include_uninitialized=True, match_context={"unique_id": host_id}
    ):
        hass.config_entries.flow.async_abort(flow["flow_id"])


async def async_mqtt_problem(hass: HomeAssistant) -> str | None:
    """Return why nothing can be found, if nothing can."""
    if not hass.config_entries.async_entries(
        mqtt.DOMAIN, include_ignore=False, include_disabled=False
    ):
        return "mqtt_not_configured"
    if not await mqtt.async_wait_for_mqtt_client(hass) or not mqtt.is_connected(hass):
        return "mqtt_not_connected"
    return None


def host_field(found: Found, *, suggest: bool) -> dict[probatio.Marker, Any]:
    """Return the field to choose a host by name, model and id; none if there is none.

    The first one is chosen already where the user may take any.
    """
    if not found.hosts:
        return {}
    options = [
        SelectOptionDict(
            value=host_id,
            label=" · ".join(
                filter(None, (name_of(announce.host), machine(announce.host), host_id))
            ),
        )
        for host_id, announce in found.hosts.items()
    ]
    default = options[0]["value"] if suggest else probatio.UNDEFINED
    return {
        probatio.Required(CONF_HOST_ID, default=default): SelectSelector(
            SelectSelectorConfig(mode=SelectSelectorMode.LIST, options=options)
        )
    }


def machine(host: Host) -> str:
    """Return what kind of machine a host is."""
    return one_line(" ".join(filter(None, (host.manufacturer, model_of(host)))))


def announce_of(entry: PilotConfigEntry) -> Announce | None:
    """Return the last announce of a host that is set up, as far as it has been heard."""
    if entry.state is not ConfigEntryState.LOADED:
        return None
    return entry.runtime_data.coordinator.data


def pair_command(announce: Announce | None) -> Markdown:
    """Return what to type on a host to pair it; agents before 0.2 do not say it."""
    return Markdown((announce and announce.agent.pair) or "sudo pilot-agent pair")


def topic_prefix(text: str) -> str | None:
    """Return a topic prefix as it is used; None if there can be no such topic."""
    prefix = text.strip().strip("/")
    try:
        mqtt.valid_publish_topic(prefix)
    except probatio.Invalid:
        return None
    return prefix


def refusal(err: ProtocolError, otherwise: str) -> str:
    """Return what to tell the user about an announce that was refused."""
    return err.kind if err.kind in ("protocol_newer", "protocol_older") else otherwise
