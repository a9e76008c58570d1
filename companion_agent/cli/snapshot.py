"""Reads every plug-in once or more, for `pilot-agent read` and `pilot-agent doctor`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from companion_agent import platforms
from companion_agent.errors import PluginError, Unavailable
from companion_agent.plugins import registry
from companion_agent.plugins.base import Collector, CommandProvider, PluginContext
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.worker import HungError, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from companion_agent.models import Selection
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import Plugin
    from companion_agent.worker import Result

# Rates are taken over this time: long enough for a figure that means something.
GAP = 1.0
# A plug-in that takes longer hangs; the others are shown without it.
LIMIT = 10.0


class Snapshot:
    """What every plug-in found.

    Args:
        sources: What reads the plug-ins.

    Attributes:
        sources: The same.
        failures: Why a plug-in of another package cannot be used or cannot list its commands, by
            its name.
    """

    def __init__(self, sources: list[CollectorRunner]) -> None:
        self.sources = sources
        self.failures: dict[str, str] = {}

    @classmethod
    def of_this_host(
        cls,
        names: Container[str] | None = None,
        selections: Callable[[str], Selection | None] = lambda _: None,
        platform: Platform | None = None,
        given: Mapping[type, object] = MappingProxyType({}),
    ) -> Snapshot:
        """Read this host.

        Args:
            names: The plug-ins to ask; all when `None`.
            selections: What the user wants of a plug-in.
            platform: The operating system; this one when `None`.
            given: What single plug-ins get, as in `PluginContext`.
        """
        platform = platform or platforms.current()
        found = registry.load()
        snapshot = cls([])
        snapshot.failures.update(found.failures if names is None else {})
        providers: list[CommandProvider] = []
        plugins: list[Plugin] = []
        for name in found.types:
            if names is not None and name not in names:
                continue
            selection = selections(name)
            context = PluginContext(platform, given=given)
            if selection is not None:
                context = replace(context, selection=selection)
            try:
                plugin = registry.create(name, context)
            except PluginError as error:
                snapshot.failures[name] = str(error)
                continue
            plugins.append(plugin)
            if isinstance(plugin, Collector):
                snapshot.sources.append(CollectorRunner(plugin, plugin.interval))
            if isinstance(plugin, CommandProvider):
                providers.append(plugin)
        try:
            snapshot.read(providers)
        finally:
            for plugin in plugins:
                plugin.close()
        return snapshot

    def read(self, providers: Iterable[CommandProvider] = ()) -> None:
        """Read everything twice, for the rates, and have commands listed."""
        asyncio.run(self._read_twice({f"commands {one.name}": one for one in providers}))

    async def _read_twice(self, providers: Mapping[str, CommandProvider]) -> None:
        worker = Worker()
        await self._read_all(worker, providers)
        if any(source.available for source in self.sources):
            await asyncio.sleep(GAP)
            await self._read_all(worker, {})
        worker.stop()

    async def _read_all(self, worker: Worker, providers: Mapping[str, CommandProvider]) -> None:
        sources = [one for one in self.sources if not one.running and one.available is not False]
        waiting = {source.name: source for source in sources}
        asked = dict(providers)
        jobs = [Job(job.name, job.run, LIMIT) for job in map(CollectorRunner.job, sources)]
        jobs += [Job(name, provider.commands, LIMIT) for name, provider in asked.items()]
        # A slow one is relieved of its thread before that, so that the others get theirs.
        worker.submit(jobs)
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT + 1):
                while waiting or asked:
                    for result in await worker.results():
                        if isinstance(result.error, HungError):
                            continue
                        if provider := asked.pop(result.name, None):
                            self._take_commands(provider, result)
                        elif source := waiting.pop(result.name, None):
                            source.take(result)
        for source in waiting.values():
            source.hang()
        for provider in asked.values():
            self.failures[provider.name] = "its commands do not answer"

    def _take_commands(self, provider: CommandProvider, result: Result) -> None:
        if result.error and not isinstance(result.error, Unavailable):
            self.failures[provider.name] = registry.reason_of(result.error)
