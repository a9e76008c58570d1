"""What is said of a service that was made, changed or taken away, on every system."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ServiceError(Exception):
    """The service cannot be made or started; the text says why and what to do."""


def describe(changes: Iterable[str], *, check: bool = False) -> str:
    """Say what was changed, or would be, on one line that scripts can look for."""
    told = ", ".join(dict.fromkeys(changes))
    if check:
        return f"Would be changed: {told}." if told else "Nothing would be changed."
    return f"Changed: {told}." if told else "Nothing had to be changed."
