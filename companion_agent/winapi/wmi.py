"""Windows Management Instrumentation: what drivers and the system tell, by classes of objects.

It is slow, and not there while Windows starts: for what no function of a DLL tells. Sources:
Microsoft's reference of wbemcli.h, of oaidl.h (`VARIANT`, `SAFEARRAY`), of oleauto.h and of
combaseapi.h (`CoSetProxyBlanket`).
"""

from __future__ import annotations

from contextlib import contextmanager
from ctypes import (
    POINTER,
    Structure,
    Union,
    byref,
    c_int16,
    c_int32,
    c_ubyte,
    c_uint16,
    c_uint32,
    c_void_p,
    c_wchar_p,
    cast,
    string_at,
    wstring_at,
)
from typing import TYPE_CHECKING, Any
from uuid import UUID

from companion_agent.winapi import com
from companion_agent.winapi.com import Method, Object
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Value = bool | int | str | bytes | None

LOCATOR_CLASS = UUID("4590f811-1d3a-11d0-891f-00aa004b2e24")
_LOCATOR = UUID("dc12a687-737f-11cf-884d-00aa004b2e24")

BOOLEAN, NUMBER, BYTE, TEXT, BYTES = 11, 3, 17, 8, 0x2011
"""Types of values, VARTYPE."""
_NOTHING = (0, 1)

# HRESULTs, WBEMSTATUS.
ACCESS_DENIED, NOT_SUPPORTED = -0x7FFB_EFFD, -0x7FFB_EFF4
NO_NAMESPACE, NO_CLASS = -0x7FFB_EFF2, -0x7FFB_EFF0
_TIMED_OUT = 0x40004

# WBEM_FLAG_CONNECT_USE_MAX_WAIT: two minutes, for a service that does not come up.
_LIMITED_WAIT = 0x80
# WBEM_FLAG_FORWARD_ONLY and WBEM_FLAG_RETURN_IMMEDIATELY: what is found comes as it is found.
_ONE_BY_ONE = 0x30
_NEXT_WITHIN = 10_000
"""Milliseconds."""
# RPC_C_AUTHN_WINNT, RPC_C_AUTHN_LEVEL_CALL and RPC_C_IMP_LEVEL_IMPERSONATE.
_BY_WINDOWS, _EACH_CALL, _IMPERSONATE = 10, 3, 3


class _Content(Union):
    """What a VARIANT holds, by its type."""

    _fields_ = (
        ("number", c_int32),
        ("byte", c_ubyte),
        ("boolean", c_int16),
        ("address", c_void_p),
        ("whole", c_void_p * 2),
    )


class Variant(Structure):
    """VARIANT: a value, and of which type it is."""

    _fields_ = (("type", c_uint16), ("reserved", c_uint16 * 3), ("content", _Content))


class Array(Structure):
    """SAFEARRAY of one dimension."""

    _fields_ = (
        ("dimensions", c_uint16),
        ("features", c_uint16),
        ("size_of_one", c_uint32),
        ("locks", c_uint32),
        ("data", c_void_p),
        ("count", c_uint32),
        ("lowest", c_int32),
    )


_SysAllocString = Function("oleaut32", "SysAllocString", c_void_p, c_wchar_p)
_SysFreeString = Function("oleaut32", "SysFreeString", None, c_void_p)
_VariantClear = Function("oleaut32", "VariantClear", c_int32, POINTER(Variant))
_CoSetProxyBlanket = Function(
    "ole32",
    "CoSetProxyBlanket",
    c_int32,
    *(c_void_p, c_uint32, c_uint32, c_void_p, c_uint32, c_uint32, c_void_p, c_uint32),
)

ConnectServer = Method(
    "IWbemLocator.ConnectServer",
    3,
    *(c_void_p, c_void_p, c_void_p, c_void_p, c_int32, c_void_p, c_void_p, POINTER(c_void_p)),
)
GetObject = Method(
    "IWbemServices.GetObject",
    6,
    *(c_void_p, c_int32, c_void_p, POINTER(c_void_p), c_void_p),
)
CreateInstanceEnum = Method(
    "IWbemServices.CreateInstanceEnum", 18, c_void_p, c_int32, c_void_p, POINTER(c_void_p)
)
ExecMethod = Method(
    "IWbemServices.ExecMethod",
    24,
    *(c_void_p, c_void_p, c_int32, c_void_p, c_void_p, c_void_p, c_void_p),
)
Next = Method(
    "IEnumWbemClassObject.Next",
    4,
    *(c_int32, c_uint32, POINTER(c_void_p), POINTER(c_uint32)),
)
Get = Method(
    "IWbemClassObject.Get",
    4,
    *(c_wchar_p, c_int32, POINTER(Variant), c_void_p, c_void_p),
)
Put = Method("IWbemClassObject.Put", 5, c_wchar_p, c_int32, POINTER(Variant), c_int32)
SpawnInstance = Method("IWbemClassObject.SpawnInstance", 15, c_int32, POINTER(c_void_p))
GetMethod = Method(
    "IWbemClassObject.GetMethod", 19, c_wchar_p, c_int32, POINTER(c_void_p), c_void_p
)


class Namespace(Object):
    r"""A namespace of this machine, `root\wmi`."""

    def read(self, kind: str, *properties: str) -> list[tuple[Value, ...]]:
        """Return properties of all objects of a class, one after the other.

        Raises:
            OSError: There is no such class, or what knows its objects does not answer.
        """
        rows: list[tuple[Value, ...]] = []
        found = c_void_p()
        with _text(kind) as name:
            CreateInstanceEnum(self, name, _ONE_BY_ONE, None, byref(found))
        with Object(found) as listed:
            _act_for_this_user(listed)
            while True:
                one, count = c_void_p(), c_uint32()
                if Next(listed, _NEXT_WITHIN, 1, byref(one), byref(count)) == _TIMED_OUT:
                    raise com.failure(_TIMED_OUT, Next.name)
                if not count.value:
                    return rows
                with Object(one) as instance:
                    rows.append(tuple(_property(instance, name) for name in properties))

    def call(self, kind: str, path: str, method: str, arguments: Mapping[str, Variant]) -> None:
        """Call a method of an object; what it returns is not looked at.

        Args:
            kind: The class, which knows what the method takes.
            path: The object, its property `__PATH`.
            method: The method.
            arguments: What it is given, by name.

        Raises:
            OSError: It is refused.
        """
        found, taken, given = c_void_p(), c_void_p(), c_void_p()
        with _text(kind) as name:
            GetObject(self, name, 0, None, byref(found), None)
        with Object(found) as definition:
            GetMethod(definition, method, 0, byref(taken), None)
        with Object(taken) as signature:
            SpawnInstance(signature, 0, byref(given))
        with Object(given) as parameters, _text(path) as where, _text(method) as what:
            for name_of_it, value in arguments.items():
                Put(parameters, name_of_it, 0, byref(value), 0)
            ExecMethod(self, where, what, 0, None, parameters.address, None, None)


@contextmanager
def connected(namespace: str) -> Iterator[Namespace]:
    """Use a namespace in this thread.

    Raises:
        OSError: There is none of that name, or WMI does not run.
    """
    com.begin()
    try:
        found = c_void_p()
        with Object(com.create(LOCATOR_CLASS, _LOCATOR)) as locator, _text(namespace) as name:
            ConnectServer(locator, name, None, None, None, _LIMITED_WAIT, None, None, byref(found))
        with Namespace(found) as there:
            _act_for_this_user(there)
            yield there
    finally:
        com.end()


def number(value: int) -> Variant:
    """Return a number as methods take those of 16 and 32 bits."""
    return Variant(NUMBER, content=_Content(number=value))


def byte(value: int) -> Variant:
    """Return a number as methods take those of 8 bits."""
    return Variant(BYTE, content=_Content(byte=value))


@contextmanager
def _text(text: str) -> Iterator[int]:
    """Make a BSTR, which has its length before it."""
    made = _SysAllocString(text)
    try:
        yield made
    finally:
        _SysFreeString(made)


def _act_for_this_user(proxy: Object) -> None:
    """Let WMI act with the rights of who asks, which it refuses to do without."""
    # It fails where the object is in this process and no proxy, as Wine's: nothing is lost.
    _CoSetProxyBlanket(proxy.address, _BY_WINDOWS, 0, None, _EACH_CALL, _IMPERSONATE, None, 0)


def _property(instance: Object, name: str) -> Value:
    """Return a property of an object; `None` where it has no value.

    Raises:
        OSError: It has none of that name, or one of a type that is not known here.
    """
    found = Variant()
    Get(instance, name, 0, byref(found), None, None)
    try:
        if found.type in _NOTHING:
            return None
        if found.type not in _READ:
            raise OSError(f"{name} is of the type {found.type}, which is not known here")
        return _READ[found.type](found.content)
    finally:
        _VariantClear(byref(found))


def _bytes(content: Any) -> bytes:  # noqa: ANN401  (a union)
    array: Any = cast(content.address, POINTER(Array))[0]
    return string_at(array.data, array.count)


_READ: dict[int, Callable[[Any], Value]] = {
    BOOLEAN: lambda content: bool(content.boolean),
    NUMBER: lambda content: int(content.number),
    BYTE: lambda content: int(content.byte),
    TEXT: lambda content: wstring_at(content.address) if content.address else "",
    BYTES: _bytes,
}
