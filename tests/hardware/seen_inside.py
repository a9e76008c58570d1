"""Runs parts of `inside.py` in the machine, and returns what they have seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stack.linux_host import SOURCE

if TYPE_CHECKING:
    from stack.guest import Guest

_INSIDE = f"{SOURCE}/tests/hardware/inside.py"


def seen(guest: Guest, *arguments: str, user: str | None = None, **env: str) -> dict[str, Any]:
    """Run a part, and return what it has seen."""
    said = guest.run("python3", _INSIDE, *arguments, user=user, env=env, timeout=300)
    found: dict[str, Any] = json.loads(said.stdout)
    return found
