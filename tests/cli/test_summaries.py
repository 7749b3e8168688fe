"""What the reference page says of exit codes and JSON is what the commands give."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medtranslate.cli import app, summaries, summaries_ahead
from medtranslate.cli.output import ExitCode, Outcome, perform
from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.pipeline import read_pipeline
from medtranslate.volume import Volume
from medtranslate.workflows.checks import Check, Verification
from medtranslate.workflows.compare import compare_runs
from medtranslate.workflows.cross_validate import CrossValidation
from medtranslate.workflows.evaluate import evaluate_paths
from medtranslate.workflows.export.exporting import Export
from medtranslate.workflows.inspect import inspect_path
from medtranslate.workflows.plan import Plan
from medtranslate.workflows.preprocess import PreprocessingResult
from medtranslate.workflows.run import RunResult
from medtranslate.workflows.simulate import Simulation
from medtranslate.workflows.simulate_cohort import CohortSimulation, SimulatedPerson
from medtranslate.workflows.sizing import Sizing
from medtranslate.workflows.training_cost import TrainingCost
from medtranslate.workflows.translate import Translation
from medtranslate.workflows.translated_case import TranslatedScan
from medtranslate.workflows.validate import Validation
from medtranslate.workflows.validate_cohort import CohortValidation

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "json-output.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

COMMANDS = [
    "inspect", "preprocess", "verify", "phantom", "train", "import", "run", "translate", "validate",
    "evaluate", "compare", "simulate", "plan", "export", "listen",
]  # fmt: skip
"""Those whose JSON has keys of its own."""

OUT = Path("out")
SCAN = TranslatedScan("a", Path("a.nii.gz"), OUT / "a.nii.gz")
TRANSLATION = Translation("ab", (SCAN,))
SCORES = {"psnr": {"mean": 1.0}, "ssim": {"mean": 1.0}, "mae": {"mean": 1.0}}
SUMMARY = {"n": 1, "model": "m", "metrics": SCORES}
UNSCORED = [{"case": "2", "why": "is no scan"}]
VALIDATION = Validation(SUMMARY | {"unscored": UNSCORED}, OUT / "report.html", ("1",), ())
RUN = RunResult(OUT, "0" * 64, TRANSLATION, VALIDATION)
PIPELINE = read_pipeline(ROOT / "pipelines" / "demo.yaml")
SIZING = Sizing(PIPELINE, TrainingCost(1.0, 10, 0.3), PIPELINE)


def documented(command: str) -> set[str]:
    """Keys that the page lists for a command."""
    rows = re.findall(r"^\| (`.*?) \|", SECTIONS[command], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def keys_of(data: dict) -> set[str]:
    """Keys as the page writes them: those of a list's entries after ``[]``."""
    found = set()
    for key, value in data.items():
        entries = value if isinstance(value, list) and value and isinstance(value[0], dict) else []
        found |= {f"{key}[].{inner}" for entry in entries for inner in entry} or {key}
    return found


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> list[Path]:
    """The scores of two predictions of one scan, beside a dataset of one person."""
    folder = tmp_path_factory.mktemp("scored")
    voxels = np.zeros((24, 22, 12), np.float32)
    voxels[4:20, 4:18, 1:11] = np.random.default_rng(0).uniform(200, 900, (16, 14, 10))
    geometry = Geometry(voxels.shape, np.diag([2.0, 2.0, 4.0, 1.0]))
    anat = folder / "data" / "sub-1" / "anat"
    for path, factor in (
        (anat / "sub-1_T1w.nii.gz", 1.5),
        (anat / "sub-1_T2w.nii.gz", 1.0),
        (folder / "one" / "sub-1_desc-synthetic_T2w.nii.gz", 1.05),
        (folder / "two" / "sub-1_desc-synthetic_T2w.nii.gz", 1.1),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, Volume(voxels[None] * np.float32(factor), geometry))
    (folder / "data" / "participants.tsv").write_text("participant_id\nsub-absent\n")
    for name, scores in (("one", "first"), ("two", "second")):
        prediction = next((folder / name).glob("*.nii.gz"))
        out, rule = folder / name / scores, Protocol()
        evaluate_paths(anat / "sub-1_T2w.nii.gz", prediction, out=out, protocol=rule)
    return [folder / "one" / "first", folder / "two" / "second"]


def show_results(command: str, scored: list[Path], out: Path) -> list[Outcome]:
    """Small results of a command, shown as it shows them."""
    results = {
        "preprocess": lambda: [summaries.show_preprocessing(PreprocessingResult(OUT, ("a",), ()))],
        "verify": lambda: [
            summaries.show_verification(Verification(OUT, (Check("a", "file", True),)))
        ],
        "phantom": lambda: [summaries.show_phantom(OUT, subjects=1)],
        "train": lambda: [
            summaries.show_training(OUT, next_command="{}"),
            summaries.show_sizing(SIZING),
        ],
        "import": lambda: [summaries.show_import(OUT, "ab")],
        "run": lambda: [
            summaries.show_run(RUN),
            summaries.show_cross_validation(CrossValidation(OUT, (), VALIDATION)),
        ],
        "translate": lambda: [summaries.show_translation(TRANSLATION, watermark_key=OUT)],
        "validate": lambda: [
            summaries.show_validation(VALIDATION),
            summaries.show_cohort_validation(CohortValidation(VALIDATION, TRANSLATION)),
        ],
        "inspect": lambda: [summaries.show_inspection(inspect_path(scored[0].parents[1] / "data"))],
        "evaluate": lambda: [summaries.show_evaluation(SUMMARY, OUT)],
        "compare": lambda: [summaries.show_comparison(compare_runs(scored, out), out)],
        "simulate": lambda: [
            summaries_ahead.show_simulation(Simulation(OUT, (), ())),
            summaries_ahead.show_cohort_simulation(
                CohortSimulation(OUT, "ab", (SimulatedPerson("a", OUT / "a"),))
            ),
        ],
        "plan": lambda: [summaries_ahead.show_plan(Plan(OUT, 0.9, ()))],
        "export": lambda: [summaries.show_export(Export("onnx", OUT, "ab", {"limit": 1.0}))],
        "listen": lambda: [summaries.show_listening(SimpleNamespace(num_sent=1, num_failed=0))],
    }
    return results[command]()


def test_the_page_has_every_command() -> None:
    registered = app.registered_commands
    commands = {command.name or command.callback.__name__ for command in registered}

    assert commands == set(SECTIONS) - {"When it fails"}
    for command in commands - set(COMMANDS):
        assert re.search("As for `|JSON Schema", SECTIONS[command]), command


@pytest.mark.parametrize("command", COMMANDS)
def test_the_keys_of_the_page_are_those_printed(command, scored, tmp_path) -> None:
    outcomes = show_results(command, scored, tmp_path)

    told = documented(command)
    printed = set().union(*(keys_of(dict(outcome.data)) for outcome in outcomes))
    # Of some lists the page tells only what their entries are.
    printed = {whole if (whole := key.partition("[]")[0]) in told else key for key in printed}
    assert printed == told
    json.dumps([outcome.data for outcome in outcomes], allow_nan=False)


def test_an_error_has_the_keys_of_the_page(capsys) -> None:
    def job(_):
        raise DatasetError("nothing here")

    perform(job, as_json=True)

    error = json.loads(capsys.readouterr().out)
    assert {f"error.{key}" for key in error["error"]} == documented("When it fails")


def test_the_codes_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)

    assert {name: int(code) for code, name in rows} == {code.name: int(code) for code in ExitCode}
