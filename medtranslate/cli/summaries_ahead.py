"""What the commands that look ahead show a person, and give a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from medtranslate.cli.output import Outcome

if TYPE_CHECKING:
    # Help must answer at once.
    from medtranslate.workflows.plan import Plan
    from medtranslate.workflows.simulate import Simulation


def show_simulation(simulation: Simulation) -> Outcome:
    """The trajectory and where the page lies."""
    table = Table(title="Volume through time", title_justify="left", box=SIMPLE_HEAD)
    for column in ("time", "volume (ml)", "change (%)", "90 % of futures"):
        table.add_column(column, justify="left" if column == "time" else "right")
    for row in simulation.rows:
        mark = " EXTRAPOLATION" if row["extrapolation"] == "true" else ""
        table.add_row(
            f"{row['time']}{mark}",
            f"{row['volume_ml']:.2f}",
            f"{row['change_percent']:+.2f}",
            f"{row['low']:.2f} - {row['high']:.2f}",
        )
    page = simulation.folder / "simulation.html"
    lines = [Text(f"Warning: {warning}", "yellow") for warning in simulation.warnings]
    said = Text("Simulated: research use only, not a prediction for this person.")
    data = {
        "folder": str(simulation.folder),
        "trajectory": [dict(row) for row in simulation.rows],
        "warnings": list(simulation.warnings),
        "report": str(page),
    }
    return Outcome(data, (table, *lines, said, Text.assemble(("Page ", "bold"), str(page))))


def show_plan(plan: Plan) -> Outcome:
    """The margin at each time and where the page lies."""
    table = Table(title=f"Margin for {plan.coverage:.0%}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("time", "kind", "margin (mm)", "covered", "volume (ml)"):
        table.add_column(column, justify="left" if column in ("time", "kind") else "right")
    for row in plan.rows:
        margin = "not reached" if row["margin_mm"] == "" else f"{row['margin_mm']:.1f}"
        table.add_row(
            str(row["time"]),
            str(row["kind"]),
            margin,
            f"{row['covered']:.1%}",
            f"{row['volume_ml']:.1f}",
        )
    page = plan.folder / "plan.html"
    said = Text("Simulated: research use only, not a prediction for this person.")
    data = {"folder": str(plan.folder), "rows": [dict(r) for r in plan.rows], "report": str(page)}
    return Outcome(data, (table, said, Text.assemble(("Page ", "bold"), str(page))))
