"""How a function of a DLL is declared and called.

The others in this package say which functions there are. They know no policy: what a call means
for the host is the business of the parts that use them.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Protocol


class MissingError(OSError):
    """This system lacks a DLL, or a DLL lacks a function."""


class System(Protocol):
    """What runs a declared function."""

    def call(self, function: Function, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """Call it.

        Raises:
            MissingError: There is no such function.
        """

    def has(self, function: Function) -> bool:
        """Tell whether there is such a function."""

    def last_error(self) -> int:
        """Return what `GetLastError` said after the last call of this thread."""


class Function:
    """A function of a DLL, `GetTickCount64 = Function("kernel32", "GetTickCount64", c_uint64)`.

    Args:
        library: The DLL, without `.dll`.
        name: The function.
        result: What it returns; `None` for nothing.
        arguments: What it takes.
    """

    __slots__ = ("arguments", "library", "name", "result")

    def __init__(self, library: str, name: str, result: Any, *arguments: Any) -> None:  # noqa: ANN401
        self.library = library
        self.name = name
        self.result = result
        self.arguments = arguments

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401
        """Call it.

        Raises:
            MissingError: There is no such function.
        """
        return system.call(self, arguments)

    def exists(self) -> bool:
        """Tell whether this system has it; its DLL is loaded for that."""
        return system.has(self)

    def check(self, *arguments: Any) -> Any:  # noqa: ANN401
        """Call it where a zero means that it failed, and `GetLastError` says why.

        Raises:
            OSError: It failed; `winerror` has the code.
        """
        result = self(*arguments)
        if not result:
            raise error(system.last_error(), self.name)
        return result


def error(code: int, what: str) -> OSError:
    """Return the exception for a Windows error code; `errno` and text are the system's."""
    return _error(code, what)


if sys.platform == "win32":
    callback = ctypes.WINFUNCTYPE

    def _error(code: int, what: str) -> OSError:
        made = ctypes.WinError(code)
        made.filename = what
        return made

    class _Windows:
        """This system's DLLs."""

        def __init__(self) -> None:
            self._found: dict[Function, Any] = {}

        def call(self, function: Function, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
            return self._of(function)(*arguments)

        def has(self, function: Function) -> bool:
            try:
                self._of(function)
            except MissingError:
                return False
            return True

        def last_error(self) -> int:
            return ctypes.get_last_error()

        def _of(self, function: Function) -> Any:  # noqa: ANN401
            found = self._found.get(function)
            if found is None:
                found = self._found[function] = self._find(function)
            return found

        @staticmethod
        def _find(function: Function) -> Any:  # noqa: ANN401
            try:
                # From the system's folder alone: a DLL beside the program is not Windows' own.
                library = ctypes.WinDLL(function.library, use_last_error=True, winmode=0x800)
                found = getattr(library, function.name)
            except (OSError, AttributeError) as problem:
                raise MissingError(f"{function.library}.{function.name}: {problem}") from None
            found.argtypes, found.restype = function.arguments, function.result
            return found

    system: System = _Windows()

else:
    callback = ctypes.CFUNCTYPE

    def _error(code: int, what: str) -> OSError:
        made = OSError(code, f"{what}: error {code}")
        made.winerror = code  # type: ignore[attr-defined]
        return made

    class _Elsewhere:
        """Another system."""

        def call(self, function: Function, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
            raise MissingError(f"{function.library}.{function.name} is Windows' alone")

        def has(self, function: Function) -> bool:
            return False

        def last_error(self) -> int:
            return 0

    system: System = _Elsewhere()
