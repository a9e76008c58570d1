"""Objects of COM that tests play: real tables of methods, called and counted as Windows' own."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_uint32, c_void_p, cast
from typing import TYPE_CHECKING, Any
from uuid import UUID

from companion_agent.winapi import dll

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.winapi.com import Method

    from .windows_api import FakeWindows

NOT_IMPLEMENTED, NO_INTERFACE, NOT_REGISTERED = -0x7FFF_BFFF, -0x7FFF_BFFE, -0x7FFB_FEAC


class FakeObject:
    """An object whose methods a test brings; the others are not implemented.

    A method is given what its caller passes, and returns an HRESULT, `None` for 0.

    Attributes:
        methods: What is called, by method.
        others: Other interfaces of it.
        references: How many were given out and not given back.
    """

    def __init__(
        self,
        methods: Mapping[Method, Callable[..., int | None]],
        others: Mapping[UUID, FakeObject] | None = None,
    ) -> None:
        self.others = dict(others or {})
        self.references = 0
        count = dll.callback(c_uint32, c_void_p)
        query = dll.callback(ctypes.c_int32, c_void_p, c_void_p, POINTER(c_void_p))
        absent = dll.callback(ctypes.c_int32, c_void_p)(lambda _: NOT_IMPLEMENTED)
        places: dict[int, Any] = {
            0: query(self._query),
            1: count(lambda _: self._count(1)),
            2: count(lambda _: self._count(-1)),
        }
        for method, called in methods.items():
            places[method.place] = method.prototype(_answering(called))
        self._kept = places, absent
        size = max(places) + 1
        self._table = (c_void_p * size)(
            *(cast(places.get(place, absent), c_void_p) for place in range(size))
        )
        self._object = c_void_p(ctypes.addressof(self._table))
        self.address = ctypes.addressof(self._object)

    def give(self, found: Any) -> int:
        """Give a reference out, through the pointer that a caller passes."""
        self._count(1)
        if isinstance(found, c_void_p):
            found.value = self.address
        else:
            found[0] = self.address
        return 0

    def _count(self, change: int) -> int:
        self.references += change
        assert self.references >= 0
        return self.references

    def _query(self, _: int, interface: int, found: Any) -> int:
        other = self.others.get(UUID(bytes_le=ctypes.string_at(interface, 16)))
        return other.give(found) if other else NO_INTERFACE


class FakeCom:
    """Makes objects by their class, and frees the texts that it has given out.

    Attributes:
        classes: The object of a class, by the class.
        texts: Those that were not freed.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.classes: dict[UUID, FakeObject] = {}
        self.texts: dict[int, Any] = {}
        windows.functions |= {
            "ole32.CoInitializeEx": lambda *_: 0,
            "ole32.CoUninitialize": lambda: None,
            "ole32.CoCreateInstance": self._create,
            "ole32.CoTaskMemFree": lambda text: self.texts.pop(text.value) and None,
        }

    def give_text(self, text: str, found: Any) -> None:
        """Give a text out that its caller frees."""
        buffer = ctypes.create_unicode_buffer(text)
        self.texts[ctypes.addressof(buffer)] = buffer
        found[0] = ctypes.addressof(buffer)

    def _create(self, kind: bytes, _: None, __: int, ___: bytes, found: c_void_p) -> int:
        made = self.classes.get(UUID(bytes_le=kind))
        return made.give(found) if made else NOT_REGISTERED


def _answering(called: Callable[..., int | None]) -> Callable[..., int]:
    return lambda _, *arguments: called(*arguments) or 0
