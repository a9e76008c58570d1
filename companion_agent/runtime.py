"""Puts the agent together and runs it."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING

from companion_agent import __version__, identity, logs, platforms, signals
from companion_agent.agent import Agent
from companion_agent.config.known import known_collectors
from companion_agent.config.reloader import Reloader
from companion_agent.config.remote import RemoteSettings
from companion_agent.desktop.offers import LastOffers
from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import CommandError, PluginError
from companion_agent.ipc import session_place
from companion_agent.models import Audience, Counters
from companion_agent.plugins import registry
from companion_agent.plugins.base import Collector, CommandProvider, PluginContext
from companion_agent.plugins.i2c.overrides import Overrides
from companion_agent.plugins.notifications.kept import KeptNotifications
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.plugins.updates.looks import KeptLooks
from companion_agent.service.pair_command import pair_command
from companion_agent.service.sd_notify import Notifier
from companion_agent.updates.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from companion_agent.config import Config
    from companion_agent.config.reloader import Load
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import Plugin
    from companion_agent.updates.launcher import Launched

_LOGGER = logging.getLogger("companion_agent.agent")


def run(
    config: Config,
    launched: Launched,
    load: Load,
    notifier: Callable[[], Notifier] = Notifier,
) -> bool:
    """Report this host until the process is asked to end.

    Args:
        config: The configuration.
        launched: How this agent was started.
        load: Reads the configuration anew, when that is asked for.
        notifier: Makes what tells the service manager how the agent is.

    Returns:
        Whether the base is to be started anew now: for another version, or because it was asked
        for.

    Raises:
        identity.IdentityError: The state folder cannot be used, or another agent uses it.
    """
    with (
        identity.only_agent(config.state_dir),
        # Windows' usual event loop cannot wait for the sockets of others.
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        return runner.run(_run(Reloader(config, load), launched, notifier))


class _Ending:
    """That the process was asked to end: whichever agent runs then, or else the next one ends."""

    def __init__(self) -> None:
        self._asked = False
        self._agent: Agent | None = None

    def ask(self) -> None:
        self._asked = True
        if self._agent:
            self._agent.stop()

    def follow(self, agent: Agent) -> None:
        self._agent = agent
        if self._asked:
            agent.stop()


async def _run(reloader: Reloader, launched: Launched, notifier: Callable[[], Notifier]) -> bool:
    """Run one agent after the other, each with the configuration that was read last.

    They share an event loop, and with it the handlers of signals, so that none is lost between two
    of them.
    """
    counters, ending, present = Counters(), _Ending(), False
    with signals.on_end(ending.ask):
        while True:
            updater = Updater(reloader.config.update, reloader.config.state_dir, launched)
            agent = await _run_once(
                reloader, launched, counters, updater, ending, notifier(), present=present
            )
            if not agent.renewed:
                if not updater.restart:
                    _leave()
                return updater.restart
            if reloader.restarting:
                return True
            present = agent.present
            logs.set_up(reloader.config.log)


def _leave() -> None:
    """Leave the machine as it was found."""
    try:
        platforms.current().leave()
    except (CommandError, OSError) as error:
        _LOGGER.warning("The machine is not left as it was found: %s", error)


async def _run_once(
    reloader: Reloader,
    launched: Launched,
    counters: Counters,
    updater: Updater,
    ending: _Ending,
    notifier: Notifier,
    *,
    present: bool,
) -> Agent:
    """Report this host; return the agent that has ended."""
    config, platform = reloader.config, platforms.current()
    reloader.occupied = lambda: updater.occupied
    host_id = identity.host_id(config.state_dir, platform)
    desktop, audience = DesktopSessions(LastOffers(config.state_dir)), Audience()
    plugins = make_plugins(config, platform, counters, updater, desktop, audience, reloader)
    for mistake in config.overlay_mistakes:
        _LOGGER.warning("A setting made from Home Assistant does not count: %s", mistake)
    _LOGGER.info("pilot-agent %s starts as %s", __version__, host_id)
    agent = Agent(
        config,
        platform,
        collector_runners(config, plugins),
        host_id,
        identity.new_session(),
        counters,
        groups=[plugin for plugin in plugins if isinstance(plugin, CommandProvider)],
        watch=platform.watch(),
        network=platform.network_watch(),
        notifier=notifier,
        updater=updater,
        pair_command=pair_command(launched.command, config.path),
        desktop=desktop,
        audience=audience,
        listener=session_place.of_the_agent(),
        reloader=reloader,
        present=present,
    )
    ending.follow(agent)
    # What importing has left behind: a quarter of a megabyte.
    gc.collect()
    try:
        with signals.on_hang_up(agent.reload, agent.stop):
            await agent.run()
    finally:
        for plugin in plugins:
            plugin.close()
    return agent


def make_plugins(
    config: Config,
    platform: Platform,
    counters: Counters,
    updater: Updater,
    desktop: DesktopSessions,
    audience: Audience,
    reloader: Reloader | None = None,
) -> list[Plugin]:
    """Make every plug-in that can be made."""
    overrides = Overrides(config.state_dir)
    kept, looks = KeptNotifications(config.state_dir), KeptLooks(config.state_dir)
    settings = RemoteSettings(reloader, known_collectors()) if reloader else None
    made = []
    for name in registry.load().types:
        wanted = config.collector(name)
        context = PluginContext(
            platform,
            wanted.selection,
            counters,
            updater,
            reloader,
            settings,
            {
                **config.of_plugins(),
                Overrides: overrides,
                DesktopSessions: desktop,
                KeptNotifications: kept,
                Audience: audience,
                KeptLooks: looks,
            },
        )
        try:
            made.append(registry.create(name, context))
        except PluginError as error:
            _LOGGER.warning("The plug-in %s cannot be used: %s", name, error)
    return made


def collector_runners(config: Config, plugins: Iterable[Plugin]) -> list[CollectorRunner]:
    """Return what reads the plug-ins whose readings the configuration wants."""
    return [
        CollectorRunner(plugin, config.collector(plugin.name).interval or plugin.interval)
        for plugin in plugins
        if isinstance(plugin, Collector) and config.collector(plugin.name).enabled
    ]
