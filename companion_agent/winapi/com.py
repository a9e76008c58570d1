"""Objects of COM: how their methods are called, and how Windows calls back into ones made here.

An object is an address; the first thing there is the address of its methods' table. What is called
by it is no function of a DLL, so that tests hand out objects with tables of their own (`Method` and
`Sink` know no difference). Sources: Microsoft's reference of combaseapi.h and unknwn.h
(`CoInitializeEx`, `CoCreateInstance`, `IUnknown`).
"""

from __future__ import annotations

from collections import deque
from ctypes import (
    POINTER,
    Structure,
    addressof,
    byref,
    c_int32,
    c_uint32,
    c_void_p,
    cast,
    string_at,
    wstring_at,
)
import threading
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function
from companion_agent.winapi.folders import CoTaskMemFree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

IN_PROCESS = 0x1
"""CLSCTX_INPROC_SERVER."""
_MULTITHREADED = 0x0
_UNKNOWN = UUID("00000000-0000-0000-c000-000000000046")
_NO_INTERFACE = -0x7FFF_BFFE
_WORDS = c_uint32 * 4

_counting = threading.RLock()
_referred_to: set[Sink] = set()
# One must not go while its last `Release` runs in it.
_last_released: deque[Sink] = deque(maxlen=16)

_CoInitializeEx = Function("ole32", "CoInitializeEx", c_int32, c_void_p, c_uint32)
_CoUninitialize = Function("ole32", "CoUninitialize", None)
_CoCreateInstance = Function(
    "ole32", "CoCreateInstance", c_int32, c_void_p, c_void_p, c_uint32, c_void_p, POINTER(c_void_p)
)


class Method:
    """A method of an interface: `GetId = Method("IMMDevice.GetId", 5, POINTER(c_void_p))`.

    Args:
        name: What it is called, for errors.
        place: Where it is in the interface's table; `IUnknown` has the first three.
        arguments: What it takes besides the object. It returns an HRESULT.
    """

    __slots__ = ("name", "place", "prototype")

    def __init__(self, name: str, place: int, *arguments: Any) -> None:  # noqa: ANN401
        self.name = name
        self.place = place
        self.prototype = dll.callback(c_int32, c_void_p, *arguments)

    def __call__(self, instance: Object, *arguments: Any) -> int:  # noqa: ANN401
        """Call it.

        Returns:
            What it says where it went well: 0, or 1 for a "no".

        Raises:
            OSError: It failed; `winerror` has the HRESULT.
        """
        if not instance.address:
            raise OSError(f"{self.name}: the object was given back")
        table = cast(instance.address, POINTER(POINTER(c_void_p)))[0]
        result: int = self.prototype(table[self.place])(instance.address, *arguments)
        return check(result, self.name)


_QueryInterface = Method("IUnknown.QueryInterface", 0, c_void_p, POINTER(c_void_p))
_Release = Method("IUnknown.Release", 2)


class Object:
    """A reference to an object, given back by `close()` or at the end of a `with`.

    Args:
        address: Where it is.
    """

    def __init__(self, address: int | c_void_p) -> None:
        self.address: int = (address.value or 0) if isinstance(address, c_void_p) else address

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the reference back."""
        self.close()

    def close(self) -> None:
        """Give the reference back; a second time is nothing."""
        address, self.address = self.address, 0
        if address:
            # It returns how many references there are left.
            _Release.prototype(cast(address, POINTER(POINTER(c_void_p)))[0][_Release.place])(
                address
            )

    def query(self, interface: UUID) -> c_void_p:
        """Return another interface of the object, as a reference of its own.

        Raises:
            OSError: It has none.
        """
        found = c_void_p()
        _QueryInterface(self, interface.bytes_le, byref(found))
        return found


class Sink:
    """An object made here, whose methods Windows calls; it lives as long as Windows refers to it.

    Args:
        interface: The interface that it has.
        methods: What is called, by the method; what a method is given is handed on, its result is
            ignored. Windows calls from threads of its own.
    """

    def __init__(self, interface: UUID, methods: Mapping[Method, Callable[..., object]]) -> None:
        self._references = 0
        self._interfaces = {interface.bytes_le, _UNKNOWN.bytes_le}
        query = dll.callback(c_int32, c_void_p, c_void_p, POINTER(c_void_p))
        count = dll.callback(c_uint32, c_void_p)
        functions: dict[int, Any] = {
            0: query(self._query),
            1: count(lambda _: self._count(1)),
            2: count(lambda _: self._count(-1)),
        }
        for method, called in methods.items():
            functions[method.place] = method.prototype(_well(called))
        self._functions = functions
        self._table = (c_void_p * len(functions))(
            *(cast(functions[place], c_void_p) for place in range(len(functions)))
        )
        self._object = c_void_p(addressof(self._table))
        self.address: int = addressof(self._object)
        """What Windows is given."""

    def _query(self, this: int, interface: int, found: Any) -> int:  # noqa: ANN401  (a pointer)
        if string_at(interface, 16) in self._interfaces:
            self._count(1)
            found[0] = this
            return 0
        found[0] = None
        return _NO_INTERFACE

    def _count(self, change: int) -> int:
        with _counting:
            self._references += change
            if self._references:
                _referred_to.add(self)
            else:
                _referred_to.discard(self)
                _last_released.append(self)
            return self._references


class PropertyKey(Structure):
    """PROPERTYKEY."""

    _fields_ = (("format", _WORDS), ("number", c_uint32))

    @classmethod
    def of(cls, interface: UUID, number: int) -> Self:
        """Return a key by its parts."""
        return cls(_WORDS.from_buffer_copy(interface.bytes_le), number)


def begin() -> None:
    """Use COM in this thread, whose objects may then be used by all threads that do so.

    Raises:
        OSError: Windows refuses it.
    """
    check(_CoInitializeEx(None, _MULTITHREADED), "CoInitializeEx")


def end() -> None:
    """Use COM in this thread no more."""
    _CoUninitialize()


def create(kind: UUID, interface: UUID) -> c_void_p:
    """Make an object in this process.

    Raises:
        OSError: Windows knows no such thing.
    """
    found = c_void_p()
    result = _CoCreateInstance(kind.bytes_le, None, IN_PROCESS, interface.bytes_le, byref(found))
    check(result, "CoCreateInstance")
    return found


def take_text(text: c_void_p) -> str:
    """Return a text that a method has made for its caller, and free it."""
    if not text.value:
        return ""
    try:
        return wstring_at(text.value)
    finally:
        CoTaskMemFree(text)


def check(result: int, what: str) -> int:
    """Return an HRESULT that says that it went well.

    Raises:
        OSError: It does not.
    """
    if result < 0:
        raise failure(result, what)
    return result


def failure(result: int, what: str) -> OSError:
    """Return the exception for an HRESULT; `winerror` has it."""
    return dll.error(result, what)


def _well(called: Callable[..., object]) -> Callable[..., int]:
    def call(_: int, *arguments: object) -> int:
        called(*arguments)
        return 0

    return call
