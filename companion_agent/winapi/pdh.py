"""pdh: Windows' performance counters, by their English names on every Windows.

Sources: Microsoft's reference of pdh.h (PdhOpenQueryW, PdhAddEnglishCounterW, PdhCollectQueryData,
PdhGetFormattedCounterArrayW, PDH_FMT_COUNTERVALUE_ITEM_W) and its list of PDH error codes.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_double,
    c_int32,
    c_size_t,
    c_uint32,
    c_void_p,
    c_wchar_p,
    create_string_buffer,
    sizeof,
)
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

MORE_DATA = 0x800007D2
NO_DATA = 0x800007D5
NO_OBJECT = 0xC0000BB8
NO_COUNTER = 0xC0000BB9
INVALID_DATA = 0xC0000BBA
NOTHING_TO_COMPARE = 0xC0000BC6
"""A rate takes two collections (PDH_INVALID_DATA)."""
ACCESS_DENIED = 0xC0000BDB

# As a double, and with the shares of several processes above 100 %.
_FORMAT = 0x00000200 | 0x00008000
_VALID = frozenset({0, 1})  # PDH_CSTATUS_VALID_DATA, PDH_CSTATUS_NEW_DATA


class Item(Structure):
    """PDH_FMT_COUNTERVALUE_ITEM_W, with the value as a double; `name` is an address."""

    _fields_ = (("name", c_void_p), ("status", c_uint32), ("number", c_double))


_PdhOpenQuery = Function("pdh", "PdhOpenQueryW", c_uint32, c_wchar_p, c_size_t, POINTER(c_void_p))
_PdhAddEnglishCounter = Function(
    "pdh",
    "PdhAddEnglishCounterW",
    c_uint32,
    *(c_void_p, c_wchar_p, c_size_t, POINTER(c_void_p)),
)
_PdhCollectQueryData = Function("pdh", "PdhCollectQueryData", c_uint32, c_void_p)
_PdhGetFormattedCounterArray = Function(
    "pdh",
    "PdhGetFormattedCounterArrayW",
    c_uint32,
    *(c_void_p, c_uint32, POINTER(c_uint32), POINTER(c_uint32), c_void_p),
)
_PdhCloseQuery = Function("pdh", "PdhCloseQuery", c_uint32, c_void_p)


class Query:
    """Counters that are collected together.

    Raises:
        OSError: There are no counters; see `code_of()`.
    """

    def __init__(self) -> None:
        self._query = c_void_p()
        _check(_PdhOpenQuery(None, 0, byref(self._query)), "PdhOpenQueryW")

    def add(self, path: str) -> c_void_p:
        """Add a counter, `*` for all instances: those that there are at each collection.

        Raises:
            OSError: There is no such counter, or it may not be read.
        """
        counter = c_void_p()
        _check(_PdhAddEnglishCounter(self._query, path, 0, byref(counter)), path)
        return counter

    def collect(self) -> None:
        """Read all counters.

        Raises:
            OSError: None of them has anything.
        """
        _check(_PdhCollectQueryData(self._query), "PdhCollectQueryData")

    def values(self, counter: c_void_p) -> list[tuple[str, float]]:
        """Return what was collected of a counter, by instance; nothing while that takes another.

        Raises:
            OSError: It cannot be had.
        """
        size, count = c_uint32(), c_uint32()
        code = _PdhGetFormattedCounterArray(counter, _FORMAT, byref(size), byref(count), None)
        if code in {NOTHING_TO_COMPARE, INVALID_DATA, NO_DATA}:
            return []
        if code != MORE_DATA:
            _check(code, "PdhGetFormattedCounterArrayW")
        buffer = create_string_buffer(size.value)
        code = _PdhGetFormattedCounterArray(counter, _FORMAT, byref(size), byref(count), buffer)
        if code in {NOTHING_TO_COMPARE, INVALID_DATA, NO_DATA}:
            return []
        _check(code, "PdhGetFormattedCounterArrayW")
        return list(_items(buffer, count.value))

    def close(self) -> None:
        """Close it."""
        _PdhCloseQuery(self._query)


def _items(buffer: ctypes.Array[ctypes.c_char], count: int) -> Iterator[tuple[str, float]]:
    """Read the items, whose names stand behind them in the buffer, in UTF-16."""
    start, raw = ctypes.addressof(buffer), buffer.raw
    for item in (Item * min(count, len(raw) // sizeof(Item))).from_buffer(buffer):
        at = (item.name or 0) - start
        if item.status in _VALID and 0 <= at < len(raw):
            end = raw.find(b"\0\0", at)
            # The zero that a last letter ends with is no part of the end.
            end += (end - at) % 2
            yield raw[at:end].decode("utf-16-le", "replace"), float(item.number)


def code_of(error: OSError) -> int | None:
    """Return the code of an error that was raised here; `None` when another part raised it."""
    code = getattr(error, "winerror", None)
    return None if code is None else code & 0xFFFFFFFF


def _check(code: int, what: str) -> None:
    if code:
        # Windows' errors are signed in Python.
        raise dll.error(c_int32(code).value, what)
