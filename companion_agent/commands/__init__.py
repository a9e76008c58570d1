"""What Home Assistant can ask of this host: one file for every group of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.collectors.base import Collector
    from companion_agent.commands.base import CommandGroup
    from companion_agent.platforms.base import Platform
    from companion_agent.update.updater import Updater


def create(
    platform: Platform, updater: Updater, collectors: Iterable[Collector] = ()
) -> list[CommandGroup]:
    """Make the groups of commands that there are, whatever this host can do of them.

    Args:
        platform: The operating system.
        updater: Replaces the agent.
        collectors: Those at work: what they read, some let be set.
    """
    # Here, because the checks of trust import from this package and need none of them.
    from companion_agent.collectors.i2c import I2cCollector  # noqa: PLC0415
    from companion_agent.commands.agent import AgentCommands  # noqa: PLC0415
    from companion_agent.commands.i2c import I2cCommands  # noqa: PLC0415
    from companion_agent.commands.power import PowerCommands  # noqa: PLC0415
    from companion_agent.commands.session import SessionCommands  # noqa: PLC0415

    return [
        PowerCommands(platform),
        SessionCommands(platform),
        AgentCommands(platform, updater),
        *(I2cCommands(platform, one) for one in collectors if isinstance(one, I2cCollector)),
    ]
