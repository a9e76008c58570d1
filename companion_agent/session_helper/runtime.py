"""The session helper at work: connected to the agent, its domains begun, waiting for events.

It has no MQTT, no keys and no configuration. What it can do is what its domains find; what it does
is what the agent calls. Between events it sleeps: nothing is repeated while the agent is there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
import logging
import sys
from typing import TYPE_CHECKING, Any, Literal

from companion_agent import __version__, signals
from companion_agent.desktop.messages import (
    MAX_TEXT,
    VERSION,
    Call,
    FromAgent,
    FromHelper,
    Happened,
    Hello,
    Offer,
    Offered,
    Outcome,
    Refused,
    Thing,
    Values,
    Welcome,
)
from companion_agent.errors import CommandError, Unavailable
from companion_agent.session_helper import domains
from companion_agent.session_helper.link import AwayError, Link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path

    from companion_agent.desktop.domain import Domain
    from companion_agent.models import Value
    from companion_agent.platforms.windows.session_window import SessionWindow

    Connect = Callable[[Callable[[FromAgent], None]], Awaitable[Link]]
    OpenWindow = Callable[[Callable[[], None]], Awaitable[SessionWindow]]

_LOGGER = logging.getLogger(__name__)

ENDED, ANOTHER_RUNS = 0, 3
"""Exit codes: it was told to end, or there is another helper of this session. Any other is a
failure, after which the service manager starts it again."""

# The agent is started anew within a second or two; later on it is looked for less often.
SOON, SOON_TRIES, LATER = 1.0, 60, 10.0
# One that was refused tries again when the user may have logged in properly.
REFUSED = 60.0
# Services of a desktop start in any order; what is not there then is taken to be missing.
START_AGAIN = (2.0, 10.0, 60.0)
# A domain that waits for its service does not keep the next one waiting.
NEXT_DOMAIN = 0.25
# What changes at the same moment travels together, and what changes all the time as often as a
# person can follow: the agent hangs up on a helper that says more than 20 things a second.
READ_TOGETHER, PACE = 0.1, 0.5


class _Work:
    """A domain, and what the helper does for it."""

    def __init__(self, helper: SessionHelper, name: str, make: Callable[[_Work], Domain]) -> None:
        self.name = name
        self.settings: Mapping[str, Any] = {}
        self.offered = Offer()
        self.values: dict[Thing, Value] = {}
        self.domain: Domain | None = None
        self._helper = helper
        self._make = make
        self._wanted = True
        self._beginning: asyncio.Task[None] | None = None
        self._following = asyncio.Lock()
        self._pending: dict[Thing, Value] = {}
        self._offer_pending = False
        self._timer: asyncio.TimerHandle | None = None
        self._flushed = -PACE

    async def follow(self, settings: Mapping[str, Any] | None) -> None:
        """Work by the agent's settings, or not at all, and say everything: it knows nothing.

        Args:
            settings: What the host's configuration says of the domain; `None` for not wanted.
        """
        wanted = settings is not None
        async with self._following:
            if self._beginning and (wanted, settings or {}) == (self._wanted, self.settings):
                self._tell_all()
                return
            await self.end()
            self.settings, self._wanted = settings or {}, wanted
            self._beginning = asyncio.create_task(self._begin() if wanted else self._refuse())

    async def settle(self, limit: float) -> None:
        """Wait until it has offered something or nothing, for so many seconds at most."""
        if self._beginning:
            await asyncio.wait({self._beginning}, timeout=limit)

    async def end(self) -> None:
        """Stop the domain, and forget what it has read."""
        if self._beginning:
            self._beginning.cancel()
        domain, self.domain = self.domain, None
        self.offered = Offer()
        self.values.clear()
        self._pending.clear()
        self._offer_pending = False
        if domain:
            with suppress(Exception):
                await domain.stop()

    async def _refuse(self) -> None:
        self.offer(Offer(why={"": "the host's configuration does not want it"}))

    async def _begin(self) -> None:
        """Start the domain; again some times while it offers nothing."""
        for wait in (*START_AGAIN, None):
            await self._start()
            if not self.offered.empty or wait is None:
                return
            await asyncio.sleep(wait)

    async def _start(self) -> None:
        try:
            if self.domain is None:
                self.domain = self._make(self)
            self.offer(await self.domain.start())
        except Unavailable as error:
            self.offer(Offer(why={"": f"{error.reason}{error.hint and f'; {error.hint}'}"}))
        except Exception as error:
            _LOGGER.exception("The domain %s cannot be started", self.name)
            self.offer(Offer(why={"": f"{type(error).__name__}: {error}"[:MAX_TEXT]}))

    def _tell_all(self) -> None:
        self._offer_pending = True
        self._pending = dict(self.values)
        self._flush()

    async def carry_out(self, call: Call) -> None:
        """Carry out a command and say what became of it."""
        outcome = Outcome(call.id)
        try:
            async with asyncio.timeout(call.within):
                data = await self._offered_domain(call.command).call(call.command, call.args)
                outcome = Outcome(call.id, data=data or {})
        except CommandError as error:
            outcome = Outcome(call.id, error.reason, error.detail[:1024])
        except TimeoutError:
            outcome = Outcome(call.id, "failed", f"it took longer than {call.within:g} s")
        except Exception as error:
            _LOGGER.exception("The command %s of %s failed", call.command.name, self.name)
            outcome = Outcome(call.id, "failed", f"{type(error).__name__}: {error}"[:1024])
        # The reading that follows from it comes before the outcome: it is read back.
        self._flush()
        self._helper.send(outcome)

    def _offered_domain(self, command: Thing) -> Domain:
        if self.domain is None or command not in self.offered.commands:
            raise CommandError("failed", "this session cannot do it now")
        return self.domain

    # --- HelperContext -------------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Say what can be done from now on."""
        if offer == self.offered:
            return
        self.offered = offer
        self.values = {thing: one for thing, one in self.values.items() if thing in offer.readings}
        self._offer_pending = True
        self._flush_after(0)

    def read(self, values: Mapping[Thing, Value]) -> None:
        """Say what is read now, together with what else is read in the same moment."""
        for thing, value in values.items():
            if thing not in self.values or self.values[thing] != value:
                self.values[thing] = self._pending[thing] = value
        if self._pending:
            self._flush_after(READ_TOGETHER)

    def happened(self, event: str, **data: str | float | bool) -> None:
        """Tell of an event, after the readings that follow from it."""
        self._flush()
        self._helper.send(Happened(self.name, event, data))

    async def bus(self, name: Literal["session", "system"]) -> Any:  # noqa: ANN401
        """Return the connection to a bus."""
        return await self._helper.bus(name)

    def window(self) -> Any:  # noqa: ANN401  (loaded when needed)
        """Return the helper's window."""
        return self._helper.window()

    def session_has_ended(self) -> None:
        """End the helper."""
        self._helper.stop()

    def _flush_after(self, wait: float) -> None:
        """Say what is new in so many seconds, or when it was not said for a while."""
        loop = asyncio.get_running_loop()
        due = max(loop.time() + wait, self._flushed + PACE)
        if due <= loop.time():
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_at(due, self._flush)

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._flushed = asyncio.get_running_loop().time()
        if self._offer_pending:
            self._offer_pending = False
            self._helper.send(Offered(self.name, self.offered))
        if self._pending:
            offered = {
                thing: one for thing, one in self._pending.items() if thing in self.offered.readings
            }
            self._pending.clear()
            if offered:
                self._helper.send(Values(self.name, offered))


class SessionHelper:
    """Works for the agent until it is stopped.

    Args:
        places: The domains, by name: their module and class.
        connect: Connects to the agent, or raises `AwayError`.
        open_window: Makes a window that hears of the session, where the system has such; it calls
            what it is given when the session ends.
    """

    def __init__(
        self,
        places: Mapping[str, str],
        connect: Connect,
        open_window: OpenWindow | None = None,
    ) -> None:
        self._connect = connect
        self._open_window = open_window
        self._window: SessionWindow | None = None
        self._no_window = "this system has no such windows"
        self._works = {
            name: _Work(self, name, lambda work, place=place: domains.load(place)(work))  # type: ignore[misc]
            for name, place in places.items()
        }
        self._link: Link | None = None
        self._settings: Mapping[str, Mapping[str, Any] | None] = {}
        self._admitted = False
        self._refused = ""
        self._stopping = asyncio.Event()
        self._code = ENDED
        self._tasks: set[asyncio.Task[None]] = set()
        self._buses: dict[str, Any] = {}

    async def run(self) -> int:
        """Work until stopped.

        Returns:
            The exit code.
        """
        try:
            with signals.on_end(self.stop):
                await self._begin_to_hear()
                task = asyncio.create_task(self._serve())
                stopped = asyncio.create_task(self._stopping.wait())
                await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    self._code = task.result()
                task.cancel()
        finally:
            await self._close()
        return self._code

    def stop(self) -> None:
        """Let `run()` end."""
        self._stopping.set()

    def send(self, message: FromHelper) -> None:
        """Send something to the agent; nothing while it is not there."""
        if self._link and self._admitted:
            self._link.send(message)

    async def bus(self, name: str) -> Any:  # noqa: ANN401  (loaded when needed)
        """Return the one connection to a D-Bus bus.

        Raises:
            Unavailable: There is no such bus.
        """
        from companion_agent.platforms.linux.async_bus import AsyncBus  # noqa: PLC0415
        from companion_agent.platforms.linux.dbus import BusGoneError  # noqa: PLC0415

        if name not in self._buses:
            # The session's ends with the session; the system's with the system.
            lost: Callable[[BusGoneError], None] = lambda _: self.stop()  # noqa: E731
            try:
                self._buses[name] = AsyncBus("SESSION" if name == "session" else "SYSTEM", lost)
            except BusGoneError as error:
                raise Unavailable(error.text) from error
        return self._buses[name]

    def window(self) -> SessionWindow:
        """Return the window that hears of the session.

        Raises:
            Unavailable: There is none.
        """
        if self._window is None:
            raise Unavailable(self._no_window)
        return self._window

    async def _begin_to_hear(self) -> None:
        if self._open_window:
            try:
                self._window = await self._open_window(self.stop)
            except Unavailable as error:
                self._no_window = error.reason
                _LOGGER.warning("The end of the session will not be heard: %s", error.reason)

    # --- The agent -----------------------------------------------------------------------

    async def _serve(self) -> int:
        tries = 0
        while True:
            self._refused = ""
            try:
                self._link = await self._connect(self._received)
            except AwayError as error:
                if tries == 0:
                    _LOGGER.info("The agent is not there: %s", error)
                tries += 1
                await asyncio.sleep(SOON if tries <= SOON_TRIES else LATER)
                continue
            tries = 0
            self._link.send(Hello(VERSION, __version__))
            await self._link.gone.wait()
            self._admitted = False
            if self._refused == "duplicate":
                return ANOTHER_RUNS
            await asyncio.sleep(SOON if self._refused in ("", "ended") else REFUSED)

    def _received(self, message: FromAgent) -> None:
        match message:
            case Welcome():
                _LOGGER.info("Connected to pilot-agent %s", message.version)
                self._admitted = True
                self._spawn(self._follow(message.domains))
            case Refused():
                # Before the connection is known to be there, maybe.
                _LOGGER.warning("The agent refuses this helper: %s", message.detail)
                self._refused = message.reason
            case Call() if self._admitted:
                work = self._works.get(message.domain)
                if work is None:
                    text = "this helper does not know it; is it of an older version?"
                    self.send(Outcome(message.id, "failed", text))
                else:
                    self._spawn(work.carry_out(message))

    async def _follow(self, settings: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Work by the agent's settings: what one domain has is offered before the next begins."""
        self._settings = settings
        for name, work in self._works.items():
            if self._settings is settings:
                await work.follow(settings.get(name, {}))
                await work.settle(NEXT_DOMAIN)

    def _spawn(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for work in self._works.values():
            await work.end()
        if self._link:
            self._link.hang_up()
        for bus in self._buses.values():
            bus.close()
        if self._window:
            self._window.close()


if sys.platform == "win32":
    from companion_agent.platforms.windows.session_window import open_window
    from companion_agent.session_helper.pipe_link import connect as connect_to_pipe

    def _made(_: Path | None) -> SessionHelper:
        return SessionHelper(domains.WINDOWS, connect_to_pipe, open_window)

else:
    from companion_agent.session_helper.unix_link import connect as connect_to_socket

    def _made(folder: Path | None) -> SessionHelper:
        folders = None if folder is None else [folder]
        return SessionHelper(domains.LINUX, partial(connect_to_socket, folders=folders))


def run(folder: Path | None = None) -> int:
    """Work until the process is asked to end.

    Args:
        folder: The agent's runtime folder, where it is not the usual one.

    Returns:
        The exit code.
    """

    async def main() -> int:
        return await _made(folder).run()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())
