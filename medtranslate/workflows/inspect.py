"""Inspect a dataset or a file, and lay out what was found as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from medtranslate.data.availability import Cell, VisitRow, group_alike
from medtranslate.data.consistency import Finding
from medtranslate.data.findings import Severity
from medtranslate.data.index import index_dataset
from medtranslate.data.inspection import Inspection, inspect_dataset, inspect_file
from medtranslate.errors import MissingExtraError
from medtranslate.io import is_scan
from medtranslate.io.dicom.location import holds_dicom

_STYLES: dict[Severity | None, str] = {
    "error": "red",
    "warning": "yellow",
    "note": "cyan",
    None: "",
}
_MARKS: dict[Severity, str] = {"error": "✗", "warning": "!", "note": "·"}
_MAX_PLACES = 6
_ROWS_SHOWN_SINGLY = 24


def inspect_path(path: Path, *, on_scan: Callable[[Path], None] | None = None) -> Inspection:
    """Inspect a BIDS folder, a CSV table, a single scan, or DICOM in a folder, zip or DICOMDIR.

    Args:
        path: What to look at.
        on_scan: Called before each file of a dataset is read, for a progress bar.

    Raises:
        DatasetError: If nothing lies there, or it is neither a scan nor a dataset.
    """
    if holds_dicom(path):
        return _inspect_dicom(path)
    if is_scan(path):
        return inspect_file(path)
    return inspect_dataset(index_dataset(path), on_scan=on_scan)


def _inspect_dicom(path: Path) -> Inspection:
    try:
        from medtranslate.data.dicom_inspection import inspect_dicom
    except ModuleNotFoundError as error:
        raise MissingExtraError("pydicom", "dicom") from error
    return inspect_dicom(path)


def render_inspection(inspection: Inspection) -> RenderableType:
    """Everything a person needs, the verdict last, where the eye is."""
    parts: list[RenderableType] = [_title(inspection)]
    if inspection.series:
        hint = "to use one, give its name behind the path: PATH#NAME"
        parts.append(_under("Series", hint, _series_table(inspection)))
    if inspection.visits:
        hint = "voxels, where the axes run to, spacing in mm"
        parts.append(_under("Scans", hint, _visit_table(inspection)))
    if inspection.pairs:
        hint = "contrasts of the same person and visit"
        parts.append(_under("Pairs", hint, _pair_table(inspection)))
    if inspection.courses:
        hint = "people with more than one visit"
        parts.append(_under("Over time", hint, _course_table(inspection)))
    if inspection.findings:
        hint = "✗ do not use as it is   ! look first   · good to know"
        parts.append(_under("Findings", hint, _finding_list(inspection.findings)))
    verdict = Text(inspection.verdict, style="bold " + _STYLES[_worst(inspection)])
    return Group(*parts, Text(), verdict)


def _worst(inspection: Inspection) -> Severity | None:
    severity = inspection.findings[0].severity if inspection.findings else "note"
    return None if severity == "note" else severity


def _title(inspection: Inspection) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, value in inspection.facts:
        table.add_row(label, Text(value))
    return Group(Text(inspection.name, style="bold"), Padding(table, (0, 0, 0, 2)))


def _new_table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column), header_style="dim", overflow="fold")
    return table


def _under(title: str, hint: str, content: RenderableType) -> RenderableType:
    """A block with a title and, dimmed beside it, how to read it."""
    heading = Text(title, style="bold")
    heading.append(f"  {hint}", style="not bold dim")
    return Group(Text(), heading, content)


def _series_table(inspection: Inspection) -> Table:
    table = _new_table("name", "patient", "study", "kind", "files", "voxels", "spacing", "problems")
    for row in inspection.series:
        shape = spacing = ""
        if row.grid is not None:
            shape = "×".join(str(n) for n in row.grid.shape) + f" {row.grid.orientation}"
            spacing = "×".join(f"{s:.3g}" for s in row.grid.spacing) + " mm"
        problems = Text(", ".join(row.problems), style="red")
        table.add_row(
            row.name,
            row.patient,
            str(row.study),
            Text(row.kind),
            str(row.num_files),
            shape,
            spacing,
            problems,
        )
    return table


def _visit_table(inspection: Inspection) -> Table:
    has_days = any(row.days is not None for row in inspection.visits)
    head = ["person", *(["day"] if has_days else [])]
    contrasts = [contrast.replace("+", "\n+") for contrast in inspection.contrasts]
    table = _new_table(*head, *contrasts)
    groups = [[row] for row in inspection.visits]
    if len(groups) > _ROWS_SHOWN_SINGLY:
        groups = group_alike(inspection.visits)
    for group in groups:
        row = group[0]
        day = "" if row.days is None else f"{row.days:g}"
        table.add_row(
            _name_group(group),
            *([day] if has_days else []),
            *(_render_cell(row.cells.get(contrast)) for contrast in inspection.contrasts),
        )
    return table


def _name_group(group: Sequence[VisitRow]) -> Text:
    names = [
        row.subject.partition("/")[2] + (f"\nses-{row.session}" if row.session else "")
        for row in (group[0], group[-1])
    ]
    if len(group) == 1:
        return Text(names[0])
    return Text(f"{names[0]}\n… {names[1]}\n({len(group)} alike)")


def _render_cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("missing", style="yellow")
    lines = []
    for grid in cell.grids:
        if grid is None:
            lines.append("unreadable")
            continue
        shape = "×".join(str(n) for n in grid.shape)
        spacing = "×".join(f"{s:.3g}" for s in grid.spacing)
        lines.append(f"{shape} {grid.orientation}\n{spacing}")
    text = Text("\n".join(lines), style=_STYLES[cell.severity])
    if cell.severity is not None:
        text.append(f" {_MARKS[cell.severity]}", style="bold")
    return text


def _pair_table(inspection: Inspection) -> Table:
    table = _new_table("contrasts", "people", "visits", "on one grid", "preprocess.align")
    for row in inspection.pairs:
        table.add_row(
            Text(f"{row.first} ↔ {row.second}"),
            str(row.num_people),
            str(row.num_visits),
            f"{row.num_same_grid} of {row.num_visits}",
            Text(row.align),
        )
    return table


def _course_table(inspection: Inspection) -> Table:
    table = _new_table("contrast", "people", "visits", "days between visits", "on one grid")
    for row in inspection.courses:
        table.add_row(
            Text(row.contrast),
            str(row.num_people),
            str(row.num_visits),
            _render_range(row.interval_days),
            f"{row.num_same_grid} of {row.num_people}",
        )
    return table


def _render_range(days: tuple[float, float] | None) -> str:
    if days is None:
        return "not told"
    low, high = days
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _finding_list(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in findings:
        style = _STYLES[finding.severity]
        body = Text(finding.what, style=style)
        if finding.where:
            body.append(f"\nwhere: {_list_places(finding.where)}", style="dim")
        if finding.do:
            body.append(f"\ndo: {finding.do}", style="default")
        table.add_row(Text(_MARKS[finding.severity], style=f"bold {style}"), body)
    return table


def _list_places(where: Sequence[str]) -> str:
    more = len(where) - _MAX_PLACES
    return ", ".join(where[:_MAX_PLACES]) + (f" and {more} more" if more > 0 else "")
