"""The settings as Home Assistant sees and changes them: signed, by revision, errors by field."""

from __future__ import annotations

from functools import cached_property
import json
import logging
from typing import TYPE_CHECKING, Any, cast

from companion_agent.config.errors import ConfigError
from companion_agent.config.overlay import Overlay, OverlayError, remote_keys
from companion_agent.config.reloader import summary
from companion_agent.errors import CommandError
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.messages import FieldError
from companion_agent.protocol.settings import (
    FieldType,
    SettingField,
    Settings,
    write_settings,
)
from companion_agent.protocol.validation import MAX_OPTIONS, MAX_TEXT, clean_text
from companion_agent.values import Choice, Number, Patterns, Switch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.config.known import Known
    from companion_agent.config.overlay import RemoteKey
    from companion_agent.config.reloader import Reloader
    from companion_agent.config.settings import Config
    from companion_agent.protocol.settings import SettingValue

_LOGGER = logging.getLogger(__name__)

# The bytes that the names of one field may take in an answer, which has two such fields at most
# and no room for more than 12 KiB.
_MAX_NAMES = 3 * 1024


class RemoteSettings:
    """Describes the settings that Home Assistant may change, and changes them.

    Its methods block, and may be called from any thread.

    Args:
        reloader: Reads the configuration anew, and keeps it.
        collectors: The collectors that there are.
    """

    def __init__(self, reloader: Reloader, collectors: Mapping[str, Known]) -> None:
        self._reloader = reloader
        self._collectors = collectors

    @cached_property
    def _keys(self) -> Mapping[str, RemoteKey]:
        # Some hundred, and most agents are never asked.
        return remote_keys(self._collectors)

    def describe(self, section: str) -> str:
        """Return, as JSON, the sections that there are, and the fields of one of them.

        Args:
            section: Its key, `collectors.cpu`; empty for none.

        Raises:
            CommandError: There is no such section, or the state folder cannot be read.
        """
        sections = list(dict.fromkeys(key.section for key in self._keys.values()))
        if section and section not in sections:
            raise CommandError("bad_arguments", f"there is no section {section} to be set")
        config = self._reloader.config
        fields = [
            _field(config, name, key) for name, key in self._keys.items() if key.section == section
        ]
        return write_settings(Settings(self._kept().revision, tuple(sections), tuple(fields)))

    def change(self, revision: str, changes: str) -> None:
        """Set values, keep them, and have the configuration read that the agent goes on with.

        Args:
            revision: That of the settings which the changes were made from.
            changes: The values by key, as a JSON object; `null` takes back what was set.

        Raises:
            CommandError: Something is wrong, by field where it is about one; nothing changes.
        """
        wanted = _parse(changes)
        kept = self._kept()
        if revision != kept.revision:
            detail = "the settings were changed meanwhile; look at them again"
            raise CommandError("stale", detail)
        overlay = kept.changed(wanted)
        try:
            found = self._reloader.checked(overlay)
        except ConfigError as error:
            raise CommandError("failed", summary(error.mistakes)) from error
        if errors := dict(self._errors(found, wanted)):
            detail = "; ".join(f"{key}: {error.detail}" for key, error in errors.items())
            raise CommandError("bad_arguments", detail, errors)
        try:
            overlay.write(found.state_dir)
        except OverlayError as error:
            raise CommandError("failed", str(error)) from error
        _LOGGER.info("Home Assistant has set %s", ", ".join(wanted))
        self._reloader.config = found

    def _kept(self) -> Overlay:
        try:
            return Overlay.read(self._reloader.config.state_dir)
        except OverlayError as error:
            raise CommandError("failed", str(error)) from error

    def _errors(self, found: Config, wanted: Mapping[str, Any]) -> list[tuple[str, FieldError]]:
        errors = []
        for name in wanted:
            key = self._keys.get(name)
            if key is None:
                detail = "Home Assistant may not set this here"
                errors.append((name, FieldError("not_settable", detail)))
            elif fixed := found.origins.fixed(key.place):
                errors.append((name, FieldError("fixed", f"fixed by {fixed}")))
            elif wrong := [
                mistake.problem
                for mistake in found.overlay_mistakes
                if mistake.key.partition("[")[0] == name
            ]:
                errors.append((name, FieldError("invalid", wrong[0])))
            elif isinstance(key.kind, Patterns) and _told(names := key.value(found)) != names:
                detail = (
                    f"expected at most {MAX_OPTIONS} names of at most {MAX_TEXT} characters, "
                    f"which take {_MAX_NAMES} bytes at most"
                )
                errors.append((name, FieldError("invalid", detail)))
        return errors


def _field(config: Config, name: str, key: RemoteKey) -> SettingField:
    """Describe a setting.

    Raises:
        TypeError: A key was declared as remote whose type no form has.
    """
    kind, value = key.kind, key.value(config)
    field = SettingField(
        name,
        FieldType.BOOLEAN,
        value=None if value is None else cast("SettingValue", kind.dump(value)),
        default=cast("SettingValue", kind.dump(key.default)),
        fixed=config.origins.fixed(key.place) or None,
    )
    match kind:
        case Switch():
            return field
        case Number():
            return field._replace(
                type=FieldType.NUMBER, unit=kind.unit, minimum=kind.least, maximum=kind.most
            )
        case Choice():
            return field._replace(type=FieldType.CHOICE, options=kind.words)
        case Patterns():
            return field._replace(type=FieldType.NAMES, value=_told(value))
        case _:
            raise TypeError(f"{name} has a type that no form has")


def _told(names: Sequence[str]) -> tuple[str, ...]:
    """Cut names to what a reader takes: one that it refuses would hide all other settings."""
    told = tuple(clean_text(name) for name in names[:MAX_OPTIONS])
    while len(dump(dump(told)).encode()) > _MAX_NAMES:
        told = told[:-1]
    return told


def _parse(changes: str) -> dict[str, Any]:
    try:
        wanted = json.loads(changes)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict) or not wanted:
        raise CommandError("bad_arguments", "values is not a JSON object of values by key")
    return wanted
