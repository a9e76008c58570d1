"""Puts backlogs into the recorder's long-term statistics, hour by hour.

Hours are written over, never added to, and what they were made of is kept until they are
seen in the database: whatever happens in between, doing it again ends in the same.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.recorder.entity_options import is_entity_recorded
from homeassistant.components.recorder.statistics import async_import_statistics
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.components.sensor import ATTR_STATE_CLASS, DOMAIN as SENSOR
from homeassistant.const import EVENT_RECORDER_5MIN_STATISTICS_GENERATED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, UnsupportedStorageVersionError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.util import dt as dt_util
from sqlalchemy.exc import SQLAlchemyError

from ..const import DOMAIN, LOGGER
from ..devices import unique_id
from ..rooms.rooms import HOUR, hour_of
from ..rooms.runtime import PLACEMENTS
from ..storage import ODD, FileFault, async_forget_unreadable, async_unreadable
from .compute import Job, Unknown, Work, compiled_to, compute, is_written, known_statistics
from .database import BacklogDatabase
from .store import (
    KEY,
    MAX_POINTS,
    MAX_POINTS_OF_HOST,
    Backlogs,
    FormerStore,
    HostBacklog,
    Kept,
    joined,
)

if TYPE_CHECKING:
    from homeassistant.config_entries import ConfigEntry

    from ..protocol.backlog import Chunk

AT_ONCE: Final = 20
"""Statistics that are computed before any of them is written."""


class Importer:
    """The backlogs of all hosts, and their way into the recorder."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to load what waits."""
        self.hass = hass
        self.hosts: Backlogs = {}
        self._database = BacklogDatabase(Path(hass.config.path(STORAGE_DIR, f"{KEY}.db")))
        self._entities = er.async_get(hass)
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._full: set[str] = set()
        self._wrong_clocks: set[str] = set()

    async def async_start(self) -> None:
        """Load what waits, and go on once Home Assistant has started.

        Raises:
            UnreadableFileError: It cannot be read; nothing of it is touched.
            HomeAssistantError: It cannot be written.
        """
        former_store = FormerStore(self.hass)
        path = self._database.path
        try:
            self.hosts = await self.hass.async_add_executor_job(self._database.load)
        except UnsupportedStorageVersionError as err:
            raise async_unreadable(self.hass, path, FileFault.NEWER, err) from err
        except (OSError, sqlite3.Error, *ODD) as err:
            raise async_unreadable(self.hass, path, FileFault.DAMAGED, err) from err
        async_forget_unreadable(self.hass, path)
        if (former := await former_store.async_read()) is not None:
            self.hosts = joined(self.hosts, former)
            await self._save()
            await former_store.async_remove()
        self.hass.bus.async_listen(EVENT_RECORDER_5MIN_STATISTICS_GENERATED, self._on_compiled)
        async_at_started(self.hass, self._on_started)

    # --- What hosts deliver ------------------------------------------------------------------

    async def async_take(self, host_id: str, chunk: Chunk, units: Mapping[str, str | None]) -> bool:
        """Keep a chunk, and say whether its host may forget it.

        Args:
            host_id: Whose.
            chunk: What it measured.
            units: The units of its numeric readings.
        """
        async with self._writing:
            if not self._is_wanted(host_id):
                return False  # It was removed meanwhile.
            if self.hass.is_stopping:
                return False  # The recorder answers nothing more.
            host = self.hosts.get(host_id) or HostBacklog()
            now = dt_util.utcnow().timestamp()
            if chunk.id in host.chunks:
                if host.is_open_again(chunk):
                    waiting = host.copy()
                    waiting.open_again(chunk, now)
                    return await self._keep(host_id, waiting)
                return True
            if host.clocks_differ(chunk, now):
                self._wait_for_clocks(host_id)
                return False
            self._wrong_clocks.discard(host_id)
            try:
                hopeless = await self._hopeless(host_id, chunk.values)
            except SQLAlchemyError as err:
                LOGGER.error(
                    "A chunk of an outage is not taken, and stays on its host: the recorder's "
                    "database cannot be read: %s",
                    err,
                )
                return False
            taken = host.copy()
            taken.take(chunk, units, now, hopeless)
            if taken.points > host.points and self._is_full(host_id, host):
                taken.make_room(now)
                if taken.points >= host.points:
                    return False
            if not await self._keep(host_id, taken):
                return False
        self._wake()
        return True

    async def _keep(self, host_id: str, taken: HostBacklog) -> bool:
        """Write down what was taken of a host, and say whether that went well."""
        try:
            await self._write_to_disk({**self.hosts, host_id: taken})
        except HomeAssistantError as err:
            LOGGER.error("A chunk of an outage is not taken, and stays on its host: %s", err)
            return False
        self.hosts[host_id] = taken
        return True

    async def async_forget(self, host_id: str) -> None:
        """Forget what a host delivered: it is not in Home Assistant any more."""
        async with self._writing:
            if self.hosts.pop(host_id, None) is not None:
                try:
                    await self._save()
                except HomeAssistantError as err:
                    # What is left there is forgotten with the next import.
                    LOGGER.error("What a removed host delivered is still there: %s", err)

    async def async_move(self, entry: ConfigEntry, new_id: str) -> None:
        """Give a config entry the id of its host's new installation, and what waits along with it.

        Its entities have that id already: what was delivered becomes the same statistics as ever.
        """
        assert entry.unique_id is not None
        async with self._writing:
            waiting = self.hosts.pop(entry.unique_id, None)
            # Not before: of a host without a config entry nothing is kept.
            self.hass.config_entries.async_update_entry(entry, unique_id=new_id)
            if waiting is None:
                return
            self.hosts = joined(self.hosts, {new_id: waiting})
            try:
                await self._save()
            except HomeAssistantError as err:
                # It is written with the next import.
                LOGGER.error("What a reinstalled host delivered has its old id still: %s", err)

    def _is_wanted(self, host_id: str) -> bool:
        entries = self.hass.config_entries
        return entries.async_entry_for_domain_unique_id(DOMAIN, host_id) is not None

    def _wait_for_clocks(self, host_id: str) -> None:
        if host_id not in self._wrong_clocks:
            self._wrong_clocks.add(host_id)
            LOGGER.warning(
                "The clocks of the host %s and of Home Assistant differ by more than an hour: what "
                "it measured during an outage stays there until both are right",
                host_id,
            )

    def _is_full(self, host_id: str, host: HostBacklog) -> bool:
        """Say whether a host has to wait; one that has little never waits for another."""
        own = host.points
        others = [other.points for key, other in self.hosts.items() if key != host_id]
        share = MAX_POINTS // (1 + sum(map(bool, others)))
        full = own >= MAX_POINTS_OF_HOST or (own + sum(others) >= MAX_POINTS and own >= share)
        if not full:
            self._full.discard(host_id)
        elif host_id not in self._full:
            self._full.add(host_id)
            LOGGER.warning(
                "%s values of outages of the host %s wait to become statistics; no more are "
                "taken from it, which keeps them, until the recorder has caught up",
                own,
                host_id,
            )
        return full

    async def _hopeless(self, host_id: str, keys: Iterable[str]) -> dict[str, str]:
        """Return the readings that get no statistic as things are now, and why.

        A sensor that has a statistic from before is completed also when it is disabled now, and
        one that is not in the registry yet may be about to be added.
        """
        hopeless: dict[str, str] = {}
        doubtful: dict[str, tuple[str, str]] = {}
        for key in keys:
            if (entity := self._entity(host_id, key)) is None:
                continue
            if not is_entity_recorded(self.hass, entity.entity_id):
                hopeless[key] = "not_recorded"
            elif entity.disabled:
                doubtful[entity.entity_id] = key, "disabled"
            elif not (entity.capabilities or {}).get(ATTR_STATE_CLASS):
                doubtful[entity.entity_id] = key, "no_state_class"
        if doubtful:
            known = await get_instance(self.hass).async_add_executor_job(
                known_statistics, self.hass, set(doubtful)
            )
            hopeless |= {
                key: reason
                for entity_id, (key, reason) in doubtful.items()
                if entity_id not in known
            }
        return hopeless

    @callback
    def async_diagnostics(self, host_id: str) -> dict[str, Any]:
        """Return what waits of a host."""
        host = self.hosts.get(host_id) or HostBacklog()
        todo = [kept.todo_from for kept in host.readings.values() if kept.todo_from is not None]
        return {
            "chunks": len(host.chunks),
            "more_to_come": host.open_to is not None,
            "waiting": {key: kept.waiting for key, kept in host.readings.items() if kept.waiting},
            "waiting_from": dt_util.utc_from_timestamp(min(todo)).isoformat() if todo else None,
            "without_statistic": [
                key for key, kept in host.readings.items() if kept.unknown_since is not None
            ],
            "kept": host.points,
            "full": host_id in self._full,
            "dropped": {reason: count for reason, count in host.dropped.items() if count},
        }

    # --- Work --------------------------------------------------------------------------------

    @callback
    def _on_started(self, hass: HomeAssistant) -> None:
        self._wake()

    @callback
    def _on_compiled(self, event: Event) -> None:
        self._wake()

    @callback
    def _wake(self) -> None:
        """Compute what can be, now or once that which goes on is done."""
        if not self.hass.is_running or not self._todo():
            return
        if self._task is not None:
            self._again = True
            return
        self._task = self.hass.async_create_background_task(self._work(), "Pilot backlog")

    def _todo(self) -> bool:
        now = hour_of(dt_util.utcnow().timestamp())
        return any(
            kept.todo_from is not None and kept.todo_from < now
            for host in self.hosts.values()
            for kept in host.readings.values()
        )

    async def _work(self) -> None:
        try:
            while True:
                self._again = False
                await self._import()
                if not self._again:
                    break
        except HomeAssistantError, SQLAlchemyError:
            LOGGER.exception(
                "What was measured during an outage cannot be imported now; "
                "it is kept, and tried again after the next statistics"
            )
        finally:
            self._task = None

    async def _import(self) -> None:
        # The recorder tells of new statistics just before it has committed them.
        await self._recorder_done()
        recorder = get_instance(self.hass)
        compiled = await recorder.async_add_executor_job(compiled_to, self.hass)
        async with self._writing:
            await self._forget()
            jobs = self._jobs(compiled)
        for first in range(0, len(jobs), AT_ONCE):
            computed = [
                await recorder.async_add_executor_job(compute, self.hass, job)
                for job in jobs[first : first + AT_ONCE]
            ]
            await self._wait_for([one for one in computed if isinstance(one, Unknown)])
            await self._write([one for one in computed if isinstance(one, Work)])

    async def _recorder_done(self) -> None:
        """Wait until the recorder has committed all that it was given."""
        done: asyncio.Future[None] = self.hass.loop.create_future()
        get_instance(self.hass).queue_task(SynchronizeTask(done))
        await done

    async def _forget(self) -> None:
        """Forget what cannot become a statistic any more."""
        now = dt_util.utcnow().timestamp()
        for host_id in [host_id for host_id in self.hosts if not self._is_wanted(host_id)]:
            del self.hosts[host_id]
        for host_id, host in self.hosts.items():
            hopeless = await self._hopeless(host_id, host.readings)
            for key in list(host.readings):
                if self._entity(host_id, key) is None:
                    host.drop(key, "removed")
                elif (reason := hopeless.get(key)) is not None:
                    host.drop(key, reason)
                else:
                    host.forget_old(key, now)
        await self._save()

    async def _wait_for(self, unknown: list[Unknown]) -> None:
        """Note what the recorder does not know yet."""
        if not unknown:
            return
        now = dt_util.utcnow().timestamp()
        async with self._writing:
            for one in unknown:
                host = self.hosts.get(one.job.host_id)
                if host is not None and one.job.key in host.readings:
                    host.wait_for_statistic(one.job.key, one.reason, now)
            await self._save()

    def _jobs(self, compiled: int) -> list[Job]:
        """Return what can be computed now."""
        jobs: list[Job] = []
        now = dt_util.utcnow().timestamp()
        for host_id, host in self.hosts.items():
            complete_to = host.complete_to(now)
            full = self._is_full(host_id, host)
            for key, kept in host.readings.items():
                if (entity := self._entity(host_id, key)) is None:
                    continue
                end = compiled
                if complete_to < inf:
                    # A counter is computed as a whole, or it could not be known what it
                    # counted by the end; unless nothing more would come for want of room.
                    waits = self._counts(entity) and not full
                    end = min(end, 0 if waits else hour_of(complete_to))
                if kept.todo_from is not None and kept.todo_from < end:
                    state = self.hass.states.get(entity.entity_id)
                    jobs.append(
                        Job(
                            host_id,
                            key,
                            kept,
                            entity.entity_id,
                            entity.device_id,
                            end,
                            state,
                            host.heard,
                        )
                    )
        return jobs

    def _entity(self, host_id: str, key: str) -> er.RegistryEntry | None:
        """Return the entity of a reading, whatever it is called now, disabled or not."""
        entity_id = self._entities.async_get_entity_id(SENSOR, DOMAIN, unique_id(host_id, key))
        return None if entity_id is None else self._entities.async_get(entity_id)

    @staticmethod
    def _counts(entity: er.RegistryEntry) -> bool:
        return str((entity.capabilities or {}).get(ATTR_STATE_CLASS, "")).startswith("total")

    async def _write(self, works: list[Work]) -> None:
        """Have hours written, and forget what they were made of once they are."""
        if not works:
            return
        await self._keep_bases(works)
        for work in works:
            # Its statistic is called otherwise when the entity has got another id meanwhile.
            if work.rows and self._is_current(work):
                async_import_statistics(self.hass, work.metadata, work.rows)
        await self._recorder_done()
        recorder = get_instance(self.hass)
        written = [
            work
            for work in works
            if self._is_current(work)
            and await recorder.async_add_executor_job(is_written, self.hass, work)
        ]
        async with self._writing:
            for work in written:
                self._finish(work)
            await self._save()
        await self._tell_rooms(written)

    async def _keep_bases(self, works: list[Work]) -> None:
        """Write down what hours were before they are written over, where they depend on it."""
        async with self._writing:
            for work in works:
                kept = self._kept(work)
                if kept is not None and work.bases and kept.bases != work.bases:
                    with_bases = replace(kept, bases={**kept.bases, **work.bases})
                    self.hosts[work.job.host_id].readings[work.job.key] = with_bases
            await self._save()

    def _kept(self, work: Work) -> Kept | None:
        host = self.hosts.get(work.job.host_id)
        return None if host is None else host.readings.get(work.job.key)

    def _is_current(self, work: Work) -> bool:
        entity = self._entity(work.job.host_id, work.job.key)
        return entity is not None and entity.entity_id == work.job.entity_id

    def _finish(self, work: Work) -> None:
        job, kept = work.job, self._kept(work)
        if kept is None:
            return
        if kept.points != job.kept.points:
            # More came meanwhile: it is computed again, with that.
            self._again = True
            return
        now = dt_util.utcnow().timestamp()
        self.hosts[job.host_id].readings[job.key] = job.kept.done(work.series, job.end, now)

    async def _tell_rooms(self, works: list[Work]) -> None:
        """Have the rooms computed anew where the sensors stood."""
        placements = self.hass.data.get(PLACEMENTS)
        if placements is None:
            return
        for work in works:
            if work.rows and work.job.device_id is not None:
                starts = [row["start"].timestamp() for row in work.rows]
                await placements.tracker.async_statistics_changed(
                    work.job.device_id, min(starts), max(starts) + HOUR
                )

    async def _save(self) -> None:
        await self._write_to_disk(self.hosts)

    async def _write_to_disk(self, hosts: Mapping[str, HostBacklog]) -> None:
        snapshot = {host_id: host.copy() for host_id, host in hosts.items()}
        try:
            await self.hass.async_add_executor_job(self._database.write, snapshot)
        except (OSError, sqlite3.Error) as err:
            raise HomeAssistantError(f"{self._database.path} cannot be written: {err}") from err
