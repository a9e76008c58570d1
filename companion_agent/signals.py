"""Asks the agent to end, or to read its configuration again, when the process is asked to.

Windows has no signal that a service manager or a supervisor sends: there `end_request` says the
same, from any thread.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_ENDING = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    _ENDING.append(signal.SIGBREAK)


class EndRequest:
    """That this process was asked to end; it stays asked."""

    def __init__(self) -> None:
        # A signal's handler may ask while the main thread has it.
        self._lock = threading.RLock()
        self._followers: list[Callable[[], object]] = []
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether it was."""
        return self._asked

    def ask(self) -> None:
        """Ask it; safe from any thread."""
        with self._lock:
            self._asked = True
            followers = list(self._followers)
        for call in followers:
            call()

    @contextmanager
    def followed(self, call: Callable[[], object]) -> Iterator[None]:
        """Have something called, in any thread, when it is asked; at once where it was before."""
        with self._lock:
            self._followers.append(call)
            asked = self._asked
        if asked:
            call()
        try:
            yield
        finally:
            with self._lock:
                self._followers.remove(call)


@contextmanager
def taken_as(request: EndRequest) -> Iterator[None]:
    """Have the signals that end a process ask for it instead; only in the main thread."""
    before = {number: signal.signal(number, lambda *_: request.ask()) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


end_request = EndRequest()
"""That of this process."""


@contextmanager
def on_end(stop: Callable[[], None]) -> Iterator[None]:
    """Call something when the process is asked to end; only in the main thread's event loop."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":

        def asked() -> None:
            loop.call_soon_threadsafe(stop)

        with _on_windows(loop, stop), end_request.followed(asked):
            yield
    else:
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


@contextmanager
def on_hang_up(reload: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Call something when SIGHUP comes, which Windows does not have.

    Args:
        reload: What a service is asked for by it.
        stop: What it means in a terminal, which has been closed.
    """
    if sys.platform == "win32":
        yield
    else:
        loop = asyncio.get_running_loop()
        in_terminal = any(stream and stream.isatty() for stream in (sys.stdin, sys.stderr))
        loop.add_signal_handler(signal.SIGHUP, stop if in_terminal else reload)
        try:
            yield
        finally:
            # One that comes while the agent begins anew would end it.
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextmanager
def _on_windows(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """Do the same where asyncio does not: a socket wakes the loop, so that Python sees them."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)

    def drain() -> None:
        with suppress(BlockingIOError):
            near.recv(4096)

    loop.add_reader(near, drain)
    signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: stop()) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        loop.remove_reader(near)
        near.close()
        far.close()
