"""Parts of a report page: what an analysis has to say, in words, tables and figures."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table all in words.

    Attributes:
        columns: Headings; the first column holds the rows' names.
        rows: As many cells as there are columns.
        caption: One sentence above the table, or empty.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        """Refuse rows of another length."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row} does not fit the columns {self.columns}")


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption.

    Attributes:
        svg: Inline SVG that needs nothing from outside; uses the page's colour variables.
        caption: What it shows, for those who do not see it too.
    """

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        title: Heading.
        lead: Sentences below it: what was done, and how to read it.
        tables: Shown in order.
        figures: Shown below the tables.
        notes: Limits and warnings, one a line.
    """

    title: str
    lead: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
