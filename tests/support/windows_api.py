"""A Windows of functions that a test brings, in the place of its DLLs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from companion_agent.winapi import dll

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class FakeWindows:
    """Answers the functions that a test has given it; others are missing.

    An argument made by `byref()` comes as the object that it points to.

    Attributes:
        functions: What answers, by `library.name`.
        calls: What was called, with its arguments, in order.
        error: What `GetLastError` says, in each thread.
    """

    def __init__(self, functions: dict[str, Callable[..., Any]] | None = None) -> None:
        self.functions = dict(functions or {})
        self.calls: list[tuple[Any, ...]] = []
        self._of_thread = threading.local()

    @property
    def error(self) -> int:
        return getattr(self._of_thread, "error", 0)

    @error.setter
    def error(self, code: int) -> None:
        self._of_thread.error = code

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
        """Stand in for the system's DLLs until the test's end."""
        monkeypatch.setattr(dll, "system", self)
        return self

    def fail(self, code: int) -> int:
        """Have a function fail: `lambda *_: windows.fail(5)`."""
        self.error = code
        return 0

    def call(self, function: dll.Function, arguments: tuple[Any, ...]) -> Any:
        name = f"{function.library}.{function.name}"
        if name not in self.functions:
            raise dll.MissingError(f"{name} is not in this test's Windows")
        # Not those of a function with an open number of them.
        assert len(arguments) == len(function.arguments), name
        given = tuple(getattr(argument, "_obj", argument) for argument in arguments)
        self.calls.append((function.name, *given))
        return self.functions[name](*given)

    def has(self, function: dll.Function) -> bool:
        return f"{function.library}.{function.name}" in self.functions

    def last_error(self) -> int:
        return self.error
