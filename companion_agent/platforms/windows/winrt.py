"""The Windows Runtime by PyWinRT's packages, one a namespace; session helpers alone have them.

It is the one way to them, and the one that tests replace. What a package does there is in the type
stubs that it brings. Source: https://pywinrt.readthedocs.io
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from companion_agent.errors import Unavailable


def load(namespace: str) -> Any:  # noqa: ANN401  (its types are Windows' alone)
    """Return the module of a namespace, `load("Windows.UI.Notifications")`.

    Raises:
        Unavailable: The package is not installed, or this Windows cannot load it.
    """
    try:
        return import_module(f"winrt.{namespace.lower()}")
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"the Python package winrt-{namespace} is not installed",
            "install pilot-agent with the extra desktop",
        ) from error
    except (ImportError, OSError) as error:
        raise Unavailable(f"{namespace} cannot be loaded: {error}") from error


def unboxed_text(value: Any) -> str:  # noqa: ANN401  (an object of the runtime)
    """Return the text in an object, as a property set keeps it."""
    text: str = value if isinstance(value, str) else load("System").unbox_string(value)
    return text
