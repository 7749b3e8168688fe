"""Numbers and findings in words."""

from __future__ import annotations

import math

from medtranslate.metrics.scoreboard import Scoreboard, goodness
from medtranslate.metrics.scoring import MEASURES
from medtranslate.metrics.statistics import Difference

_MINUS = "\u2212"
_HEADLINE = ("psnr", "ssim")
_FEW_PEOPLE = 6
_DIGITS = {"dB": 2, "": 3, "HU": 1, "scaled": 4}
_HEADLINE_DIGITS = {"dB": 1, "": 3}


def unit_of(measure: str, *, is_ct: bool) -> str:
    """Unit of a measure for a heading; empty for SSIM."""
    unit = MEASURES[measure].unit
    if unit == "intensity":
        return "HU" if is_ct else "scaled intensity"
    return unit


def format_value(value: float | None, measure: str, *, is_ct: bool, signed: bool = False) -> str:
    """A score with the decimals it deserves; infinite as a sign, absent as a dash.

    Example:
        >>> format_value(21.0388, "psnr", is_ct=False), format_value(math.inf, "psnr", is_ct=False)
        ('21.04', '∞')
    """
    if value is None or math.isnan(value):
        return "\u2013"
    signed = signed or MEASURES[measure].better == "closer to 0"
    sign = _MINUS if value < 0 else "+" if signed and value > 0 else ""
    if math.isinf(value):
        return f"{sign}\u221e"
    unit = unit_of(measure, is_ct=is_ct)
    return f"{sign}{abs(value):.{_DIGITS.get(unit, _DIGITS['scaled'])}f}"


def format_interval(
    interval: tuple[float, float] | None, measure: str, *, is_ct: bool, signed: bool = False
) -> str:
    """Both ends of an interval, or a dash."""
    if interval is None:
        return "\u2013"
    low, high = (format_value(end, measure, is_ct=is_ct, signed=signed) for end in interval)
    return f"{low} to {high}"


def headline(board: Scoreboard, *, held_out: bool) -> str:
    """What came out, in one or two sentences.

    Args:
        board: What was scored.
        held_out: Whether the model is known never to have seen these people.
    """
    people = _people(len(set(board.subjects.values())))
    unseen = " the model never saw" if held_out else ""
    scores = " and ".join(_headline_score(board, measure) for measure in _HEADLINE)
    start = f"On {people}{unseen}, {board.model} reaches {scores}"
    if not board.baselines:
        return f"{start}. No baseline was scored, so nothing says yet whether that is good."
    return f"{start}: {_common_lead(board) or '; '.join(_lead(board, one) for one in _HEADLINE)}."


def cautions(board: Scoreboard) -> list[str]:
    """What a reader must know before trusting the numbers: few people, infinite means."""
    count = len(set(board.subjects.values()))
    found = []
    if count == 1:
        found.append(
            "One person only: there is no interval and no standard deviation, and nothing can be "
            "said about other people."
        )
    elif count < _FEW_PEOPLE:
        found.append(
            f"{count} people only: an interval drawn from so few is itself uncertain and usually "
            "too narrow. Read it as the spread of these people, not as a promise for others."
        )
    found += [text for method in board.methods if (text := _identical(board, method))]
    return found


def _identical(board: Scoreboard, method: str) -> str | None:
    """Say how much of an infinite mean is due to slices equal to the reference."""
    rows = board.of(method)
    identical = sum(row.scores.num_identical for row in rows)
    if not identical:
        return None
    scored = sum(row.scores.num_scored for row in rows)
    others = [
        one.values["psnr"]
        for row in rows
        for one in row.scores.slices
        if one.scored and math.isfinite(one.values["psnr"])
    ]
    rest = (
        f" The other {len(others):,} slices average {math.fsum(others) / len(others):.2f} dB."
        if others
        else ""
    )
    return (
        f"{method}: {identical:,} of {scored:,} scored slices equal the reference exactly. Their "
        f"PSNR is infinite, and so is every mean that holds one of them.{rest}"
    )


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _headline_score(board: Scoreboard, measure: str) -> str:
    mean = board.summary(board.model, measure).mean
    unit = MEASURES[measure].unit
    digits = _HEADLINE_DIGITS[unit]
    number = "an infinite" if math.isinf(mean) else f"{mean:.{digits}f}".replace("-", _MINUS)
    name = MEASURES[measure].label
    return f"{number} {unit} {name}" if unit else f"{number} {name}"


def _common_lead(board: Scoreboard) -> str | None:
    """The simple case: above one and the same baseline in both measures, for everybody."""
    baselines = {board.best_baseline(measure) for measure in _HEADLINE}
    if len(baselines) > 1:
        return None
    (baseline,) = baselines
    psnr, ssim = (board.difference(baseline or "", measure) for measure in _HEADLINE)
    unanimous = psnr.better == psnr.n == ssim.better
    if not unanimous or math.isinf(psnr.mean) or not (psnr.mean > 0 and ssim.mean > 0):
        return None
    gain = f"{psnr.mean:.1f} dB and {ssim.mean:.3f} above the best baseline, {baseline}"
    return gain if psnr.n == 1 else f"{gain}, and better for each of the {psnr.n}"


def _lead(board: Scoreboard, measure: str) -> str:
    """Distance to the best baseline, and for how many people."""
    baseline = board.best_baseline(measure) or ""
    difference = board.difference(baseline, measure)
    unit = MEASURES[measure].unit
    size = abs(difference.mean)
    amount = "infinitely far" if math.isinf(size) else f"{size:.{_HEADLINE_DIGITS[unit]}f}"
    amount = f"{amount} {unit}" if unit and math.isfinite(size) else amount
    way = "above" if difference.mean > 0 else "below"
    text = f"in {MEASURES[measure].label} {amount} {way} the best baseline ({baseline})"
    if difference.mean == 0:
        text = f"in {MEASURES[measure].label} equal to the best baseline ({baseline})"
    if difference.n == 1:
        return text
    return f"{text}, better for {difference.better} of {difference.n}{_doubt(difference)}"


def _doubt(difference: Difference) -> str:
    if difference.interval is None or not difference.interval[0] <= 0 <= difference.interval[1]:
        return ""
    return ", an interval that includes 0"


def is_better(board: Scoreboard, baseline: str, measure: str) -> bool:
    """Whether the model's mean is better than the baseline's."""
    return goodness(measure, board.summary(board.model, measure).mean) > goodness(
        measure, board.summary(baseline, measure).mean
    )
