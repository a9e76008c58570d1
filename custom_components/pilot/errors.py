"""Why a command was not carried out, in words of the user."""

from typing import TYPE_CHECKING, Final

from homeassistant.core import async_get_hass, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protocol.messages import Result

# What the user asked for cannot be; everything else is a matter of the host.
_USERS_FAULT: Final = frozenset(
    {"bad_arguments", "cooling_down", "not_allowed", "stale", "unknown_command"}
)

BY_REASON: Final[Mapping[str, str]] = {
    "retained": "command_retained",
    "malformed": "command_malformed",
    "not_paired": "command_not_paired",
    "bad_signature": "command_bad_signature",
    "wrong_session": "command_wrong_session",
    "replayed": "command_replayed",
    "too_old": "command_too_old",
    "unknown_command": "command_unknown",
    "not_allowed": "command_not_allowed",
    "bad_arguments": "command_bad_arguments",
    "stale": "command_stale",
    "cooling_down": "command_cooling_down",
    "not_permitted": "command_not_permitted",
    "failed": "command_failed",
}
OTHERWISE: Final = "command_refused"
"""For reasons that a newer agent may have."""

BY_STATUS: Final[Mapping[str, str]] = {
    "asleep": "no_answer_asleep",
    "off": "no_answer_off",
    "lost": "no_answer_lost",
    "online": "no_answer",
    "unknown": "no_answer_unknown",
}
"""What to say of a host's silence."""


# Where the name of a command is told, best first; some have no entity that bears it.
_NAMES: Final = (
    ("entity", f"component.{DOMAIN}.entity.button.{{}}.name"),
    ("entity", f"component.{DOMAIN}.entity.number.{{}}.name"),
    ("selector", f"component.{DOMAIN}.selector.command.options.{{}}"),
)


@callback
def command_name(key: str) -> str:
    """Return what a command is called in Home Assistant's language, as its entities are.

    A command that this version of the integration does not know is called by its key.
    """
    hass = async_get_hass()
    # A command that is about one sensor has the sensor's name in the middle.
    topic, *_, name = key.split(".")
    for category, path in _NAMES:
        texts = async_get_cached_translations(hass, hass.config.language, category, DOMAIN)
        if (called := texts.get(path.format(f"{topic}_{name}"))) is not None:
            return called
    return key


def command_error(name: str, key: str, result: Result) -> HomeAssistantError:
    """Return the error for a result that is not `done`."""
    error = ServiceValidationError if result.reason in _USERS_FAULT else HomeAssistantError
    return error(
        translation_domain=DOMAIN,
        translation_key=BY_REASON.get(result.reason, OTHERWISE),
        translation_placeholders={
            "name": name,
            "command": command_name(key),
            "reason": result.reason,
            "detail": result.detail or "-",
        },
    )


def bad_arguments(name: str, key: str, detail: str) -> ServiceValidationError:
    """Return the error for arguments that cannot be sent."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key=BY_REASON["bad_arguments"],
        translation_placeholders={"name": name, "command": command_name(key), "detail": detail},
    )


def local_error(translation_key: str, name: str, key: str) -> HomeAssistantError:
    """Return an error that does not come from an answer of the host."""
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=translation_key,
        translation_placeholders={"name": name, "command": command_name(key)},
    )


def not_paired(name: str, key: str) -> ServiceValidationError:
    """Return the error for a host that cannot be commanded."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="host_not_paired",
        translation_placeholders={"name": name, "command": command_name(key)},
    )
