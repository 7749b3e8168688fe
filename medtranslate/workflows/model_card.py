"""The model card: what a model is for, what it was trained on, what it must not be used for."""

from __future__ import annotations

from medtranslate import __version__
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.cohort import Cohort


def describe_model(pipeline: Pipeline, cohort: Cohort) -> str:
    """Text of ``MODEL_CARD.md``."""
    datasets = sorted({case.dataset for case in cohort.cases})
    rows = [
        f"| {part} | {len(cohort.split.subjects(part))} | {len(cohort.part(part))} |"
        for part in ("train", "val", "test")
    ]
    length = pipeline.train.time_budget or f"{pipeline.train.num_steps} steps"
    return "\n".join(
        [
            f"# {pipeline.name}",
            "",
            f"Predicts {pipeline.target} from {pipeline.source}. {pipeline.description}".rstrip(),
            "",
            "**Research use only; not a medical device.** What it predicts was not acquired. It can"
            " miss, move or invent anatomy and disease, most of all on scans unlike those it was"
            " trained on.",
            "",
            "## Training",
            "",
            f"Method `{pipeline.method.name}`, {length}, seed {pipeline.train.seed},"
            f" medtranslate {__version__}. Datasets: {', '.join(datasets)}.",
            "",
            "| split | people | pairs of scans |",
            "| --- | --- | --- |",
            *rows,
            "",
            f"Split {cohort.split.hash[:12]}; who is where stands in `config.json`.",
            "",
            "## Scores",
            "",
            "Made by `medtranslate validate` or `medtranslate run`, on people held out from"
            " training; they are in the `evaluation/` folder of the run, beside baselines and the"
            " protocol.",
            "",
            "## Intensities",
            "",
            "CT is predicted in Hounsfield units. MR is predicted in the normalised unit of the"
            " training cohort and stored at its typical scale (`scale.json`): values of two people"
            " can be compared with each other, not with a scanner's.",
            "",
        ]
    )
