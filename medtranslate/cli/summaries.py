"""What each command shows a person, and the plain data it gives a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from medtranslate.cli.output import ExitCode, Outcome

if TYPE_CHECKING:
    # Scoring two files must not wait for the deep-learning libraries that these import.
    from medtranslate.data.inspection import Inspection
    from medtranslate.workflows.checks import Verification
    from medtranslate.workflows.cross_validate import CrossValidation
    from medtranslate.workflows.export.exporting import Export
    from medtranslate.workflows.listen import Listening
    from medtranslate.workflows.preprocess import PreprocessingResult
    from medtranslate.workflows.run import RunResult
    from medtranslate.workflows.sizing import Sizing
    from medtranslate.workflows.translate import Translation
    from medtranslate.workflows.translated_case import TranslatedScan
    from medtranslate.workflows.validate import Validation
    from medtranslate.workflows.validate_cohort import CohortValidation

_HEADLINE_MEASURES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "mae": "MAE"}
_DIGITS = {"psnr": 2, "ssim": 3, "mae": 3}
_MAX_LISTED = 20


def show_inspection(inspection: Inspection) -> Outcome:
    """The tables of an inspection."""
    from medtranslate.workflows.inspect import render_inspection

    return Outcome(inspection.to_json(), (render_inspection(inspection),))


def show_preprocessing(result: PreprocessingResult) -> Outcome:
    """What was prepared, and which pairs registration made worse."""
    data = {
        "record": str(result.record),
        "cases": list(result.cases),
        "registration_worse": list(result.worse),
        "failed": dict(result.failed),
        "kept": list(result.kept),
    }
    parts: list[RenderableType] = []
    if result.failed:
        parts.append(tabulate_reasons("Not prepared", "case", result.failed.items()))
    kept = f", {len(result.kept)} of them before" if result.kept else ""
    parts.append(Text(f"{len(result.cases)} cases prepared{kept}"))
    if result.worse:
        names = ", ".join(result.worse)
        parts.append(Text(f"Registration made these pairs worse; look at them: {names}", "yellow"))
    parts.append(Text.assemble(("Record ", "bold"), str(result.record)))
    return Outcome(data, tuple(parts), ExitCode.PARTLY if result.failed else ExitCode.DONE)


def show_verification(verification: Verification) -> Outcome:
    """Which fingerprints no longer hold; exit 3 if any does not."""
    broken = [check for check in verification.checks if not check.holds]
    data = {
        "path": str(verification.path),
        "holds": verification.holds,
        "checks": [dict(vars(check)) for check in verification.checks],
        "notes": list(verification.notes),
    }
    parts: list[RenderableType] = []
    if broken:
        table = Table(title="No longer hold", title_justify="left", box=None)
        for column in ("case", "what", "why"):
            table.add_column(column, overflow="fold")
        for check in broken:
            table.add_row(Text(check.case), Text(check.what), Text(check.detail))
        parts.append(table)
    held, total = len(verification.checks) - len(broken), len(verification.checks)
    parts += [
        Text(f"{check.case}: signed {check.detail}")
        for check in verification.checks
        if check.what == "signature" and check.holds
    ]
    parts += [
        Text(f"{check.case}: watermark found; {check.detail}")
        for check in verification.checks
        if check.what == "watermark" and check.holds
    ]
    parts += [Text(f"Note: {note}", "yellow") for note in verification.notes]
    summary = f"{held} of {total} marks and fingerprints hold"
    parts.append(Text(summary, "red" if broken else "green"))
    return Outcome(data, tuple(parts), ExitCode.PARTLY if broken else ExitCode.DONE)


def show_training(model: Path, *, next_command: str) -> Outcome:
    """Where the model lies and what to do with it; ``{}`` in the command stands for the run."""
    lines = (
        Text.assemble(("Model ", "bold"), str(model)),
        Text.assemble(("Next  ", "bold"), f"medtranslate {next_command.format(model.parent)}"),
    )
    return Outcome({"model": str(model)}, lines)


def show_import(model: Path, sha256: str) -> Outcome:
    """Where the imported model lies."""
    line = Text.assemble(("Model ", "bold"), str(model))
    return Outcome({"model": str(model), "sha256": sha256}, (line,))


def show_sizing(sizing: Sizing) -> Outcome:
    """What a training would be on this machine."""
    return Outcome(sizing.to_json(), (Text(sizing.describe()),))


def show_translation(translation: Translation, *, watermark_key: Path | None = None) -> Outcome:
    """What was written, which sources failed and why, and where the watermark's key lies."""
    if len(translation.failed) == len(translation.scans):
        code = ExitCode.USER_INPUT
    else:
        code = ExitCode.PARTLY if translation.failed else ExitCode.DONE
    parts, data = list(_translation_parts(translation)), translation.to_json()
    if watermark_key is not None:
        parts.append(Text(f"Watermark of the key {watermark_key}; keep it secret, and a copy"))
        data["watermark_key"] = str(watermark_key)
    return Outcome(data, tuple(parts), code)


def show_validation(validation: Validation) -> Outcome:
    """The headline table, who could not be scored and why, and where the report lies."""
    parts = (*_unscored_parts(validation), *_validation_parts(validation))
    return Outcome(validation.to_json(), parts, _code_of(validation, ()))


def show_cohort_validation(result: CohortValidation) -> Outcome:
    """The headline table, and who was not translated or scored and why; exit 3 if anybody."""
    failed = result.translation.failed
    parts: list[RenderableType] = [_failure_table(failed)] if failed else []
    parts += _unscored_parts(result.validation)
    parts += _computation_lines(result.translation)
    data = {**result.validation.to_json(), "translation": result.translation.to_json()}
    code = _code_of(result.validation, failed)
    return Outcome(data, (*parts, *_validation_parts(result.validation)), code)


def _unscored_parts(validation: Validation) -> list[RenderableType]:
    unscored = validation.unscored
    return [tabulate_reasons("Not scored", "case", unscored)] if unscored else []


def _code_of(validation: Validation, failed: Sequence[TranslatedScan]) -> ExitCode:
    return ExitCode.PARTLY if failed or validation.unscored else ExitCode.DONE


def show_run(result: RunResult) -> Outcome:
    """The headline table, what could not be translated, and where everything lies."""
    how = [] if result.translation is None else _computation_lines(result.translation)
    parts = [*how, *_run_parts(result.failed, result.validation, result.folder)]
    code = _code_of(result.validation, result.failed)
    return Outcome(result.to_json(), tuple(parts), code)


def show_cross_validation(result: CrossValidation) -> Outcome:
    """The headline table over all folds, what could not be translated, and where it lies."""
    parts = _run_parts(result.failed, result.validation, result.folder)
    code = _code_of(result.validation, result.failed)
    return Outcome(result.to_json(), tuple(parts), code)


def _run_parts(
    failed: Sequence[TranslatedScan], validation: Validation, folder: Path
) -> list[RenderableType]:
    parts: list[RenderableType] = [_failure_table(failed)] if failed else []
    parts += _unscored_parts(validation)
    parts += _validation_parts(validation)
    parts.append(Text.assemble(("Run    ", "bold"), str(folder)))
    return parts


def show_evaluation(summary: Mapping[str, Any], out: Path) -> Outcome:
    """The headline table and where the report lies; exit 3 if files had no partner."""
    parts = [*_summary_parts(summary), _report_line(out / "report.html")]
    unpaired = list(summary.get("unpaired", []))
    data = {"summary": dict(summary), "report": str(out / "report.html")}
    return Outcome(data, tuple(parts), ExitCode.PARTLY if unpaired else ExitCode.DONE)


def show_comparison(data: Mapping[str, Any], out: Path) -> Outcome:
    """The mean differences, what n permits to say, and where the page lies."""
    title = f"Difference over {data['n']} people"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for label in ("measure", "mean", "sign-flip p", "Holm p"):
        table.add_column(label, justify="right", no_wrap=True)
    for test in data["tests"]:
        measure = test["measure"]
        cells = (
            _HEADLINE_MEASURES[measure],
            _difference(test["mean"], _DIGITS[measure]),
            *("-" if p is None else f"{p:.2g}" for p in (test["sign_flip_p"], test["holm_p"])),
        )
        table.add_row(Text(f"{test['method']} minus {test['minus']}"), *cells)
    notes = [Text(f"Note: {note}", "yellow") for note in data["notes"]]
    page = out / "comparison.html"
    parts: list[RenderableType] = [table, Text(str(data["sentence"])), *notes]
    return Outcome({**data, "report": str(page)}, (*parts, _report_line(page)))


def show_phantom(out: Path, *, subjects: int) -> Outcome:
    """Where the cohort lies."""
    line = Text.assemble(("Cohort ", "bold"), f"{out}: {subjects} simulated people")
    return Outcome({"dataset": str(out), "subjects": subjects}, (line,))


def show_listening(result: Listening) -> Outcome:
    """How many series were sent on, and how many could not be."""
    return Outcome({"sent": result.num_sent, "failed": result.num_failed})


def show_export(export: Export) -> Outcome:
    """Where the export lies, and how far a graph is from the network."""
    parts = [Text.assemble(("Export ", "bold"), str(export.folder))]
    if "max_difference" in export.told:
        told = f"largest difference from the network {export.told['max_difference']:.1e}"
        parts.append(Text(f"{told} (limit {export.told['limit']:.1e})"))
    return Outcome(export.to_json(), tuple(parts))


def _translation_parts(translation: Translation) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if translation.failed:
        parts.append(_failure_table(translation.failed))
    done = [scan for scan in translation.scans if scan.error is None]
    parts += _computation_lines(translation)
    for scan in done[:_MAX_LISTED]:
        line = Text(str(scan.output))
        if scan.num_clipped:
            line.append(f"  ({scan.num_clipped:,} voxels clipped to the CT range)", "yellow")
        parts.append(line)
        parts += [Text(f"  Warning: {warning}", "yellow") for warning in scan.warnings]
    if len(done) > _MAX_LISTED:
        parts.append(Text(f"... and {len(done) - _MAX_LISTED} more", "dim"))
    parts.append(
        Text(f"{len(done)} of {len(translation.scans)} translated. Synthetic: research use only.")
    )
    return parts


def _computation_lines(translation: Translation) -> list[RenderableType]:
    """Each way in which scans were computed, once; of very many the first."""
    ways = list(dict.fromkeys(scan.how for scan in translation.scans if scan.how))
    lines = [Text.assemble(("Computed ", "bold"), way) for way in ways[:_MAX_LISTED]]
    if len(ways) > _MAX_LISTED:
        lines.append(Text(f"... and in {len(ways) - _MAX_LISTED} more ways", "dim"))
    return [*lines]


def _failure_table(failed: Sequence[TranslatedScan]) -> Table:
    rows = ((scan.source.name, scan.error or "") for scan in failed)
    return tabulate_reasons("Not translated", "source", rows)


def tabulate_reasons(title: str, what: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Which failed, and why."""
    table = Table(title=title, title_justify="left", title_style="bold red", box=None)
    table.add_column(what, overflow="fold")
    table.add_column("why", overflow="fold")
    for name, why in rows:
        table.add_row(Text(name), Text(why))
    return table


def _validation_parts(validation: Validation) -> list[RenderableType]:
    return [*_summary_parts(validation.summary), _report_line(validation.report)]


def _summary_parts(summary: Mapping[str, Any]) -> list[RenderableType]:
    parts: list[RenderableType] = [_score_table(summary)]
    if summary.get("headline"):
        parts.append(Text(str(summary["headline"])))
    parts += [Text(f"Note: {note}", "yellow") for note in summary.get("notes", [])]
    return parts


def _score_table(summary: Mapping[str, Any]) -> Table:
    title = f"Mean over {summary['n']} people [95 % interval]"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for label in _HEADLINE_MEASURES.values():
        table.add_column(label, justify="right", no_wrap=True)
    table.add_row(str(summary["model"]), *_score_cells(summary["metrics"]), style="bold")
    for name, metrics in summary.get("baselines", {}).items():
        table.add_row(Text(str(name)), *_score_cells(metrics))
    return table


def _score_cells(metrics: Mapping[str, Any]) -> list[Text]:
    return [
        # The third interval does not fit a terminal of 80 columns; the report has it.
        _score_cell(metrics[name], _DIGITS[name], with_interval=name != "mae")
        for name in _HEADLINE_MEASURES
    ]


def _score_cell(score: Mapping[str, Any], digits: int, *, with_interval: bool) -> Text:
    mean = score["mean"]
    if not isinstance(mean, float | int):
        return Text(str(mean))
    text = f"{mean:.{digits}f}"
    if with_interval and score.get("interval"):
        low, high = score["interval"]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return Text(text)


def _difference(mean: float | str, digits: int) -> str:
    return mean if isinstance(mean, str) else f"{mean:+.{digits}f}"


def _report_line(report: Path) -> Text:
    return Text.assemble(("Report ", "bold"), str(report))
