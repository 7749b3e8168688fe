"""The model card: what a model is for, what it was trained on, what it must not be used for."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from medtranslate import __version__
from medtranslate.checkpoint.model import CARD_FILE, PROVENANCE_FILE, LoadedModel
from medtranslate.data.familiarity import RANGE_KEY, TrainingRange
from medtranslate.data.scans import PARTS
from medtranslate.data.split import Split
from medtranslate.io.atomic import write_json, write_text
from medtranslate.pipeline import Pipeline, pipeline_from_json
from medtranslate.workflows.cohort import Cohort

DATA_KEY = "data"
"""Key of the model's provenance that holds what the datasets say of themselves."""

SCORES_KEY = "scores"
"""Key of the model's provenance that holds its mean scores, once it was scored."""

STOPPED_KEY = "stopped"
"""Key of the model's provenance that says why training ended early, if it did."""

UNKNOWN = "not known"

_TOLD = ("Name", "License", "DatasetDOI", "HowToAcknowledge")
_SCORES = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 3), "mae": ("MAE", 3)}
_CHANGE = {
    "correlation": ("correlation of the change", 3),
    "dice": ("Dice of the later region", 3),
    "changed_dice": ("Dice of what changed in it", 3),
    "error_percent": ("error of its volume (% of today's)", 2),
}


def describe_data(cohort: Cohort) -> list[dict[str, Any]]:
    """Plain data on each dataset: what it says of itself, its people and pairs in each part."""
    return [
        {
            "dataset": name,
            **{key: told.get(key, "") for key in _TOLD},
            "people": _count(cohort, name, people=True),
            "pairs": _count(cohort, name, people=False),
        }
        for name, told in sorted(cohort.descriptions.items())
    ]


def describe_model(
    pipeline: Pipeline,
    split: Split,
    *,
    data: Sequence[Mapping[str, Any]],
    seen: TrainingRange,
    scores: Mapping[str, Any] | None = None,
    stopped: Mapping[str, int] | None = None,
) -> str:
    """Text of ``MODEL_CARD.md``; what nobody recorded is said to be not known.

    Args:
        pipeline: The job.
        split: Who is in which part.
        data: Of :func:`describe_data`; empty if it was not recorded.
        seen: What the training sources were like.
        scores: Content of ``summary.json``; None before the model was scored.
        stopped: Where training ended early, and with the weights of which step; None if it did not.
    """
    parts = [
        f"# {pipeline.name}",
        f"{_task(pipeline)} {pipeline.description}".rstrip(),
        *_intended_use(pipeline),
        *_data(data),
        *_training(pipeline, split, data),
        *_stop(stopped),
        *_scores(scores),
        *_change(scores),
        *_limits(pipeline, seen),
        *_rest(pipeline),
    ]
    return "\n\n".join(parts) + "\n"


def write_scores(model: LoadedModel, summary: Mapping[str, Any]) -> None:
    """Write card and provenance of a model anew, with the scores of the people held out.

    Args:
        model: What was scored.
        summary: Content of ``summary.json``.

    Raises:
        VolumeWriteError: If they cannot be written.
    """
    folder = model.folder
    card = describe_model(
        pipeline_from_json(model.config["pipeline"], where=str(folder)),
        Split.from_json(model.config["split"], where=str(folder)),
        data=model.provenance.get(DATA_KEY, ()),
        seen=TrainingRange.from_json(model.config[RANGE_KEY]),
        scores=summary,
        stopped=model.provenance.get(STOPPED_KEY),
    )
    write_text(folder / CARD_FILE, card)
    brief = {
        "people": summary["n"],
        "protocol": summary["protocol"],
        "intensity_unit": summary["intensity_unit"],
        "means": {key: summary["metrics"][key]["mean"] for key in _SCORES},
    }
    changes = [row for row in _changes(summary) if row["method"] == summary["model"]]
    if changes:
        brief["change"] = {key: changes[0][key]["mean"] for key in _CHANGE if key in changes[0]}
    write_json(folder / PROVENANCE_FILE, {**model.provenance, SCORES_KEY: brief})


def _task(pipeline: Pipeline) -> str:
    if pipeline.is_progression:
        return f"Simulates what a {pipeline.source} scan may look like at a later time."
    return f"Predicts {pipeline.target} from {pipeline.source}."


def _count(cohort: Cohort, dataset: str, *, people: bool) -> dict[str, int]:
    found: Counter[str] = Counter()
    for part in PARTS:
        cases = [case for case in cohort.part(part) if case.dataset == dataset]
        found[part] = len({case.subject for case in cases} if people else cases)
    return dict(found)


def _intended_use(pipeline: Pipeline) -> list[str]:
    if pipeline.is_progression:
        purpose = f"Research on what a {pipeline.source} scan may look like later"
    else:
        purpose = f"Research on {pipeline.target} scans made from {pipeline.source}"
    return [
        "**Research use only; not a medical device.** What it predicts was not acquired. It can"
        " miss, move or invent anatomy and disease, most of all on scans unlike those it was"
        " trained on.",
        "## Intended use",
        f"{purpose}, to try methods, to plan studies. Not for diagnosis, treatment or any decision"
        " about a person.",
    ]


def _data(data: Sequence[Mapping[str, Any]]) -> list[str]:
    if not data:
        return ["## Data", f"Datasets and their licences: {UNKNOWN}."]
    rows = [
        f"| {one['dataset']} | {_cell(one['Name'])} | {_cell(one['License'])} |"
        f" {_cell(one['DatasetDOI'])} | {_cell(one['HowToAcknowledge'])} |"
        for one in data
    ]
    table = ["| folder | dataset | licence | DOI | to be cited |", "| --- " * 5 + "|", *rows]
    return [
        "## Data",
        "\n".join(table),
        "As the `dataset_description.json` of each says. Ages, sexes, scanners and diseases of the"
        f" people: {UNKNOWN} to this card.",
    ]


def _cell(text: str) -> str:
    """Text of a dataset as one cell of a table, without markup of its own."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|") or UNKNOWN


def _training(pipeline: Pipeline, split: Split, data: Sequence[Mapping[str, Any]]) -> list[str]:
    seed = "" if pipeline.train is None else f", seed {pipeline.train.seed}"
    rows = []
    for part in PARTS:
        pairs = sum(one["pairs"][part] for one in data) if data else UNKNOWN
        rows.append(f"| {part} | {len(split.subjects(part))} | {pairs} |")
    return [
        "## Training",
        f"Method `{pipeline.method.name}`, {pipeline.effort}{seed}, medtranslate {__version__}.",
        "\n".join(["| split | people | pairs of scans |", "| --- | --- | --- |", *rows]),
        f"Split {split.hash[:12]}, by person; who is where stands in `config.json`.",
    ]


def _stop(stopped: Mapping[str, int] | None) -> list[str]:
    if stopped is None:
        return []
    return [
        f"**Training ended early**, at step {stopped['step']}: {stopped['num_skipped']} updates had"
        " no finite loss or gradient. These are the best weights until then, of step"
        f" {stopped['weights_of_step']}."
    ]


def _scores(scores: Mapping[str, Any] | None) -> list[str]:
    if scores is None:
        return [
            "## Scores",
            f"{UNKNOWN.capitalize()}: the model was not scored when this card was written."
            " `medtranslate run` scores it on people held out from training, and `medtranslate"
            " validate` on any others.",
        ]
    methods = {str(scores["model"]): scores["metrics"], **scores["baselines"]}
    rows = [
        f"| {name} | "
        + " | ".join(_score(metrics[key], digits) for key, (_, digits) in _SCORES.items())
        + " |"
        for name, metrics in methods.items()
    ]
    unit = "HU" if scores["intensity_unit"] == "HU" else "share of the scale"
    head = [f"{label} [{unit}]" if key == "mae" else label for key, (label, _) in _SCORES.items()]
    protocol = scores["protocol"]
    return [
        "## Scores",
        f"Means over {scores['n']} people held out from training, with 95 % intervals where n"
        f" allows them, beside baselines; protocol {protocol['name']} {protocol['hash']}.",
        "\n".join(["| | " + " | ".join(head) + " |", "| --- " * 4 + "|", *rows]),
        "Every slice and volume is in the `evaluation/` folder of the run.",
    ]


def _changes(scores: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Scores of change by method; empty for models that do not follow people."""
    found: Sequence[Mapping[str, Any]] = (scores or {}).get("change", {}).get("by_method", ())
    return found


def _change(scores: Mapping[str, Any] | None) -> list[str]:
    """The change itself, of the model and of what it must beat; columns that somebody has."""
    rows = _changes(scores)
    shown = {key: told for key, told in _CHANGE.items() if any(key in row for row in rows)}
    if not shown:
        return []
    table = ["| | " + " | ".join(label for label, _ in shown.values()) + " |"]
    table.append("| --- " * (len(shown) + 1) + "|")
    for row in rows:
        cells = (_score(row[key], shown[key][1]) if key in row else "" for key in shown)
        table.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return [
        "The change from the baseline to the follow-up, over the same people; 'no change' has no"
        " correlation:",
        "\n".join(table),
    ]


def _score(score: Mapping[str, Any], digits: int) -> str:
    mean = score["mean"]
    if not isinstance(mean, float | int):
        return str(mean)
    text = f"{mean:.{digits}f}"
    if score.get("interval"):
        low, high = score["interval"]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text


def _limits(pipeline: Pipeline, seen: TrainingRange) -> list[str]:
    rows = [f"| {name} | {low:.3g} | {high:.3g} |" for name, (low, high) in seen.ranges.items()]
    command = "simulate" if pipeline.is_progression else "translate"
    return [
        "## Limits",
        f"It was trained on {seen.num_scans} scans within these ranges. Outside them, `{command}`"
        " warns, and nothing is known of how well it does.",
        "\n".join(["| property of the source | least | greatest |", "| --- " * 3 + "|", *rows]),
        f"Mask of the patient: `{pipeline.preprocess.mask}`. Known failures: {UNKNOWN}, beyond what"
        " the report of the run shows.",
    ]


def _rest(pipeline: Pipeline) -> list[str]:
    command = "medtranslate translate MODEL SCAN --out DIR"
    if pipeline.is_progression:
        command = "medtranslate simulate MODEL SCAN --at 1y --out DIR"
    intensities = (
        "CT is predicted in Hounsfield units. MR is predicted in the normalised unit of the"
        " training cohort and stored at its typical scale (`scale.json`): values of two people"
        " can be compared with each other, not with a scanner's."
    )
    if pipeline.is_progression:
        intensities = "A simulated scan has the unit and the scale of its own baseline."
    return [
        "## Intensities",
        intensities,
        "## Licence and contact",
        f"Licence of the weights: {UNKNOWN}; whoever passes them on says it, within what the"
        f" licences of the datasets allow. Author and contact: {UNKNOWN}.",
        "## Use",
        f"```bash\n{command}\n```",
    ]
