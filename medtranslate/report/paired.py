"""The table of paired tests, in words and as rows of a CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medtranslate.metrics.paired_tests import PairedTest
from medtranslate.metrics.scoring import MEASURES
from medtranslate.metrics.statistics import Bootstrap
from medtranslate.report.sections import Table
from medtranslate.report.tables import Cell
from medtranslate.report.wording import format_interval, format_value, unit_of

TESTED_MEASURES = ("psnr", "ssim", "mae")
"""What is tested: the headline's measures, fixed before anything is scored."""

PAIRED_COLUMNS = (
    "method", "minus", "measure", "better", "unit", "n", "mean_difference", "level",
    "percentile_low", "percentile_high", "bca_low", "bca_high", "wilcoxon_p", "sign_flip_p",
    "holm_p", "effect_size",
)  # fmt: skip

READING = (
    "Two-sided tests of the differences person by person; the scans of a person are averaged "
    "first. Wilcoxon's signed-rank test asks whether the differences lie symmetrically about 0, "
    "the sign-flip test whether their mean could arise if each sign were chance. Effect size: "
    "Hedges' g_z, the mean difference over the standard deviation of the differences."
)
"""How to read the table."""

_DASH = "\u2013"
_SMALLEST_P_SHOWN = 0.0001


@dataclass(frozen=True)
class Comparison:
    """What is tested against what.

    Attributes:
        method: A method or a run.
        minus: What is subtracted from it, person by person.
        measure: One of ``MEASURES``.
    """

    method: str
    minus: str
    measure: str


def make_paired_tables(
    tests: Mapping[Comparison, PairedTest], *, is_ct: bool, level: float
) -> tuple[Table, ...]:
    """A table for each pair of methods or runs, one row a measure.

    Args:
        tests: What was found.
        is_ct: Whether intensities are HU.
        level: Of the intervals, 0..1.
    """
    share = f"{100 * level:g} %"
    columns = (
        "Measure", "n", "Mean", f"{share} percentile", f"{share} BCa", "Wilcoxon p", "Sign-flip p",
        "Holm p", "Effect size",
    )  # fmt: skip
    rows: dict[str, list[tuple[str, ...]]] = {}
    for which, test in tests.items():
        row = _describe(which.measure, test, is_ct=is_ct)
        rows.setdefault(f"{which.method} minus {which.minus}", []).append(row)
    return tuple(Table(columns, tuple(of_pair), pair) for pair, of_pair in rows.items())


def paired_rows(
    tests: Mapping[Comparison, PairedTest], *, is_ct: bool, level: float
) -> list[dict[str, Cell]]:
    """The same as rows for ``PAIRED_COLUMNS``; what could not be computed is left out."""
    return [
        {
            "method": which.method,
            "minus": which.minus,
            "measure": which.measure,
            "better": MEASURES[which.measure].better,
            "unit": unit_of(which.measure, is_ct=is_ct),
            "n": test.n,
            "mean_difference": test.mean,
            "level": level,
            **_ends("percentile", test.percentile),
            **_ends("bca", test.bca),
            **{
                name: value
                for name in ("wilcoxon_p", "sign_flip_p", "holm_p", "effect_size")
                if (value := getattr(test, name)) is not None
            },
        }
        for which, test in tests.items()
    ]


def describe_intervals(settings: Bootstrap) -> str:
    """How the intervals of the paired table were drawn."""
    return (
        f"Intervals: bootstrap over people, {settings.num_resamples:,} draws, seed "
        f"{settings.seed}; percentile, and BCa, which corrects bias and skewness. With few people "
        "both are too narrow."
    )


def format_p(p: float | None) -> str:
    """A p-value with two digits, never 0.

    Example:
        >>> format_p(0.03125), format_p(1.0), format_p(2e-6), format_p(None)
        ('0.031', '1', '< 0.0001', '–')
    """
    if p is None:
        return _DASH
    return f"< {_SMALLEST_P_SHOWN:g}" if p < _SMALLEST_P_SHOWN else f"{p:.2g}"


def _describe(name: str, test: PairedTest, *, is_ct: bool) -> tuple[str, ...]:
    measure, unit = MEASURES[name], unit_of(name, is_ct=is_ct)
    label = f"{measure.label}, {unit}" if unit else measure.label
    effect = _DASH if test.effect_size is None else f"{test.effect_size:+.2f}"
    intervals = (
        format_interval(one, name, is_ct=is_ct, signed=True) for one in (test.percentile, test.bca)
    )
    return (
        f"{label} ({measure.better} is better)",
        str(test.n),
        format_value(test.mean, name, is_ct=is_ct, signed=True),
        *intervals,
        format_p(test.wilcoxon_p),
        format_p(test.sign_flip_p),
        format_p(test.holm_p),
        effect.replace("-", "\u2212"),
    )


def _ends(name: str, interval: tuple[float, float] | None) -> dict[str, float]:
    return {} if interval is None else {f"{name}_low": interval[0], f"{name}_high": interval[1]}
