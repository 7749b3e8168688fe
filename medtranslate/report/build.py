"""One HTML page from a scoreboard: no network, and readable without its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.scoring import MEASURES
from medtranslate.report.browser import SliceBrowser
from medtranslate.report.curves import draw_curves
from medtranslate.report.details import EvaluationDetails
from medtranslate.report.headline import make_measure_table
from medtranslate.report.page import render_page
from medtranslate.report.panels import SlicePicture, find_window
from medtranslate.report.pictures import Panel, draw_panels, error_gradient
from medtranslate.report.plots import style_of
from medtranslate.report.sections import Section
from medtranslate.report.wording import cautions, format_value, headline, unit_of

_HEADLINE_MEASURES = ("psnr", "ssim", "mae")
_CURVE_MEASURES = ("psnr", "ssim")
_ARROWS = {"higher": "\u2191", "lower": "\u2193", "closer to 0": "\u2192 0"}


@dataclass(frozen=True, eq=False)
class CasePictures:
    """Slices of one case that the report may show.

    Attributes:
        case: Name of the case.
        fullest: The scored slice with the most mask voxels.
        worst: The scored slice with the lowest PSNR.
        browser: The scored slices to leaf through.
    """

    case: str
    fullest: SlicePicture
    worst: SlicePicture
    browser: SliceBrowser


@dataclass(frozen=True)
class Example:
    """One case shown in pictures.

    Attributes:
        title: ``Best``, ``Median``, ``Worst`` or ``The only case``.
        case: Its name.
        scores: Its scores, in words.
        rows: Caption and panels.
        browser: The scored slices to leaf through.
    """

    title: str
    case: str
    scores: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    browser: SliceBrowser


def build_report(
    board: Scoreboard,
    details: EvaluationDetails,
    pictures: Mapping[str, CasePictures],
    sections: Sequence[Section] = (),
) -> str:
    """The report as one self-contained HTML page.

    Args:
        board: What was scored.
        details: What the scores cannot know.
        pictures: Slices by case name; cases without any are left out of the examples.
        sections: What analyses found, shown after the measures.

    Returns:
        HTML with every picture, curve and style inside.
    """
    examples, window_text = _make_examples(board, details, pictures)
    return render_page(
        "report.html.j2",
        details=details,
        board=board,
        one_person=len(set(board.subjects.values())) == 1,
        headline=headline(board, held_out=details.held_out),
        cautions=[*cautions(board), *details.notes],
        tables=[make_measure_table(board, name) for name in _HEADLINE_MEASURES],
        legend=[(method, *style_of(number)) for number, method in enumerate(board.methods)],
        curves=[
            (MEASURES[name].label, MEASURES[name].better, Markup(draw_curves(board, name)))  # noqa: S704
            for name in _CURVE_MEASURES
        ],
        examples=examples,
        window_text=window_text,
        error_gradient=error_gradient(),
        every_measure=_tabulate_measures(board),
        people=_tabulate_people(board),
        sections=sections,
        protocol=board.protocol.describe(is_ct=board.is_ct, mask=details.mask),
        numbers=board.protocol.model_dump(mode="json"),
        level=f"{100 * board.protocol.interval_level:g} %",
    )


def choose_examples(board: Scoreboard) -> list[tuple[str, str]]:
    """Title and case name of the cases to show: best, median and worst by mean PSNR.

    Of an even number the lower of the two middle ones is the median; two cases have none.
    """
    ranked = [row.case for row in board.ranked_cases("psnr")]
    if len(ranked) == 1:
        return [("The only case", ranked[0])]
    middle = [("Median", ranked[(len(ranked) - 1) // 2])] if len(ranked) > 2 else []
    return [("Best", ranked[-1]), *middle, ("Worst", ranked[0])]


def _make_examples(
    board: Scoreboard, details: EvaluationDetails, pictures: Mapping[str, CasePictures]
) -> tuple[list[Example], tuple[str, str, str]]:
    """Draw the chosen cases; also the ends of the error scale and the grey window, in words."""
    chosen = [(title, pictures[case]) for title, case in choose_examples(board) if case in pictures]
    if not chosen:
        return [], ("", "", "")
    slices = [one for _, shown in chosen for one in (shown.fullest, shown.worst)]
    ct_low = board.protocol.ct_range_hu[0]
    window = find_window(slices, is_ct=board.is_ct, ct_low=ct_low)
    unit = unit_of("mae", is_ct=board.is_ct)
    examples = []
    for title, shown in chosen:
        rows = [("the scored slice with the most mask voxels", shown.fullest)]
        if title in ("Worst", "The only case") and shown.worst.index != shown.fullest.index:
            rows.append(("the slice with the lowest PSNR", shown.worst))
        drawn = tuple(
            (
                f"Slice {one.index}, {rule}: "
                f"{format_value(one.psnr, 'psnr', is_ct=board.is_ct)} dB",
                draw_panels(
                    one,
                    window,
                    source_name=details.source_name,
                    target_name=details.target_name,
                    method=board.model,
                    error_unit=unit,
                ),
            )
            for rule, one in rows
        )
        words = _describe_case(board, shown.case)
        examples.append(Example(title, shown.case, words, drawn, shown.browser))
    low, high = (edge + ct_low if board.is_ct else edge for edge in (window.low, window.high))
    grey = f"{low:.0f} to {high:.0f} HU" if board.is_ct else f"{low:.3g} to {high:.3g}, {unit}"
    grey = grey.replace("-", "\u2212")
    return examples, (f"\u2212{window.error:g}", f"+{window.error:g} {unit}", grey)


def _describe_case(board: Scoreboard, case: str) -> str:
    values = next(row.scores.values for row in board.of(board.model) if row.case == case)
    psnr, ssim = (format_value(values[name], name, is_ct=board.is_ct) for name in _CURVE_MEASURES)
    return f"PSNR {psnr} dB, SSIM {ssim}"


def _tabulate_measures(board: Scoreboard) -> list[tuple[str, str, str, list[str]]]:
    """Every measure of every method: label, unit, direction, mean and SD."""
    rows = []
    for name, measure in MEASURES.items():
        cells = []
        for method in board.methods:
            summary = board.summary(method, name)
            mean = format_value(summary.mean, name, is_ct=board.is_ct)
            sd = format_value(summary.sd, "mae" if name == "me_volume" else name, is_ct=board.is_ct)
            cells.append(mean if summary.sd is None else f"{mean} \u00b1 {sd}")
        arrow = f"{_ARROWS[measure.better]} {measure.better}"
        rows.append((measure.label, unit_of(name, is_ct=board.is_ct), arrow, cells))
    return rows


@dataclass(frozen=True)
class PeopleTable:
    """Scores case by case.

    Attributes:
        columns: Headings after case and person.
        rows: Case, person, and cells.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]


def _tabulate_people(board: Scoreboard) -> PeopleTable:
    shown = ("psnr", "ssim", "mae", "psnr_volume", "ssim_volume", "me_volume")
    best = board.best_baseline("psnr")
    rivals = {row.case: row.scores.values for row in board.of(best)} if best else {}
    columns = ["Slices scored", *(MEASURES[name].label for name in shown)]
    if best:
        columns.insert(2, f"PSNR over {best}")
    rows = []
    for row in board.of(board.model):
        cells = [format_value(row.scores.values[name], name, is_ct=board.is_ct) for name in shown]
        if best:
            mine, theirs = row.scores.values["psnr"], rivals[row.case]["psnr"]
            lead = 0.0 if mine == theirs else mine - theirs
            cells.insert(1, format_value(lead, "psnr", is_ct=board.is_ct, signed=True))
        counted = f"{row.scores.num_scored} of {len(row.scores.slices)}"
        rows.append((row.case, row.subject, (counted, *cells)))
    return PeopleTable(tuple(columns), tuple(rows))
