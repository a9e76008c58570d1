"""The one way to create an issue, which `repairs.py` and `storage.py` take."""

from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOCUMENTATION_URL, DOMAIN
from .markdown import markdown_placeholders

if TYPE_CHECKING:
    from collections.abc import Mapping


@callback
def async_create_issue(
    hass: HomeAssistant,
    issue_id: str,
    translation_key: str,
    placeholders: Mapping[str, str],
    *,
    severity: ir.IssueSeverity,
    flow_data: Mapping[str, str] | None = None,
    is_persistent: bool = False,
) -> None:
    """Create an issue, with all texts escaped for Markdown.

    Args:
        hass: Home Assistant.
        issue_id: Its id.
        translation_key: Names its texts.
        placeholders: What its texts have in their places; all but instances of `Markdown` are
            escaped.
        severity: Its severity.
        flow_data: The data of its fix flow, if it has one; other issues have a link to the
            documentation.
        is_persistent: Whether it outlives a restart of Home Assistant by itself.
    """
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id,
        data=None if flow_data is None else dict(flow_data),
        is_fixable=flow_data is not None,
        is_persistent=is_persistent,
        severity=severity,
        learn_more_url=DOCUMENTATION_URL if flow_data is None else None,
        translation_key=translation_key,
        translation_placeholders=markdown_placeholders(placeholders),
    )
