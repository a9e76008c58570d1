"""Many hosts in one process: ``python -m benchmarks.simulated_fleet``.

Of the agent each host has what speaks: its connection with a will of its own, its publisher, its
keys. So the order of messages, their signatures, repeats, the phase of the host and what it does
when the broker is gone are the agent's own. Made up are the readings. The process takes commands
as JSON lines (``command_server.py``); killing it is a power cut of all hosts.
"""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from functools import partial
import logging
from pathlib import Path
import secrets
import sys
import time
from typing import TYPE_CHECKING

from companion_agent.announcement import Report, describe_agent
from companion_agent.config.settings import Broker
from companion_agent.models import Counters, Reading
from companion_agent.mqtt.connection import Transport
from companion_agent.mqtt.publisher import Announcement, CollectorState, Publisher
from companion_agent.mqtt.router import Router
from companion_agent.protocol.announce import Host, Trust
from companion_agent.protocol.topics import DEFAULT_PREFIX, Topics
from companion_agent.scheduler import SECOND_READ
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing
from companion_agent.security.refusals import Refusals
from companion_agent.security.signer import Signer
from companion_agent.timing import SPREAD, Alarm, Grid, phase

from .command_server import Answer, serve
from .fleet import SENSORS, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FAREWELL = 5.0
"""Seconds that a host may take to say `off`."""


class SimulatedHost:
    """One host; `run()` is its life from power on to power off."""

    def __init__(
        self, host_id: str, fleet: Fleet, broker: Broker, key: bytes, interval: float
    ) -> None:
        self.every = 0
        """Which values change with each report: every so-many-th; none for 0."""
        self._id = host_id
        self._fleet = fleet
        self._interval = interval
        session, now, counts = secrets.token_hex(8), time.time(), Counters()
        topics = Topics(DEFAULT_PREFIX, host_id)
        # There is no such folder: the key of the fleet is all that the host has.
        store = TrustStore(Path(f"/nonexistent/{host_id}"))
        self._ring = KeyRing(store, DEFAULT_PREFIX, host_id, fleet=key)
        self._transport = Transport([broker], f"pilot-{host_id}-{session[:8]}", counts)
        router = Router(lambda: self.publisher.arrived)
        self.publisher = Publisher(
            self._transport,
            router,
            Signer(self._ring, session, int(now)),
            Refusals(),
            topics,
            session,
            "homeassistant/status",
            counts,
        )
        self._transport.receiver = router.received
        self._off = asyncio.Event()

    async def run(self) -> None:
        """Report until `switch_off()`."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(part)
                for part in (self._transport.run(), self.publisher.run(), self._report())
            ]
            self._transport.start()
            await self._off.wait()
            await self._say_goodbye()
            for task in tasks:
                task.cancel()

    def switch_off(self) -> None:
        """Let `run()` say `off` and end."""
        self._off.set()

    async def _report(self) -> None:
        began = time.monotonic()
        shift = SECOND_READ + phase(self._id) * (SPREAD - SECOND_READ)
        grid = Grid(began + SECOND_READ, shift)
        self.publisher.announce(self._announcement())
        while True:
            self._read()
            now = time.monotonic()
            await asyncio.sleep(grid.next(self._interval, now) - now)
            self._fleet.change_host(self._id, self.every)

    def _read(self) -> None:
        now = time.time()
        values: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for sensor, value in zip(SENSORS, self._fleet.values(self._id), strict=True):
            collector, _, name = sensor.key.partition(".")
            values[collector][name] = value
        self.publisher.states({name: CollectorState(now, read) for name, read in values.items()})

    def _announcement(self) -> Announcement:
        readings: defaultdict[str, list[Reading]] = defaultdict(list)
        for sensor in SENSORS:
            collector, _, name = sensor.key.partition(".")
            readings[collector].append(Reading(name, sensor.kind, sensor.of))
        return Announcement(
            Host(self._id, self._id, os="Debian GNU/Linux 12", arch="x86_64", model="PC"),
            {name: Report(self._interval, tuple(those)) for name, those in readings.items()},
            {"agent": describe_agent(), "trust": Trust(tuple(self._ring.ids))},
        )

    async def _say_goodbye(self) -> None:
        changed = Alarm()
        self._transport.observe(changed.ring)
        until = time.monotonic() + _FAREWELL
        self.publisher.leave()
        while self._transport.online and not self._transport.settled and time.monotonic() < until:
            await changed.wait(until)
        self._transport.close()


class SimulatedFleet:
    """The hosts, and what is asked of them."""

    def __init__(self) -> None:
        self._hosts: dict[str, SimulatedHost] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._every = 0

    async def start(
        self, port: int, key: str, hosts: int, interval: float, counts: Mapping[str, list[int]]
    ) -> Answer:
        """Switch all hosts on in the same moment.

        Args:
            port: Of the broker, on loopback.
            key: The key of the fleet, base64.
            hosts: How many there are.
            interval: Seconds between two reports of a host.
            counts: What their sensors had come to before, from `counts()`; nothing at first.
        """
        self._fleet = Fleet(hosts)
        self._fleet.counts.update({host: list(those) for host, those in counts.items()})
        self._make = partial(
            SimulatedHost,
            fleet=self._fleet,
            broker=Broker("127.0.0.1", port),
            key=base64.b64decode(key),
            interval=interval,
        )
        return await self.switch_on(self._fleet.hosts)

    async def switch_on(self, hosts: Iterable[str]) -> Answer:
        """Switch hosts on."""
        for name in hosts:
            host = self._hosts[name] = self._make(name)
            host.every = self._every
            self._tasks[name] = asyncio.create_task(host.run())
        return {}

    async def switch_off(self, hosts: Iterable[str]) -> Answer:
        """Switch hosts off in order, and wait until they have said so."""
        names = list(hosts)
        for name in names:
            self._hosts.pop(name).switch_off()
        await asyncio.gather(*(self._tasks.pop(name) for name in names))
        return {}

    async def online(self) -> Answer:
        """Return how many hosts a broker has accepted."""
        return {"online": sum(host.publisher.arrived for host in self._hosts.values())}

    async def change(self, every: int) -> Answer:
        """Change every so-many-th value of each host once, as of its next report."""
        self._fleet.change(every)
        return {}

    async def keep_changing(self, every: int) -> Answer:
        """Change every so-many-th value of a host with each of its reports; none for 0."""
        self._every = every
        for host in self._hosts.values():
            host.every = every
        return {}

    async def counts(self) -> Answer:
        """Return what the values are made of, for `start()` of another process."""
        return {"counts": self._fleet.counts}

    async def values(self) -> Answer:
        """Return the values of the hosts that are on, in the order of `SENSORS`."""
        return {"values": {host: self._fleet.values(host) for host in self._hosts}}


def main() -> None:
    """Run as a program."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    asyncio.run(serve(SimulatedFleet()))


if __name__ == "__main__":
    main()
