"""Which of several things are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.models import Selection


def chosen(selection: Selection, name: str, *, shown: bool = True) -> bool:
    """Tell whether a thing is reported.

    Args:
        selection: What the user wants. A list of what to include replaces the default, and so
            reaches things that are not shown without one.
        name: What the user would call it.
        shown: Without an include list, it is reported.
    """
    return selection.wants(name) and (shown or bool(selection.include))
