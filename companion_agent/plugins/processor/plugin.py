"""The processor's settings: readings, and the commands that set them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Argument, Audience, ChoiceArgument, Command, Reading
from companion_agent.platforms.processor import FREQUENCIES
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.processor.settings import ProcessorConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from companion_agent.models import AnyArgument, Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.processor import ProcessorSetting, SettingName
    from companion_agent.plugins.base import PluginContext

_LOGGER = logging.getLogger("companion_agent.plugins")

_DEGRADED = "profile_degraded"
# 0 is off, 1 is on.
_SWITCH = Argument(unit="boolean", minimum=0, maximum=1, step=1)
# A slider that is dragged sends one call when it is let go.
_COOLDOWN = 1.0
_HINT = "`sudo pilot-agent setup` installs what sets it, where the configuration allows it"


class ProcessorPlugin(Collector, CommandProvider):
    """Reads and sets power profile, governor, energy preference, frequencies and boost.

    Args:
        platform: The operating system.
        selection: What is wanted of it.
        config: When settings are put back.
        audience: Tells whether Home Assistant is there.
        clock: Monotonic seconds.
    """

    name: ClassVar[str] = "processor"
    interval: ClassVar[float] = 60
    selects: ClassVar[str] = "setting"

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: ProcessorConfig | None = None,
        audience: Audience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(platform, selection)
        self._config = config or ProcessorConfig()
        self._audience = audience or Audience()
        self._clock = clock
        self._alone_since: float | None = None
        self._troubles: dict[str, str] = {}
        self._read_only: tuple[str, ...] = ()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with its configuration."""
        return cls(
            context.platform,
            context.selection,
            context.get(ProcessorConfig),
            context.get(Audience),
        )

    def collect(self) -> Mapping[str, Value]:
        """Read every setting; put all back where Home Assistant has been away for too long.

        Raises:
            Unavailable: This machine has none.
        """
        self._restore_when_alone()
        control = self.platform.processor()
        state = control.state()
        settings = self._selected(state.settings)
        degraded = "profile" in settings and state.tells_degraded
        self._troubles = {name: one.trouble for name, one in settings.items() if one.trouble}
        self._read_only = tuple(name for name, one in settings.items() if not one.settable)
        self.describe(
            (tuple(settings), degraded),
            lambda: [_reading(name) for name in (*settings, *([_DEGRADED] if degraded else []))],
        )
        values: dict[str, Value] = {name: one.value for name, one in settings.items()}
        if degraded:
            values[_DEGRADED] = state.degraded
        return values

    def troubles(self) -> Mapping[str, str]:
        """Say which settings cannot be read, and why."""
        return self._troubles

    def left_out(self) -> Mapping[str, str]:
        """Say which settings can be read only."""
        return dict.fromkeys(self._read_only, f"read only: {_HINT}")

    def commands(self) -> Sequence[Command]:
        """Offer what this machine lets the agent set.

        Raises:
            Unavailable: It has nothing to set.
        """
        return [
            Command(
                f"{self.name}.{name}",
                {"value": _argument(name, one)},
                one.missing,
                cooldown=_COOLDOWN,
                state=f"{self.name}.{name}",
            )
            for name, one in self._selected(self.platform.processor().state().settings).items()
            if one.settable
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Set it."""
        name = cast("SettingName", key.removeprefix(f"{self.name}."))
        self.platform.processor().set(name, args["value"])

    def _selected(
        self, settings: Mapping[SettingName, ProcessorSetting]
    ) -> dict[SettingName, ProcessorSetting]:
        if not settings:
            raise Unavailable(
                "the kernel sets no frequencies here (no cpufreq, as in virtual machines), and no "
                "service of power profiles runs"
            )
        found = {name: one for name, one in settings.items() if self.wants(name)}
        if not found:
            raise self.none_selected("setting")
        return found

    def _restore_when_alone(self) -> None:
        """Put back what was found once Home Assistant has been away for as long as configured."""
        if self._audience.listens():
            self._alone_since = None
            return
        now = self._clock()
        if self._alone_since is None:
            self._alone_since = now
        limit = self._config.restore_after
        if not limit or now - self._alone_since < limit:
            return
        try:
            if self.platform.processor().restore():
                _LOGGER.warning(
                    "processor: put back as it was found, since Home Assistant was away for %.0f s",
                    now - self._alone_since,
                )
        except CommandError as error:
            _LOGGER.warning("processor: not put back as it was found: %s", error.detail)
            # Not at every reading: what refuses now refuses a minute later.
            self._alone_since = now


def _reading(name: str) -> Reading:
    # Drivers say kHz, and mean them: what is set is read again to the last digit.
    return Reading(name, resolution=0.001 if name in FREQUENCIES else 0)


def _argument(name: SettingName, setting: ProcessorSetting) -> AnyArgument:
    if name in FREQUENCIES:
        return Argument("MHz", setting.minimum, setting.maximum, step=setting.step)
    return _SWITCH if name == "boost" else ChoiceArgument(setting.options)
