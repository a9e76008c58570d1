"""Prints the parts of the documents that are made from declarations, as JSON.

``{document: {part: Markdown}}``. Runs in the agent's environment, for `stack.generate_docs`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import supported

from companion_agent.config import reference
from companion_agent.protocol.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|" for cells in lines
    )


def _catalogue() -> str:
    """Return the table of the kinds."""
    return _table(
        ("kind", "type", "unit", "of", "meaning"),
        (
            (
                f"`{kind.name}`",
                kind.type.value,
                kind.unit,
                kind.of,
                ", ".join(f"`{option}`" for option in kind.options) or kind.meaning,
            )
            for kind in CATALOGUE.values()
        ),
    )


def _supported() -> str:
    """Return the table of what is read and done where."""
    return _table(
        ("reading or command", "Linux", "Windows", "takes", "proved by"),
        ((f"`{name}`", *rest) for name, *rest in supported.table()),
    )


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "docs/protocol.md": {"catalogue": _catalogue()},
                "docs/configuration.md": reference.generated(),
                "docs/supported.md": {"supported": _supported()},
            }
        )
    )
