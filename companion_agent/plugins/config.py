"""The settings of the agent, as Home Assistant sees and changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Command, Output, TextArgument
from companion_agent.plugins.base import CommandProvider
from companion_agent.protocol.settings import CONFIG_GET, CONFIG_SET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext, SettingsEditor

_LONGEST_VALUES = 8 * 1024
_JSON_OBJECT = r"\{.*\}"


class ConfigPlugin(CommandProvider):
    """Has settings told and changed.

    Args:
        platform: The operating system; not used, here as in every plug-in.
        editor: Knows the settings; `None` where no agent runs.
    """

    name: ClassVar[str] = "config"

    def __init__(self, platform: Platform, editor: SettingsEditor | None = None) -> None:
        super().__init__(platform)
        self._editor = editor

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with what knows the settings."""
        return cls(context.platform, context.settings)

    def commands(self) -> Sequence[Command]:
        """Offer both commands where an agent runs.

        Raises:
            Unavailable: None does.
        """
        if self._editor is None:
            raise Unavailable("only a running agent can be set")
        values = TextArgument(_LONGEST_VALUES, None, unit="JSON", pattern=_JSON_OBJECT)
        return [
            Command(CONFIG_GET, {"section": TextArgument(longest=128, default="")}, reads=True),
            Command(
                CONFIG_SET, {"revision": TextArgument(longest=64, default=None), "values": values}
            ),
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Tell the settings, or change them; the agent then goes on with what was read.

        Raises:
            CommandError: What is asked for cannot be.
        """
        if self._editor is None:
            return None
        if key == CONFIG_GET:
            return Output(self._editor.describe(args["section"]))
        self._editor.change(args["revision"], args["values"])
        return None
