"""Tables: as Markdown for eyes and documents, as plain data for ``--json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack.console import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Cell = str | float | int | None


@dataclass
class Table:
    """One table of results.

    Attributes:
        title: What was measured.
        columns: Its heads; the first one names the row.
        rows: The cells, as many in each row as there are columns.
        notes: What a reader has to know to judge the figures.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: Sequence[Cell]) -> None:
        """Append a row, and print its cells on standard error: a run may be cut off later."""
        self.rows.append(row)
        for column, cell in zip(self.columns, row, strict=True):
            say(f"{column}: {cell}")

    def markdown(self) -> str:
        """Return the table with aligned columns."""
        cells = [list(self.columns), *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        lines = [
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
            for row in cells
        ]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        parts = [f"### {self.title}", "\n".join(lines)]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts)

    def data(self) -> dict[str, Any]:
        """Return the table as plain data: a list of rows, each by its column heads."""
        return {
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
        }


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return ``part / whole``, or nothing where one of them is not known."""
    if part is None or not whole:
        return None
    return round(part / whole, 3)


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell


def as_json(tables: Sequence[Table], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything for ``--json``."""
    return {"machine": dict(facts), "tables": [table.data() for table in tables]}
