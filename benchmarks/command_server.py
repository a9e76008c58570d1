"""A process that takes commands as JSON lines on its standard input, and answers each with one."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer = dict[str, Any]

_LOGGER = logging.getLogger(__name__)


async def serve(target: object) -> None:
    """Answer commands with what the methods of their names return, until the input ends."""
    reader = asyncio.StreamReader(limit=1024 * 1024)
    running = asyncio.get_running_loop()
    await running.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        method: Callable[..., Awaitable[Answer]] = getattr(target, command.pop("do"))
        try:
            answer = await method(**command)
        except Exception as error:  # It is the asker who has to know.
            _LOGGER.exception("the command failed")
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
