"""Windows' named pipes as asyncio transports, in an event loop that waits for sockets.

paho and others need a selector loop, which cannot wait for pipes. So one thread waits at a
completion port for whatever ends, and hands it to the loop; all else happens in the loop's thread.
It costs nothing while nothing arrives.
"""

from __future__ import annotations

import asyncio
from ctypes import Array, c_char, create_string_buffer
import logging
import threading
from typing import TYPE_CHECKING, Any

from companion_agent.winapi import pipes

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.ipc.peer import Peer
    from companion_agent.winapi.pipes import Completion, Overlapped

_LOGGER = logging.getLogger(__name__)


class PipePump:
    """Tells the running event loop what becomes of the operations of pipes.

    Raises:
        OSError: Windows gives no completion port.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = pipes.new_port()
        self._pending: dict[int, tuple[Overlapped, object, Callable[[int, int], None]]] = {}
        self._pipes: set[int] = set()
        self._closing = False
        # It ends with its last pipe; a process that ends does not wait for it.
        self._thread = threading.Thread(target=self._wait, name="pipes", daemon=True)
        self._thread.start()

    def add(self, pipe: int) -> None:
        """Take a pipe whose operations it shall tell of.

        Raises:
            OSError: That did not work.
        """
        pipes.add_to_port(self._port, pipe)
        self._pipes.add(pipe)

    def drop(self, pipe: int) -> None:
        """Close a pipe that no operation is left of."""
        pipes.close(pipe)
        self._pipes.discard(pipe)
        self._end_when_idle()

    def begin(
        self,
        begin: Callable[[Overlapped], object],
        ended: Callable[[int, int], None],
        buffer: object = None,
    ) -> None:
        """Begin an operation.

        Args:
            begin: Begins it; a true answer says that it has ended at once.
            ended: Called in the loop when it has ended, with the number of bytes and the error.
            buffer: What has to stay where it is until then.

        Raises:
            OSError: It cannot be begun.
        """
        operation = pipes.Overlapped()
        address = pipes.address(operation)
        self._pending[address] = operation, buffer, ended
        try:
            at_once = begin(operation)
        except OSError:
            del self._pending[address]
            raise
        if at_once:
            self._loop.call_soon(self._ended, pipes.Completion(address, 0, 0))

    def close(self) -> None:
        """End when no pipe is left."""
        self._closing = True
        self._end_when_idle()

    def _wait(self) -> None:
        try:
            while (completion := pipes.next_completion(self._port)).operation:
                self._loop.call_soon_threadsafe(self._ended, completion)
        except RuntimeError:
            _LOGGER.debug("The event loop has ended before its pipes")
        finally:
            pipes.close(self._port)

    def _ended(self, completion: Completion) -> None:
        _, _, ended = self._pending.pop(completion.operation)
        ended(completion.size, completion.error)

    def _end_when_idle(self) -> None:
        if self._closing and not self._pipes:
            self._closing = False
            pipes.wake(self._port)


class PipeTransport(asyncio.Transport):
    """A connected pipe.

    Args:
        pump: Tells of its operations; it has the pipe already.
        pipe: The handle, which is closed by this.
        protocol: Takes what arrives.
        peer: Which process is at the other end.
    """

    def __init__(
        self, pump: PipePump, pipe: int, protocol: asyncio.Protocol, peer: Peer | None = None
    ) -> None:
        super().__init__({"peer": peer})
        self._loop = asyncio.get_running_loop()
        self._pump = pump
        self._pipe = pipe
        self._protocol = protocol
        self._incoming: Array[c_char] = create_string_buffer(pipes.BUFFER)
        self._held = b""
        self._unsent = bytearray()
        self._sending = 0
        self._reading = self._paused = self._closing = self._lost = False

    def start(self) -> None:
        """Tell the protocol, and begin to read in the loop's next turn."""
        self._protocol.connection_made(self)
        self._loop.call_soon(self._read)

    # --- asyncio.Transport ---------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return what takes what arrives."""
        return self._protocol

    def is_closing(self) -> bool:
        """Tell whether it ends, or has ended."""
        return self._closing

    def pause_reading(self) -> None:
        """Hand nothing on until `resume_reading()`."""
        self._paused = True

    def resume_reading(self) -> None:
        """Hand on what arrives."""
        self._paused = False
        self._loop.call_soon(self._hand_on)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send bytes, after those that were sent before."""
        if self._closing:
            return
        self._unsent += data
        self._send()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the other end has not taken yet."""
        return len(self._unsent) + self._sending

    def close(self) -> None:
        """End when all is sent."""
        self._closing = True
        if not self.get_write_buffer_size():
            self._lose(0)

    def abort(self) -> None:
        """End now."""
        self._closing = True
        self._unsent.clear()
        self._lose(0)

    # --- Reading -------------------------------------------------------------------------

    def _read(self) -> None:
        if self._reading or self._paused or self._closing:
            return
        self._reading = True
        try:
            self._pump.begin(
                lambda operation: pipes.begin_read(self._pipe, self._incoming, operation),
                self._read_ended,
                self._incoming,
            )
        except OSError as error:
            self._reading = False
            self._lose(_code(error))

    def _read_ended(self, size: int, error: int) -> None:
        self._reading = False
        if error or not size or self._lost:
            self._lose(error)
            return
        self._held += self._incoming.raw[:size]
        self._hand_on()

    def _hand_on(self) -> None:
        if self._paused or self._closing:
            return
        held, self._held = self._held, b""
        if held:
            self._protocol.data_received(held)
        self._read()

    # --- Writing -------------------------------------------------------------------------

    def _send(self) -> None:
        if self._sending or not self._unsent or self._lost:
            return
        data = (c_char * len(self._unsent)).from_buffer_copy(self._unsent)
        self._sending = len(self._unsent)
        self._unsent.clear()
        try:
            self._pump.begin(
                lambda operation: pipes.begin_write(self._pipe, data, operation),
                self._send_ended,
                data,
            )
        except OSError as error:
            self._sending = 0
            self._lose(_code(error))

    def _send_ended(self, _: int, error: int) -> None:
        self._sending = 0
        if error or self._lost:
            self._lose(error)
        elif self._unsent:
            self._send()
        elif self._closing:
            self._lose(0)

    # --- The end -------------------------------------------------------------------------

    def _lose(self, error: int) -> None:
        """Close the pipe as soon as no operation of it is left."""
        self._closing = True
        if not self._lost:
            self._lost = True
            reason = None if error in (0, pipes.BROKEN_PIPE) else OSError(error, "the pipe failed")
            self._loop.call_soon(self._protocol.connection_lost, reason)
            if self._reading or self._sending:
                pipes.cancel(self._pipe)
        if not self._reading and not self._sending and self._pipe:
            self._pump.drop(self._pipe)
            self._pipe = 0


def _code(error: OSError) -> int:
    return int(getattr(error, "winerror", 0) or error.errno or 0)
