"""The buffer of readings that could not be delivered, in the running agent.

While everything is heard nothing happens here but a comparison of numbers in memory: no file, no
SQLite, no wake-up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol, cast

from companion_agent.buffer.consumer_status import ConsumerStatus
from companion_agent.buffer.deliver import Delivery
from companion_agent.buffer.record import TAIL, Recorder
from companion_agent.buffer.task import CHUNK_BYTES, Report, Task
from companion_agent.clock import JUMP
from companion_agent.config.buffer import DAY, FILE, MIB
from companion_agent.mqtt.connection import Message
from companion_agent.mqtt.publisher import Standing
from companion_agent.protocol.backlog import write_chunk
from companion_agent.protocol.messages import BIRTH_OFFLINE, BIRTH_ONLINE
from companion_agent.timing import SPREAD, Alarm
from companion_agent.worker import Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from companion_agent.buffer.store import Store
    from companion_agent.clock import Clocks
    from companion_agent.config.buffer import BacklogConfig
    from companion_agent.models import Value
    from companion_agent.mqtt.router import Router
    from companion_agent.protocol.topics import Topics
    from companion_agent.security.acknowledgements import Acknowledgement

_LOGGER = logging.getLogger(__name__)

# A connection that is there within this time needs no buffer: what every reading is now is
# published at once, with the time at which it was read.
PROMPT = 10.0
# The broker's last word proves that what was said well before it has arrived.
MARGIN = 5.0
# A write that takes longer is hung.
WRITE_LIMIT = 60.0
# How often old readings are dropped that are not fetched.
HOUSEKEEPING = 3600.0
# By how much the envelope of an empty chunk may be shorter than that of another: its time.
_ROUNDING = 32
# The reader that has to acknowledge while none is paired: any.
ANY_READER = ""


class Transport(Protocol):
    """What publishes."""

    @property
    def last_heard(self) -> float:
        """When the broker was last heard, by the monotonic clock."""

    def room(self, topic: str) -> float:
        """Return how many bytes a message on a topic may have."""

    def publish(self, message: Message) -> bool:
        """Send a message."""


class Signer(Protocol):
    """What signs what this host says."""

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all keys."""

    def seal(self, topic: str, body: bytes) -> bytes:
        """Sign what this host says."""


class Acknowledgements(Protocol):
    """What verifies acknowledgements."""

    def read(self, topic: str, payload: bytes, *, retained: bool) -> Acknowledgement | None:
        """Verify an acknowledgement; `None` when it is refused."""


class Buffer:
    """Keeps what is not heard, and delivers it when it can be.

    `run()` is its task, and `close()` writes what is left after it was cancelled.

    Args:
        config: How long and how much is kept.
        folder: The state folder.
        topics: The host's topics.
        session: The session of this start of the agent.
        transport: Publishes.
        signer: Signs.
        acknowledgements: Verifies.
        standing: Tells whether what this host says is heard.
        clocks: The host's clocks.
        clock: Monotonic seconds, those of the event loop.
        phase: The host's place among many, from 0 to below 1: those that find Home Assistant or the
            broker there in the same second deliver at different moments.
    """

    def __init__(
        self,
        config: BacklogConfig,
        folder: Path,
        topics: Topics,
        session: str,
        transport: Transport,
        signer: Signer,
        acknowledgements: Acknowledgements,
        standing: Callable[[], Standing],
        clocks: Clocks,
        clock: Callable[[], float] = time.monotonic,
        phase: float = 0.0,
    ) -> None:
        self._config = config
        self._folder = folder
        self._topics = topics
        self._session = session
        self._transport = transport
        self._signer = signer
        self._acknowledgements = acknowledgements
        self._tell_standing = standing
        self._clocks = clocks
        self._clock = clock
        self._alarm = Alarm()
        self._worker = Worker()
        self._recorder = Recorder(clocks, clock)
        self._consumers = ConsumerStatus(clock)
        self._delivery = Delivery(clock, phase * SPREAD)
        self._store: Store | None = None
        self._standing = Standing.UNHEARD
        self._began = 0.0
        self._began_afresh = True
        self._exists = False  # there is a file
        self._asked = False  # there is something to do with it at once
        self._write_due = math.inf
        self._blocked = -math.inf  # until then, after a failure
        self._writes: deque[asyncio.Task[None]] = deque()  # one, and at the end another
        self._acknowledged: list[tuple[str, str]] = []
        self._readers: tuple[str, ...] = ()
        self._offset = 0.0
        self._held = False
        self._trouble = ""
        self._said: set[str] = set()

    async def run(self) -> None:
        """Record, write and deliver when that is due, until cancelled."""
        self._exists = self._asked = self._config.enabled and (self._folder / FILE).exists()
        while True:
            self._step()
            await self._alarm.wait(self._deadline())

    def look_again(self) -> None:
        """Look whether what this host says is heard, and who has to acknowledge it."""
        self._alarm.ring()

    # --- What is read --------------------------------------------------------------------

    def note(self, collector: str, read_at: float, values: Mapping[str, Value]) -> None:
        """Take what a collector reports.

        Args:
            collector: Its name.
            read_at: When it was read, seconds since 1970 by the wall clock.
            values: What it read, settled.
        """
        if self._config.enabled:
            self._recorder.note(collector, read_at, values)
            self._recorder.expire(self._transport.last_heard - MARGIN)
            if self._exists:
                # The clock may have been set since.
                self._alarm.ring()

    def forget(self, collector: str) -> None:
        """Take note that a collector reports nothing any more."""
        self._recorder.forget(collector)

    def gap(self) -> None:
        """Take note that this machine slept."""
        self._recorder.gap()

    @property
    def gone(self) -> bool:
        """Whether Home Assistant has said that it goes, and nothing since; safe from any thread."""
        return self._consumers.gone

    # --- In the event loop ---------------------------------------------------------------

    def _deadline(self) -> float:
        """Return when `_step()` is due without an event; infinity for never."""
        if not self._config.enabled:
            return math.inf
        return min(
            math.inf if self._writes else max(self._write_due, self._blocked),
            self._consumers.deadline(),
            self._delivery.deadline() if self._standing is Standing.HEARD else math.inf,
        )

    def _step(self) -> None:
        """Do what is due."""
        if not self._config.enabled:
            return
        standing = self._tell_standing()
        self._follow(standing)
        self._submit()
        if standing is Standing.HEARD:
            self._send()

    async def close(self, limit: float) -> None:
        """Write what is not written; `run()` has ended before.

        Args:
            limit: Seconds after which it is given up.
        """
        recording = self._recorder.recording
        if recording:
            self._recorder.end(unheard=True)
        if self._recorder.waiting or self._acknowledged or (recording and self._exists):
            self._hand_over("last write", deliver=False)
        if self._exists:
            self._begin_write(self._close_file())
        if self._writes:
            await asyncio.wait(self._writes, timeout=limit)
        if self._writes or self._recorder.waiting:
            _LOGGER.warning("The last readings could not be kept")
        for write in self._writes:
            write.cancel()
        self._worker.stop()

    # --- What is heard -------------------------------------------------------------------

    def listen(self, router: Router, birth_topic: str) -> None:
        """Have what concerns the buffer handed here.

        Args:
            router: Hands on messages.
            birth_topic: Where Home Assistant says that it comes and goes; empty to not listen.
        """
        if not self._config.enabled:
            return
        router.add(self._topics.acknowledge, self.hear_acknowledgement)
        if birth_topic:
            router.add(birth_topic, self.hear_birth)

    def hear_birth(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take what Home Assistant says of itself."""
        if payload == BIRTH_OFFLINE:
            self._consumers.goes()
            self._asked = True
        elif payload == BIRTH_ONLINE:
            # What was said since it was away is written, and delivered, at once.
            self._asked |= self._consumers.comes(just_now=not retained)
            if not retained:
                self._delivery.again()
        self._alarm.ring()

    def hear_acknowledgement(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take what a reader says it has got."""
        said = self._acknowledgements.read(topic, payload, retained=retained)
        if said is None:
            return
        reader = said.key_id or ANY_READER
        if self._delivery.acknowledge(reader, said.chunk):
            self._acknowledged.append((reader, said.chunk))
            self._consumers.answers(reader)
            self._consumers.expect(self._readers)
            self._alarm.ring()

    # --- Whether to record ---------------------------------------------------------------

    def _follow(self, standing: Standing) -> None:
        now = self._clock()
        before, self._standing = self._standing, standing
        if self._consumers.step():
            self._asked = True
        heard = standing is Standing.HEARD
        if heard and before is not Standing.HEARD:
            self._arrive(now)
        wanted = standing is Standing.UNHEARD or (heard and self._consumers.in_doubt)
        if wanted and not self._recorder.recording:
            self._begin(now, before)
        elif standing is Standing.UNHEARD and before is Standing.HEARD:
            # Recorded in doubt it may all have been heard: what holds now outlasts the connection.
            self._recorder.begin()
        elif self._recorder.recording and not wanted:
            self._recorder.end(unheard=not heard)
            self._asked = True

    def _begin(self, now: float, before: Standing) -> None:
        self._began = now
        self._began_afresh = before is not Standing.HEARD
        self._write_due = now + self._config.write_interval
        if self._standing is Standing.HEARD:
            self._recorder.begin(now - TAIL)
        elif before is Standing.HEARD:
            self._recorder.begin(self._transport.last_heard - MARGIN)
        else:
            self._recorder.begin()

    def _arrive(self, now: float) -> None:
        self._delivery.again()
        prompt = self._began_afresh and now - self._began < PROMPT
        if prompt and not self._exists:
            self._recorder.discard()
        elif self._exists or self._recorder.waiting:
            self._consumers.doubt()
            self._asked = True

    # --- The disk ------------------------------------------------------------------------

    def _submit(self) -> None:
        now = self._clock()
        if self._writes or now < self._blocked:
            return
        readers = self._present_readers()
        due = (
            self._asked
            or now >= self._write_due
            or bool(self._acknowledged)
            or (self._exists and (readers != self._readers or self._clock_was_set()))
        )
        if not due:
            return
        self._asked = False
        self._write_due = now + self._pause
        if self._exists or self._recorder.waiting or self._consumers.away:
            self._hand_over("write", deliver=self._standing is Standing.HEARD)

    def _hand_over(self, name: str, *, deliver: bool) -> None:
        task = Task(
            moment=self._clocks.moment(),
            boot=self._clocks.boot_id,
            readers=self._present_readers(),
            points=self._recorder.take(),
            acknowledged=self._acknowledged,
            recording=self._recorder.recording,
            away=self._consumers.away if self._consumers.known else None,
            deliver=deliver,
            chunk_bytes=self._chunk_bytes(),
        )
        self._acknowledged = []
        self._exists = True
        self._begin_write(self._write(name, task))

    def _begin_write(self, write: Coroutine[object, object, None]) -> None:
        begun = asyncio.get_running_loop().create_task(write)
        self._writes.append(begun)
        begun.add_done_callback(self._end_write)

    def _end_write(self, write: asyncio.Task[None]) -> None:
        self._writes.remove(write)
        self._alarm.ring()
        if not write.cancelled():
            write.result()

    async def _write(self, name: str, task: Task) -> None:
        job = Job(name, partial(self._work, task), math.inf)
        written = asyncio.ensure_future(self._worker.run(job))
        if not (await asyncio.wait([written], timeout=WRITE_LIMIT))[0]:
            self._complain("the disk does not answer")
        try:
            report = cast("Report", await written)
        except Exception as error:  # noqa: BLE001  (whatever it is, the readings stay in memory)
            self._failed(task, error)
        else:
            self._stored(task, report)

    async def _close_file(self) -> None:
        await self._worker.run(Job("close", self._let_go, math.inf))

    def _work(self, task: Task) -> Report:
        """Do a task; in the worker."""
        from companion_agent.buffer.store import Store  # noqa: PLC0415  (when it is needed)

        if self._store is None:
            self._store = Store(self._folder, self._config, self._session)
        return self._store.work(task)

    def _let_go(self) -> None:
        """Close the file; in the worker."""
        if self._store:
            self._store.close()

    @property
    def _pause(self) -> float:
        """Seconds to the next write if nothing else asks for one."""
        if self._recorder.recording:
            return self._config.write_interval
        return HOUSEKEEPING if self._exists else math.inf

    def _stored(self, task: Task, report: Report) -> None:
        if self._trouble:
            _LOGGER.info("The backlog is kept again")
            self._trouble = ""
        self._exists = not report.empty
        self._readers = task.readers
        self._offset = task.moment.offset
        self._held = report.held
        self._consumers.expect(task.readers)
        if not self._recorder.recording:
            self._write_due = self._clock() + self._pause
        if report.away:
            self._consumers.was_away()
        self._delivery.take(
            {
                reader: chunk
                for reader, chunk in report.chunks.items()
                if (reader, chunk.id) not in self._acknowledged
            }
        )
        self._tell(report)

    def _failed(self, task: Task, error: Exception) -> None:
        self._recorder.put_back(task.points)
        self._complain(str(error))
        self._blocked = self._clock() + self._config.write_interval
        self._write_due = min(self._write_due, self._blocked)
        self._asked = True

    def _chunk_bytes(self) -> int:
        """Return how large the values of a chunk may be, with all that is around them."""
        topic = self._topics.backlog
        around = write_chunk("0" * 16, self._session, 0.0, {}, more=True)
        room = self._transport.room(topic) - len(self._signer.seal(topic, around))
        return int(max(0, min(CHUNK_BYTES, room - _ROUNDING)))

    def _present_readers(self) -> tuple[str, ...]:
        return tuple(self._signer.ids) or (ANY_READER,)

    def _clock_was_set(self) -> bool:
        if not (self._held or self._delivery.under_way):
            return False
        return abs(self._clocks.moment().offset - self._offset) > JUMP

    # --- Delivery ------------------------------------------------------------------------

    def _send(self) -> None:
        topic = self._topics.backlog
        for chunk in self._delivery.due():
            body = write_chunk(
                chunk.id, self._session, self._clocks.moment().wall, chunk.values, more=chunk.more
            )
            payload = self._signer.seal(topic, body)
            self._transport.publish(Message(topic, payload, qos=1, retain=False))

    # --- The log -------------------------------------------------------------------------

    def _complain(self, trouble: str) -> None:
        if not self._trouble:
            _LOGGER.error("Undelivered readings cannot be kept: %s", trouble)
        self._trouble = trouble

    def _tell(self, report: Report) -> None:
        if report.moved:
            _LOGGER.info(
                "The clock was set: what was read before that is moved by %+.0f s", report.moved
            )
        if report.held:
            self._say_once("The backlog is not delivered before this host's clock is set")
        if report.timeless:
            _LOGGER.warning(
                "%d readings are not delivered: the clock was wrong by an unknown time",
                report.timeless,
            )
        if report.too_old:
            self._say_once(
                f"What was not fetched for {self._config.max_age / DAY:g} days is dropped"
            )
        if report.too_many:
            self._say_once(
                f"The backlog has reached {self._config.max_size // MIB} MiB: its oldest readings "
                "are dropped"
            )
        if self._recorder.overflowed:
            self._say_once("Readings are dropped: the disk does not take them, and memory is full")

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            _LOGGER.warning("%s", text)
