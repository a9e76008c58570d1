"""WMI that tests play: namespaces, their classes and the objects of these."""

from __future__ import annotations

import ctypes
from ctypes import string_at
from typing import TYPE_CHECKING, Any

from companion_agent.winapi import wmi

from .windows_com import FakeCom, FakeObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from .windows_api import FakeWindows

LEVELS, METHODS = "WmiMonitorBrightness", "WmiMonitorBrightnessMethods"
# As a ThinkPad answers: "Use PowerShell to Report and Set Monitor Brightness" on Microsoft's
# Scripting Guy blog, 2013. The path is made of it as Microsoft's reference of `__PATH` says.
PANEL = r"DISPLAY\LEN40B2\4&3062e51&0&UID67568640_0"
PATH = (
    r"\\LAPTOP\root\wmi:WmiMonitorBrightnessMethods.InstanceName="
    r'"DISPLAY\\LEN40B2\\4&3062e51&0&UID67568640_0"'
)
# WBEMSTATUS.
_NO_MORE, _TIMED_OUT, _NOT_FOUND = 1, 0x40004, -0x7FFB_EFFE


class FakeWmi:
    """What WMI knows, and what became of it.

    Attributes:
        classes: The objects of each class: their properties.
        refuses: The HRESULT of classes that are not among these.
        ends: Whether lists of objects end; one that does not is what has timed out.
        methods: What is called, by its name: with the object's path and the arguments.
        com: Makes the objects.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.classes: dict[str, list[dict[str, Any]]] = {}
        self.refuses: dict[str, int] = {}
        self.ends = True
        self.methods: dict[str, Callable[..., None]] = {}
        self.com = FakeCom(windows)
        self._texts: dict[int, Any] = {}
        self._given: list[FakeObject] = []
        self._kept: list[object] = []
        windows.functions |= {
            "oleaut32.SysAllocString": self._make_text,
            "oleaut32.SysFreeString": lambda text: self._texts.pop(text) and None,
            "oleaut32.VariantClear": self._clear,
            "ole32.CoSetProxyBlanket": lambda *_: 0,
        }
        self._services = FakeObject(
            {
                wmi.GetObject: self._get_class,
                wmi.CreateInstanceEnum: self._list,
                wmi.ExecMethod: self._call,
            }
        )
        self.com.classes[wmi.LOCATOR_CLASS] = self._object({wmi.ConnectServer: self._connect})

    @property
    def not_given_back(self) -> int:
        """How many objects and texts are still held."""
        return (
            self._services.references
            + len(self._texts)
            + sum(one.references for one in self._given)
        )

    def add_panel(self, levels: bytes, percent: int, *, active: bool = True) -> dict[str, Any]:
        """Add a built-in screen, which is dimmed as its class says."""
        panel = {
            "Active": active, "InstanceName": PANEL, "CurrentBrightness": percent, "Level": levels,
        }  # fmt: skip
        self.classes.setdefault(LEVELS, []).append(panel)
        method = {"InstanceName": PANEL, "__PATH": PATH}
        self.classes.setdefault(METHODS, []).append(method)

        def dim(path: str, **given: int) -> None:
            assert path == PATH
            panel["CurrentBrightness"] = given["Brightness"]

        self.methods["WmiSetBrightness"] = dim
        return panel

    # --- What is called ------------------------------------------------------------------

    def _connect(self, namespace: int, *rest: Any) -> int:
        if self._text(namespace) != r"root\wmi":
            return wmi.NO_NAMESPACE
        return self._services.give(rest[-1])

    def _list(self, kind: int, _: int, __: None, found: Any) -> int:
        name = self._text(kind)
        rows = iter([self._instance(row) for row in self.classes.get(name, ())])

        def give_next(_: int, __: int, one: Any, count: Any) -> int:
            # Lists that are made at once say only here what is wrong.
            if name not in self.classes:
                return self.refuses.get(name, wmi.NO_CLASS)
            row = next(rows, None)
            count[0] = row is not None
            if row:
                return row.give(one)
            return _NO_MORE if self.ends else _TIMED_OUT

        return self._object({wmi.Next: give_next}).give(found)

    def _instance(self, row: dict[str, Any]) -> FakeObject:
        def get(name: str, _: int, found: Any, *__: None) -> int:
            if name not in row:
                return _NOT_FOUND
            self._put(row[name], found[0])
            return 0

        return self._object({wmi.Get: get})

    def _get_class(self, _: int, __: int, ___: None, found: Any, ____: None) -> int:
        def get_method(name: str, _: int, taken: Any, __: None) -> int:
            assert name in self.methods
            return self._object({wmi.SpawnInstance: spawn}).give(taken)

        def spawn(_: int, given: Any) -> int:
            arguments: dict[str, int] = {}

            def put(name: str, _: int, value: Any, __: int) -> None:
                kind, content = value[0].type, value[0].content
                arguments[name] = content.byte if kind == wmi.BYTE else content.number

            made = self._object({wmi.Put: put})
            self._arguments = made.address, arguments
            return made.give(given)

        return self._object({wmi.GetMethod: get_method}).give(found)

    def _call(self, path: int, method: int, _: int, __: None, given: int, *___: None) -> None:
        address, arguments = self._arguments
        assert given == address
        self.methods[self._text(method)](self._text(path), **arguments)

    # --- Texts and values ----------------------------------------------------------------

    def _object(self, methods: dict[Any, Callable[..., int | None]]) -> FakeObject:
        made = FakeObject(methods)
        self._given.append(made)
        return made

    def _make_text(self, text: str) -> int:
        # A BSTR has the number of its bytes before it.
        data = text.encode("utf-16-le")
        buffer = ctypes.create_string_buffer(len(data).to_bytes(4, "little") + data + b"\0\0")
        # Linux' wide characters have four bytes: the text itself is kept beside.
        address = ctypes.addressof(buffer) + 4
        self._texts[address] = buffer
        return address

    def _text(self, address: int) -> str:
        assert address in self._texts
        size = int.from_bytes(string_at(address - 4, 4), "little")
        return string_at(address, size).decode("utf-16-le")

    def _put(self, value: Any, found: Any) -> None:
        if isinstance(value, bool):
            found.type, found.content.boolean = wmi.BOOLEAN, -value
        elif isinstance(value, int):
            found.type, found.content.byte = wmi.BYTE, value
        elif isinstance(value, str):
            text = ctypes.create_unicode_buffer(value)
            self._texts[ctypes.addressof(text)] = text
            found.type, found.content.address = wmi.TEXT, ctypes.addressof(text)
        elif isinstance(value, bytes):
            data = ctypes.create_string_buffer(value, len(value))
            array = wmi.Array(1, 0, 1, 0, ctypes.addressof(data), len(value), 0)
            self._kept += data, array
            found.type, found.content.address = wmi.BYTES, ctypes.addressof(array)
        else:
            found.type = value or 0

    def _clear(self, found: Any) -> int:
        if found.type == wmi.TEXT:
            del self._texts[found.content.address]
        found.type = 0
        return 0
