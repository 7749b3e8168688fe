"""What the commands that look ahead show a person, and give a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from medtranslate.cli.output import ExitCode, Outcome
from medtranslate.cli.summaries import tabulate_reasons

if TYPE_CHECKING:
    # Help must answer at once.
    from medtranslate.workflows.plan import Plan
    from medtranslate.workflows.simulate import Simulation
    from medtranslate.workflows.simulate_cohort import CohortSimulation

_MAX_WARNINGS = 20


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


def show_cohort_simulation(result: CohortSimulation) -> Outcome:
    """Who was simulated, and who failed and why; exit 3 if anybody, 2 if everybody."""
    failed, done = result.failed, len(result.people) - len(result.failed)
    data = {
        "folder": str(result.folder),
        "model_sha256": result.model_sha256,
        "people": [
            {
                "case": person.case,
                "folder": None if person.folder is None else str(person.folder),
                "trajectory": [dict(row) for row in person.rows],
                "warnings": list(person.warnings),
                "error": person.error,
            }
            for person in result.people
        ],
    }
    parts: list[RenderableType] = []
    if failed:
        reasons = ((person.case, person.error or "") for person in failed)
        parts.append(tabulate_reasons("Not simulated", "case", reasons))
    warned = [(one.case, text) for one in result.people for text in one.warnings]
    parts += [Text(f"Warning: {case}: {text}", "yellow") for case, text in warned[:_MAX_WARNINGS]]
    if len(warned) > _MAX_WARNINGS:
        parts.append(Text(f"... and {len(warned) - _MAX_WARNINGS} more warnings", "dim"))
    kept = sum(person.kept for person in result.people)
    before = f", {kept} of them before" if kept else ""
    said = f"{done} of {len(result.people)} people simulated{before}. Simulated: research use only."
    parts += [Text(said), Text.assemble(("Folder ", "bold"), str(result.folder))]
    code = ExitCode.PARTLY if failed else ExitCode.DONE
    return Outcome(data, tuple(parts), code if done else ExitCode.USER_INPUT)


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
