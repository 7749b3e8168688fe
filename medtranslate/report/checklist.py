"""The CLAIM 2024 checklist: filled where the run knows the answer, blank where only people do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.report.details import EvaluationDetails
from medtranslate.report.sections import Section, Table
from medtranslate.report.wording import headline

CLAIM_ITEMS: tuple[tuple[str, str], ...] = (
    ("Title, abstract", "Says that it is a study of artificial intelligence, and of which kind"),
    ("Title, abstract", "Structured summary: design, methods, results, conclusions"),
    ("Introduction", "Background: scientific and clinical, intended use and role"),
    ("Introduction", "Aims, objectives and hypotheses"),
    ("Design", "Prospective or retrospective"),
    ("Design", "Goal of the study"),
    ("Data", "Sources of the data"),
    ("Data", "Who was included and who was not"),
    ("Data", "Preprocessing"),
    ("Data", "Selection of subsets of the data"),
    ("Data", "De-identification"),
    ("Data", "How missing data were handled"),
    ("Data", "Acquisition protocol"),
    ("Reference standard", "How the reference was obtained"),
    ("Reference standard", "Why this reference"),
    ("Reference standard", "Who or what made the annotations"),
    ("Reference standard", "Annotation of the test set"),
    ("Reference standard", "Variability within and between raters"),
    ("Partitions", "How data were assigned to training, validation and test"),
    ("Partitions", "Level at which the partitions are disjoint"),
    ("Test data", "Intended sample size"),
    ("Model", "Description of the model"),
    ("Model", "Software libraries"),
    ("Model", "Initialisation of the parameters"),
    ("Training", "Training approach"),
    ("Training", "How the final model was selected"),
    ("Training", "Ensembling"),
    ("Evaluation", "Measures of performance"),
    ("Evaluation", "Measures of significance and uncertainty"),
    ("Evaluation", "Robustness and sensitivity"),
    ("Evaluation", "Explainability or interpretability"),
    ("Evaluation", "Evaluation on internal data"),
    ("Evaluation", "Testing on external data"),
    ("Evaluation", "Registration of a clinical trial"),
    ("Results", "Numbers included and excluded"),
    ("Results", "Demographic and clinical characteristics by partition"),
    ("Results", "Performance with its uncertainty"),
    ("Results", "Estimates of diagnostic performance"),
    ("Results", "Analysis of failures"),
    ("Discussion", "Limitations"),
    ("Discussion", "Implications for practice"),
    ("Other", "Where the full protocol can be read"),
    ("Other", "Availability of software, model and data"),
    ("Other", "Funding"),
)
"""Section and topic of each of the 44 items, in short."""

BLANK = "to be filled in"


def claim_checklist(
    board: Scoreboard, details: EvaluationDetails, sections: Sequence[Section]
) -> Section:
    """The 44 items with what this evaluation knows of them.

    Source: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024
    update, Radiology: Artificial Intelligence 2024;6(4):e240300. Topics are shortened.

    Args:
        board: What was scored.
        details: How it was made.
        sections: The other parts of the report, to which answers point.
    """
    known = _answers(board, details, [part.title for part in sections])
    rows = tuple(
        (str(number), part, topic, known.get(number, BLANK))
        for number, (part, topic) in enumerate(CLAIM_ITEMS, start=1)
    )
    filled = sum(row[3] != BLANK for row in rows)
    return Section(
        title="CLAIM 2024 checklist",
        lead=f"{filled} of {len(rows)} items are filled from this run; the others are for the "
        "authors. After Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300; "
        "topics are shortened here, the original decides.",
        tables=(Table(("Item", "Part", "Topic", "In this evaluation"), rows),),
    )


def _answers(board: Scoreboard, details: EvaluationDetails, parts: Sequence[str]) -> dict[int, str]:
    people = len(set(board.subjects.values()))
    words = dict(board.protocol.describe(is_ct=board.is_ct, mask=details.mask))
    contrasts = f"{details.source_name} to {details.target_name}".strip()
    answers = {
        14: f"the real {details.target_name} scan of the same person and visit".replace("  ", " "),
        28: "; ".join(f"{topic}: {words[topic]}" for topic in ("PSNR, MAE", "SSIM", "Average")),
        29: words["Interval"],
        35: f"{people} people, {len(board.cases)} scans scored. {' '.join(details.notes)}".strip(),
        37: headline(board, held_out=details.held_out),
        39: "best, median and worst case by rule, under What it looks like",
        42: f"protocol {board.protocol.name}, fingerprint {board.protocol.fingerprint}",
    }
    if parts:
        answers[30] = f"see the parts: {', '.join(parts)}"
    answers |= _model_answers(details, contrasts)
    if details.held_out:
        answers[20] = "person: no one is in two partitions, equal scans under two names are refused"
        answers[32] = f"{people} people held out from training and validation"
    return answers


def _model_answers(details: EvaluationDetails, contrasts: str) -> dict[int, str]:
    """What only a report on a model of ours can know."""
    made: Mapping[str, str] = details.how_made
    answers = {}
    if "method" in made:
        answers[1] = f"{made['method']}, {contrasts}"
        answers[22] = f"method {made['method']}, pipeline {made['pipeline']}; see the model card"
        answers[24] = "random from the recorded seed; the last layer starts at zero"
        answers[25] = f"trained for {made['trained for']}; every setting is in pipeline.yaml"
        answers[26] = "highest PSNR + 10 SSIM of the averaged weights on the validation people"
        answers[43] = f"model {made['model']}, commit {made['commit']}; data: to be filled in"
    if details.split:
        answers[19] = "; ".join(f"{name}: {value}" for name, value in details.split.items())
    if details.cohort:
        datasets = sorted({row["dataset"] for row in details.cohort if row.get("dataset")})
        if datasets:
            answers[7] = f"datasets {', '.join(datasets)}"
    if "software" in made:
        answers[23] = made["software"]
    return answers
