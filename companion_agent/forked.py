"""Does something in a copy of this process, with which its memory goes."""

from __future__ import annotations

from functools import partial
import os
import pickle
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")


def begin(call: Callable[[], T]) -> Callable[[], T]:
    """Make a call in a copy of this process, and return what waits for its result.

    Libraries that only the call needs are loaded in the copy, and go when it ends; this process
    goes on meanwhile. The result, or what the call raises, comes back by pickle. Where there can
    be no copy, or it ends without a result, the call is made here when the result is asked for:
    on other systems than Linux (macOS' own libraries do not survive a fork), and once there are
    threads (the copy would have their locks and not them).

    Args:
        call: What is called; it must bear to be called twice.
    """
    if sys.platform == "linux" and threading.active_count() == 1:
        reading, writing = os.pipe()
        try:
            child = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            return call
        if not child:
            try:
                _answer(call, writing)
            finally:
                os._exit(0)
        os.close(writing)
        return partial(_result, call, child, reading)
    return call


def _answer(call: Callable[[], T], writing: int) -> None:
    """Write what the call returns or raises, in the copy."""
    value: T | None = None
    raised: Exception | None = None
    try:
        value = call()
    except Exception as error:  # noqa: BLE001  (raised where the result is asked for)
        raised = error
    with open(writing, "wb") as pipe:
        pipe.write(pickle.dumps((value, raised)))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _result(call: Callable[[], T], child: int, reading: int) -> T:
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    try:
        value, raised = pickle.loads(answer)  # noqa: S301  (written by this program)
    except Exception:  # noqa: BLE001  (nothing was written, or something that cannot be read back)
        return call()
    if raised is not None:
        raise raised
    return value  # type: ignore[no-any-return]
