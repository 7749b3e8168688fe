"""Whether the predicted deviation finds the errors: what is left when the unsure is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medtranslate.metrics.risk_coverage import mean_of_kept
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import mean_by_subject
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.report.tables import format_csv
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase

SET_ASIDE = tuple(share / 100 for share in (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90))
"""Shares of the units that are set aside."""

_IN_TABLE = (0.0, 0.1, 0.2, 0.5)
_ORDERS = ("predicted deviation", "oracle", "random")
_READING = (
    "Units are set aside in the order of the predicted standard deviation, highest first, and the "
    "error of what is left is measured: voxels of a scan, slices of a scan (by their mean "
    "deviation), people (likewise). The oracle sets aside by the error itself, which nobody knows "
    "in practice; in random order the error stays as it is. The nearer the model's curve comes to "
    "the oracle's, the better its deviation tells where it is wrong. Voxels and slices: inside the "
    "mask, by scan, then mean over people; slices weigh the same."
)


@dataclass(frozen=True, eq=False)
class _Curve:
    """MAE and RMSE of what is left, one number a share of ``SET_ASIDE``."""

    mae: np.ndarray
    rmse: np.ndarray


class RiskCoverage(AbstractAnalysis):
    """Error of what is left against the share of voxels, slices and people set aside."""

    name = "risk_coverage"
    gathered = ("_curves", "_totals")
    kinds = (_Curve,)

    def __init__(self) -> None:
        self._curves: dict[tuple[str, str], dict[str, _Curve]] = {}
        self._totals: dict[str, np.ndarray] = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Take the curves of one case; a prediction without deviation is passed over."""
        if case.sd is None:
            return
        mask = yardstick.mask
        error = np.abs(next(iter(predictions.values())) - yardstick.reference)
        sd = np.moveaxis(case.sd, yardstick.voxel_axis, 0)
        voxels = (error[mask], error[mask] ** 2, sd[mask].astype(np.float64))
        self._totals[case.name] = np.array([np.mean(part) for part in voxels])
        inside = [
            (error[n][mask[n]], error[n][mask[n]] ** 2, sd[n][mask[n]])
            for n in np.flatnonzero(yardstick.scored)
        ]
        slices = np.array([[np.mean(part) for part in one] for one in inside]).T
        for units, (absolute, squared, doubt) in (("voxels", voxels), ("slices", slices)):
            for order, curve in _curves(absolute, squared, doubt).items():
                self._curves.setdefault((units, order), {})[case.name] = curve

    def finish(self, board: Scoreboard) -> Findings | None:
        """A table and a drawing for each kind of unit; every curve in ``risk_coverage.csv``."""
        if not self._totals:
            return None
        means = {
            key: _Curve(
                *(
                    _average({case: getattr(curve, name) for case, curve in found.items()}, board)
                    for name in ("mae", "rmse")
                )
            )
            for key, found in self._curves.items()
        }
        means |= {("people", order): curve for order, curve in self._of_people(board).items()}
        unit = "HU" if board.is_ct else "scaled intensity"
        kinds = list(dict.fromkeys(units for units, _ in means))
        section = Section(
            title="Uncertainty: what to set aside",
            lead=f"{_READING} Protocol {board.protocol.name}, fingerprint "
            f"{board.protocol.fingerprint}.",
            tables=tuple(_tabulate(means, units, unit) for units in kinds),
            figures=tuple(_draw(means, units, unit) for units in kinds),
        )
        summary = {
            "set_aside": list(SET_ASIDE),
            "intensity_unit": "HU" if board.is_ct else "scaled",
            "curves": [
                {
                    "units": units,
                    "order": order,
                    "mae": curve.mae.tolist(),
                    "rmse": curve.rmse.tolist(),
                }
                for (units, order), curve in means.items()
            ],
        }
        return Findings(section, {"risk_coverage.csv": self._to_csv(board, means)}, summary)

    def _of_people(self, board: Scoreboard) -> dict[str, _Curve]:
        """Curves over people; none of one person, of whom nothing can be set aside."""
        columns = [
            mean_by_subject(
                {case: float(total[n]) for case, total in self._totals.items()}, board.subjects
            )
            for n in range(3)
        ]
        absolute, squared, doubt = (np.array(list(column.values())) for column in columns)
        return _curves(absolute, squared, doubt) if absolute.size > 1 else {}

    def _to_csv(self, board: Scoreboard, means: Mapping[tuple[str, str], _Curve]) -> str:
        found = [
            (case, board.subjects[case], key, curve)
            for key, by_case in self._curves.items()
            for case, curve in by_case.items()
        ]
        found += [("", "", key, curve) for key, curve in means.items() if key[0] == "people"]
        return format_csv(
            ("case", "subject", "units", "order", "set_aside", "mae", "rmse"),
            (
                {
                    "case": case,
                    "subject": subject,
                    "units": units,
                    "order": order,
                    "set_aside": share,
                    "mae": float(mae),
                    "rmse": float(rmse),
                }
                for case, subject, (units, order), curve in found
                for share, mae, rmse in zip(SET_ASIDE, curve.mae, curve.rmse, strict=True)
            ),
        )


def _curves(absolute: np.ndarray, squared: np.ndarray, doubt: np.ndarray) -> dict[str, _Curve]:
    """By order; the oracle knows the very error that is averaged."""
    constant = np.zeros_like(doubt)
    doubts = ((doubt, doubt), (absolute, squared), (constant, constant))
    return {
        order: _Curve(
            mean_of_kept(absolute, first, SET_ASIDE),
            np.sqrt(mean_of_kept(squared, second, SET_ASIDE)),
        )
        for order, (first, second) in zip(_ORDERS, doubts, strict=True)
    }


def _average(curves: Mapping[str, np.ndarray], board: Scoreboard) -> np.ndarray:
    """Mean over a person's cases, then over people, share by share."""
    by_share = [
        mean_by_subject({case: float(curve[n]) for case, curve in curves.items()}, board.subjects)
        for n in range(len(SET_ASIDE))
    ]
    return np.array([np.mean(list(people.values())) for people in by_share])


def _tabulate(means: Mapping[tuple[str, str], _Curve], units: str, unit: str) -> Table:
    positions = [SET_ASIDE.index(share) for share in _IN_TABLE]
    rows = [
        (f"{name}, {order}", *(f"{curve[n]:.{_digits(unit)}f}" for n in positions))
        for name, which in (("MAE", "mae"), ("RMSE", "rmse"))
        for order in _ORDERS
        for curve in [getattr(means[(units, order)], which)]
    ]
    heads = tuple(f"{100 * share:g} % set aside" for share in _IN_TABLE)
    return Table(
        ("Error of what is left", *heads),
        tuple(rows),
        f"{units.capitalize()} set aside; {unit}, lower is better.",
    )


def _draw(means: Mapping[tuple[str, str], _Curve], units: str, unit: str) -> Figure:
    caption = f"MAE of what is left ({unit}) when a share of the {units} is set aside."
    lines = {
        order: Line(x=[100 * share for share in SET_ASIDE], y=means[(units, order)].mae.tolist())
        for order in _ORDERS
    }
    drawn = plot_lines(
        lines, x_label=f"{units} set aside (%)", y_label=f"MAE ({unit})", label=caption
    )
    return Figure(drawn, caption)


def _digits(unit: str) -> int:
    return 1 if unit == "HU" else 4
