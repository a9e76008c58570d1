"""Puts the agent together and runs it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from companion_agent import __version__, identity, platforms
from companion_agent.agent import Agent
from companion_agent.plugins import COLLECTORS, command_registry, create
from companion_agent.plugins.agent import Counters
from companion_agent.plugins.i2c.overrides import Tuned
from companion_agent.plugins.runner import Source
from companion_agent.service.sd_notify import Notifier
from companion_agent.updates.updater import Updater

if TYPE_CHECKING:
    from companion_agent.config import Config
    from companion_agent.platforms.base import Platform
    from companion_agent.updates.launcher import Launched

LOG = logging.getLogger("companion_agent.agent")


def run(config: Config, launched: Launched) -> bool:
    """Report this host until the process is asked to end.

    Args:
        config: The configuration.
        launched: How this agent was started.

    Returns:
        Whether another version is to be started now.

    Raises:
        identity.IdentityError: The state folder cannot be used, or another agent uses it.
    """
    platform = platforms.current()
    counters = Counters()
    updater = Updater(config.update, config.state_dir, launched)
    with identity.only_agent(config.state_dir):
        host_id = identity.host_id(config.state_dir, platform)
        session = identity.new_session()
        at_work = sources(config, platform, counters)
        LOG.info("pilot-agent %s starts as %s", __version__, host_id)
        agent = Agent(
            config,
            platform,
            at_work,
            host_id,
            session,
            counters,
            groups=command_registry.create(
                platform, updater, [source.collector for source in at_work]
            ),
            watch=platform.watch(),
            network=platform.network_watch(),
            notifier=Notifier(),
            updater=updater,
        )
        with agent.stopped_by_signals():
            agent.run()
    return updater.restart


def sources(config: Config, platform: Platform, counters: Counters) -> list[Source]:
    """Make the collectors that the configuration wants."""
    made = []
    tuned = Tuned(config.state_dir)
    for name, collector in COLLECTORS.items():
        wanted = config.collector(name)
        if wanted.enabled:
            made_one = create(name, platform, wanted.selection, counters, config.i2c, tuned)
            made.append(Source(made_one, wanted.interval or collector.interval))
    return made
