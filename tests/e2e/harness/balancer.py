"""A load balancer in front of a cluster of brokers, for clients that know one address."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from stack.broker import Managed
from stack.process import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.other_brokers import OtherBroker


class Balancer(Managed):
    """Passes each connection on to the first node that accepts it.

    Args:
        nodes: The nodes, the preferred one first.
    """

    host = "127.0.0.1"
    username: str | None = None
    password: str | None = None

    def __init__(self, nodes: Sequence[OtherBroker]) -> None:
        self.port = free_port()
        self.protocol = nodes[0].protocol
        self._nodes = tuple(nodes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        listening = asyncio.start_server(self._serve, self.host, self.port)
        asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)

    def stop(self) -> None:
        """End all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @staticmethod
    async def _end() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with contextlib.closing(answers):
            for node in self._nodes:
                with contextlib.suppress(OSError):
                    server, asks = await asyncio.open_connection(node.host, node.port)
                    break
            else:
                return
            with contextlib.closing(asks):
                await asyncio.gather(_pass_on(client, asks), _pass_on(server, answers))


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    # A node that was killed resets its connections; either end's end is the other's.
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
