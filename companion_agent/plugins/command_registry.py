"""What Home Assistant can ask of this host: one file for every group of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import Collector, CommandGroup
    from companion_agent.updates.updater import Updater


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
    from companion_agent.plugins.agent_commands import AgentCommands  # noqa: PLC0415
    from companion_agent.plugins.i2c.collector import I2cCollector  # noqa: PLC0415
    from companion_agent.plugins.i2c.commands import I2cCommands  # noqa: PLC0415
    from companion_agent.plugins.power import PowerCommands  # noqa: PLC0415
    from companion_agent.plugins.session_commands import SessionCommands  # noqa: PLC0415

    return [
        PowerCommands(platform),
        SessionCommands(platform),
        AgentCommands(platform, updater),
        *(I2cCommands(platform, one) for one in collectors if isinstance(one, I2cCollector)),
    ]
