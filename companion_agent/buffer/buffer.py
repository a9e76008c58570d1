"""The backlog in the running agent: what the loop and the wire see of it.

While everything is heard nothing happens here but a comparison of numbers in memory: no file, no
SQLite, no wake-up.
"""

from __future__ import annotations

from collections import deque
from functools import partial
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol

from companion_agent.buffer.consumer_status import Audience
from companion_agent.buffer.deliver import Delivery
from companion_agent.buffer.record import TAIL, Recorder
from companion_agent.buffer.settings import DAY, FILE, MIB
from companion_agent.buffer.task import Report, Task
from companion_agent.clock import JUMP
from companion_agent.mqtt.connection import Message
from companion_agent.mqtt.publisher import Standing
from companion_agent.protocol.backlog import write_chunk
from companion_agent.protocol.messages import BIRTH_OFFLINE, BIRTH_ONLINE
from companion_agent.worker import Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from companion_agent.buffer.settings import BacklogConfig
    from companion_agent.buffer.store import Store
    from companion_agent.clock import Clocks
    from companion_agent.models import Value
    from companion_agent.protocol.topics import Topics
    from companion_agent.security.acknowledgements import Acknowledgement

LOG = logging.getLogger(__name__)

# A connection that is there within this time needs no backlog: what every reading is now is said
# at once, with the time at which it was read.
PROMPT = 10.0
# The broker's last word proves that what was said well before it has arrived.
MARGIN = 5.0
# While a write is awaited, look this often whether it hangs.
PATIENCE = 1.0
# A write that takes longer is hung.
WRITE_LIMIT = 60.0
# How often old readings are dropped that nobody fetches.
HOUSEKEEPING = 3600.0
_CLOSE = "close"
# Who has to acknowledge while nobody is paired: anybody.
ANYBODY = ""


class Wire(Protocol):
    """What publishes."""

    @property
    def last_heard(self) -> float:
        """When the broker was last heard, by the monotonic clock."""

    def publish(self, message: Message) -> bool:
        """Send a message."""


class Trust(Protocol):
    """Who is believed, and who shall believe this host."""

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all keys."""

    def seal(self, topic: str, body: bytes) -> bytes:
        """Sign what this host says."""

    def acknowledgement(
        self, topic: str, payload: bytes, *, retained: bool
    ) -> Acknowledgement | None:
        """Verify an acknowledgement."""


class Backlog:
    """Keeps what nobody hears, and delivers it when somebody does.

    The loop tells what is read, calls `step()` after every wake-up and at `deadline()`. Presence
    tells what is heard.

    Args:
        config: How long and how much is kept.
        folder: The state folder.
        topics: The host's topics.
        birth_topic: Where Home Assistant says that it comes and goes; empty to not listen.
        session: The session of this start of the agent.
        wire: Publishes.
        trust: Signs and verifies.
        wake: Wakes the loop from another thread.
        clocks: The host's clocks.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        config: BacklogConfig,
        folder: Path,
        topics: Topics,
        birth_topic: str,
        session: str,
        wire: Wire,
        trust: Trust,
        wake: Callable[[], None],
        clocks: Clocks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._folder = folder
        self._topics = topics
        self._birth_topic = birth_topic
        self._session = session
        self._wire = wire
        self._trust = trust
        self._clocks = clocks
        self._clock = clock
        self._worker = Worker(wake, clock)
        self._recorder = Recorder(clocks, clock)
        self._audience = Audience(clock)
        self._delivery = Delivery(clock)
        self._store: Store | None = None
        self._standing = Standing.UNHEARD
        self._began = 0.0
        self._began_afresh = True
        self._exists = False  # there is a file
        self._asked = False  # there is something to do with it at once
        self._write_due = math.inf
        self._blocked = -math.inf  # until then, after a failure
        self._tasks: deque[Task] = deque()  # what the worker does; one, and at the end another
        self._acknowledged: list[tuple[str, str]] = []
        self._readers: tuple[str, ...] = ()
        self._offset = 0.0
        self._held = False
        self._trouble = ""
        self._said: set[str] = set()

    # --- What the loop asks and tells ----------------------------------------------------

    def start(self) -> None:
        """Look whether something was left behind."""
        self._exists = self._asked = self._config.enabled and (self._folder / FILE).exists()

    def note(self, collector: str, read_at: float, values: Mapping[str, Value]) -> None:
        """Take what a collector reports.

        Args:
            collector: Its name.
            read_at: When it was read, seconds since 1970 by the wall clock.
            values: What it read, settled.
        """
        if self._config.enabled:
            self._recorder.note(collector, read_at, values)
            self._recorder.expire(self._wire.last_heard - MARGIN)

    def forget(self, collector: str) -> None:
        """Take note that a collector reports nothing any more."""
        self._recorder.forget(collector)

    def gap(self) -> None:
        """Take note that this machine slept."""
        self._recorder.gap()

    def deadline(self) -> float:
        """Return when `step()` is due without an event; infinity for never."""
        if self._tasks:
            # Its end wakes the loop, but one that hangs has to be noticed.
            return self._clock() + PATIENCE
        return min(
            max(self._write_due, self._blocked),
            self._audience.deadline(),
            self._delivery.deadline() if self._standing is Standing.HEARD else math.inf,
        )

    def step(self, standing: Standing) -> None:
        """Do what is due.

        Args:
            standing: Whether what this host says is heard.
        """
        if not self._config.enabled:
            return
        self._take_results()
        if self._worker.hung():
            self._complain("the disk does not answer")
        self._follow(standing)
        self._submit()
        if standing is Standing.HEARD:
            self._send()

    def close(self) -> None:
        """Write what is not written; `settled` tells when that is done."""
        recording = self._recorder.recording
        if recording:
            self._recorder.end(unheard=True)
        if self._recorder.waiting or self._acknowledged or (recording and self._exists):
            self._hand_over("last write", deliver=False)
        if self._exists:
            self._worker.submit([Job(_CLOSE, self._let_go, WRITE_LIMIT)])

    @property
    def settled(self) -> bool:
        """Whether the disk has everything."""
        self._take_results()
        return not self._worker.watching

    def stop(self) -> None:
        """Do nothing more."""
        if self._tasks or self._recorder.waiting:
            LOG.warning("The last readings could not be kept")
        self._worker.stop()

    # --- What is heard -------------------------------------------------------------------

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return [self._topics.acknowledge] if self._config.enabled else []

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on one of the topics, or what Home Assistant says of itself."""
        if not self._config.enabled:
            return
        if topic == self._topics.acknowledge:
            self._hear_acknowledgement(payload, retained=retained)
        elif topic == self._birth_topic and payload == BIRTH_OFFLINE:
            self._audience.goes()
            self._asked = True
        elif topic == self._birth_topic and payload == BIRTH_ONLINE:
            self._audience.comes()
            if not retained:
                self._delivery.again()

    def _hear_acknowledgement(self, payload: bytes, *, retained: bool) -> None:
        said = self._trust.acknowledgement(self._topics.acknowledge, payload, retained=retained)
        if said is None:
            return
        reader = said.key_id or ANYBODY
        if self._delivery.acknowledge(reader, said.chunk):
            self._acknowledged.append((reader, said.chunk))
            self._audience.answers(reader)
            self._audience.expect(self._readers)

    # --- Whether to record ---------------------------------------------------------------

    def _follow(self, standing: Standing) -> None:
        now = self._clock()
        before, self._standing = self._standing, standing
        if self._audience.step():
            self._asked = True
        heard = standing is Standing.HEARD
        if heard and before is not Standing.HEARD:
            self._arrive(now)
        wanted = standing is Standing.UNHEARD or (heard and self._audience.in_doubt)
        if wanted and not self._recorder.recording:
            self._begin(now, before)
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
            self._recorder.begin(self._wire.last_heard - MARGIN)
        else:
            self._recorder.begin()

    def _arrive(self, now: float) -> None:
        self._delivery.again()
        prompt = self._began_afresh and now - self._began < PROMPT
        if prompt and not self._exists:
            self._recorder.discard()
        elif self._exists or self._recorder.waiting:
            self._audience.doubt()
            self._asked = True

    # --- The disk ------------------------------------------------------------------------

    def _submit(self) -> None:
        now = self._clock()
        if self._tasks or now < self._blocked:
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
        if self._exists or self._recorder.waiting or self._audience.away:
            self._hand_over("write", deliver=self._standing is Standing.HEARD)

    def _hand_over(self, name: str, *, deliver: bool) -> None:
        task = Task(
            moment=self._clocks.moment(),
            boot=self._clocks.boot_id,
            readers=self._present_readers(),
            points=self._recorder.take(),
            acknowledged=self._acknowledged,
            recording=self._recorder.recording,
            away=self._audience.away if self._audience.known else None,
            deliver=deliver,
        )
        self._acknowledged = []
        self._exists = True
        self._tasks.append(task)
        self._worker.submit([Job(name, partial(self._work, task), WRITE_LIMIT)])

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

    def _take_results(self) -> None:
        for result in self._worker.results():
            if result.name == _CLOSE:
                continue
            task = self._tasks.popleft()
            if isinstance(result.value, Report):
                self._stored(task, result.value)
            else:
                self._failed(task, result.error)

    def _stored(self, task: Task, report: Report) -> None:
        if self._trouble:
            LOG.info("The backlog is kept again")
            self._trouble = ""
        self._exists = not report.empty
        self._readers = task.readers
        self._offset = task.moment.offset
        self._held = report.held
        self._audience.expect(task.readers)
        if not self._recorder.recording:
            self._write_due = self._clock() + self._pause
        if report.away:
            self._audience.was_away()
        self._delivery.take(
            {
                reader: chunk
                for reader, chunk in report.chunks.items()
                if (reader, chunk.id) not in self._acknowledged
            }
        )
        self._tell(report)

    def _failed(self, task: Task, error: Exception | None) -> None:
        self._recorder.put_back(task.points)
        self._complain(str(error))
        self._blocked = self._clock() + self._config.write_interval
        self._write_due = min(self._write_due, self._blocked)
        self._asked = True

    def _present_readers(self) -> tuple[str, ...]:
        return tuple(self._trust.ids) or (ANYBODY,)

    def _clock_was_set(self) -> bool:
        if not (self._held or self._delivery.under_way):
            return False
        return abs(self._clocks.moment().offset - self._offset) > JUMP

    # --- The wire ------------------------------------------------------------------------

    def _send(self) -> None:
        topic = self._topics.backlog
        for chunk in self._delivery.due():
            body = write_chunk(
                chunk.id, self._session, self._clocks.moment().wall, chunk.values, more=chunk.more
            )
            payload = self._trust.seal(topic, body)
            self._wire.publish(Message(topic, payload, qos=1, retain=False))

    # --- The log -------------------------------------------------------------------------

    def _complain(self, trouble: str) -> None:
        if not self._trouble:
            LOG.error("Readings that nobody hears cannot be kept: %s", trouble)
        self._trouble = trouble

    def _tell(self, report: Report) -> None:
        if report.moved:
            LOG.info(
                "The clock was set: what was read before that is moved by %+.0f s", report.moved
            )
        if report.held:
            self._say_once("The backlog is not delivered before somebody sets this host's clock")
        if report.timeless:
            LOG.warning(
                "%d readings are not delivered: the clock was wrong, and nobody knows by how much",
                report.timeless,
            )
        if report.too_old:
            self._say_once(
                f"What nobody has fetched for {self._config.max_age / DAY:g} days is dropped"
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
            LOG.warning("%s", text)
