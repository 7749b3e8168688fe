"""The command line: its names, what it prints for people and machines, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import medtranslate
from medtranslate.cli import app, main
from medtranslate.cli.output import ExitCode, Outcome, perform
from medtranslate.cli.progress import LineProgress, format_seconds
from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.volume import Volume
from medtranslate.workflows import (
    bids_app,
    compare,
    cross_validate,
    sizing,
    translate,
    validate_cohort,
    verify,
)
from medtranslate.workflows.checks import Check, Verification
from medtranslate.workflows.interruption import StopRequested
from medtranslate.workflows.training_cost import TrainingCost
from medtranslate.workflows.translate import Translation
from medtranslate.workflows.translated_case import TranslatedScan

from .io.dicom.conftest import truth, write_series  # noqa: F401

PIPELINES = Path(__file__).parents[1] / "pipelines"

COMMANDS = {
    "run": ("PIPELINE.yaml", "--data", "--out", "--set", "--resume"),
    "inspect": ("DATASET|FILE",),
    "preprocess": ("PIPELINE.yaml", "--data", "--out"),
    "verify": ("FILE|DIR", "--data", "--replay", "--model", "--key", "--watermark-key"),
    "train": ("PIPELINE.yaml", "--data", "--out"),
    "translate": ("MODEL", "SOURCE", "--out", "--fix", "--watermark"),
    "validate": ("MODEL", "--data", "--out", "--protocol", "--downstream"),
    "evaluate": ("--reference", "--prediction", "--mask", "--out", "--scale",
                 "--data-range", "--axis", "--protocol", "--fix"),
    "compare": ("RUN", "--out"),
    "phantom": ("--out", "--subjects", "--seed"),
    "schema": (),
    "simulate": ("MODEL", "BASELINE", "--at", "--covariate", "--samples", "--region", "--out",
                 "--data", "--cluster"),
    "plan": ("--coverage", "--margin-max", "--out"),
    "import": ("FILE", "--like", "--out", "--allow-pickle"),
    "listen": ("--port", "--model", "--send-to", "--from-title", "--require-title"),
    "export": ("MODEL", "--to", "--out", "monai-bundle", "onnx", "openvino", "huggingface"),
    "bids": ("BIDS_DIR", "OUT_DIR", "LEVEL", "--model", "--participant-label"),
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """What a call of the command line left behind."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Function that runs the command line in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["medtranslate", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            main()
        streams = capsys.readouterr()
        return Ended(int(leaving.value.code or 0), streams.out, streams.err)

    return run


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A reference and a prediction that is off by 5 %."""
    folder = tmp_path_factory.mktemp("pair")
    generator = np.random.default_rng(0)
    voxels = np.zeros((24, 22, 12), np.float32)
    voxels[4:20, 4:18, 1:11] = generator.uniform(200, 900, (16, 14, 10))
    geometry = Geometry(voxels.shape, np.diag([2.0, 2.0, 4.0, 1.0]))
    paths = folder / "sub-1_T2w.nii.gz", folder / "sub-1_desc-synthetic_T2w.nii.gz"
    for path, factor in zip(paths, (1.0, 1.05), strict=True):
        write_volume(path, Volume(voxels[None] * np.float32(factor), geometry))
    return paths


def test_help_names_every_command_of_the_contract_and_no_other() -> None:
    found = {command.name or command.callback.__name__ for command in app.registered_commands}

    assert found == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_what_the_contract_says(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "140"})

    assert result.exit_code == 0
    for name in (*COMMANDS[command], "--json"):
        assert name in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['medtranslate', *{arguments}]\n"
        "from medtranslate.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as leaving:\n"
        "    assert not leaving.code, leaving.code\n"
        "heavy = {'torch', 'monai', 'numpy', 'nibabel', 'pandas', 'matplotlib'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", ["evaluate", "inspect"])
def test_what_needs_no_model_imports_no_deep_learning_library(command, pair, tmp_path) -> None:
    arguments = {
        "evaluate": ["--reference", pair[0], "--prediction", pair[1], "--out", tmp_path],
        "inspect": [pair[0]],
    }[command]
    program = (
        "import sys\n"
        f"sys.argv = ['medtranslate', {command!r}, *{[str(a) for a in arguments]}]\n"
        "from medtranslate.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as leaving:\n"
        "    assert not leaving.code, leaving.code\n"
        "sys.exit(' '.join({'torch', 'monai', 'lightning_fabric'} & set(sys.modules)) or None)\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "report.html").is_file() == (command == "evaluate")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "p.yaml", "--data", "d", "--out", "o"),
        ("train", "p.yaml", "--data", "d", "--out", "o"),
        ("preprocess", "p.yaml", "--data", "d", "--out", "o"),
        ("verify", "d"),
        ("translate", "m", "s", "--out", "o"),
        ("validate", "m", "--data", "d", "--out", "o"),
    ],
)
def test_a_line_says_what_is_loaded_before_the_wait(arguments, call, monkeypatch) -> None:
    """Nothing is imported here: the libraries are made impossible to import."""
    heavy = ("translate", "validate_cohort", "verify")
    for name in ("pipeline", *(f"workflows.{one}" for one in heavy)):
        monkeypatch.setitem(sys.modules, f"medtranslate.{name}", None)

    result = call(*arguments)

    assert result.stderr.splitlines()[0] == "load torch and MONAI"
    assert result.code == ExitCode.UNEXPECTED


def test_evaluate_prints_one_json_object_whose_psnr_is_that_of_numpy(call, pair, tmp_path) -> None:
    """A prediction 5 % too bright is off by 5 % of the reference over its 99.5th percentile."""
    volume = read_volume(pair[0])
    inside = volume.voxels > 500
    write_volume(tmp_path / "mask.nii.gz", Volume(inside[None], volume.geometry))

    result = call(
        "evaluate", "--json", "--reference", pair[0], "--prediction", pair[1],
        "--mask", tmp_path / "mask.nii.gz", "--out", tmp_path / "out",
    )  # fmt: skip

    reference = volume.voxels[inside].astype(float)
    error = 0.05 * reference / np.percentile(reference, 99.5)
    data = json.loads(result.stdout)
    found = data["summary"]["metrics"]["psnr_volume"]["mean"]
    np.testing.assert_allclose(found, -10 * np.log10(np.mean(error**2)), atol=1e-4)
    assert data["report"] == str(tmp_path / "out" / "report.html")
    assert result.code == 0


def test_evaluate_shows_people_the_headline_and_the_report(call, pair, tmp_path) -> None:
    result = call(
        "--json", "evaluate", "--reference", pair[0], "--prediction", pair[1], "--out", tmp_path
    )
    shown = call("evaluate", "--reference", pair[0], "--prediction", pair[1], "--out", tmp_path)

    mean = json.loads(result.stdout)["summary"]["metrics"]["psnr"]["mean"]
    assert f"{mean:.2f}" in shown.stdout
    assert "report.html" in shown.stdout


def test_evaluate_scores_by_the_protocols_named(call, pair, tmp_path) -> None:
    """A prediction 5 % too bright is off by 5 % of the reference over the reference's maximum."""
    result = call(
        "evaluate", "--json", "--reference", pair[0], "--prediction", pair[1], "--out", tmp_path,
        "--protocol", "ganslate", "--protocol", "synthrad2025",
    )  # fmt: skip

    rules = json.loads(result.stdout)["summary"]["rules"]
    reference = read_volume(pair[0]).voxels.astype(float)
    error = 0.05 * reference / reference.max()
    found = rules["ganslate"]["measures"]["psnr"]["mean"]
    np.testing.assert_allclose(found, -10 * np.log10(np.mean(error**2)), atol=1e-4)
    assert set(rules) == {"medtranslate", "ganslate"}
    assert "synthrad2025 (" in (tmp_path / "report.html").read_text("utf-8")


def test_an_unknown_protocol_lists_the_known_ones(call, pair, tmp_path) -> None:
    out = tmp_path / "out"
    result = call(
        "evaluate", "--reference", pair[0], "--prediction", pair[1], "--out", out,
        "--protocol", "synthrad23",
    )  # fmt: skip

    message = " ".join(result.stderr.split())
    assert result.code == 2
    assert "did you mean 'synthrad2023'?" in message
    assert "own-maximum, brasyn, monai" in message
    assert not out.exists()


def test_inspect_prints_for_people_and_for_machines(call, pair) -> None:
    shown = call("inspect", pair[0].parent)
    data = json.loads(call("inspect", pair[0].parent, "--json").stdout)

    assert data["verdict"]
    assert data["name"] in shown.stdout


def test_the_user_s_mistake_is_one_message_without_traceback(call, pair, tmp_path) -> None:
    out = tmp_path / "out"
    result = call(
        "evaluate", "--reference", tmp_path / "absent.nii.gz", "--prediction", pair[1], "--out", out
    )

    assert result.code == 2
    assert "Error:" in result.stderr
    assert "absent.nii.gz" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["train", "absent.yaml", "--data", "x", "--out", "y"], "ConfigError", "no such file"),
        (["translate", "absent", "a.nii.gz", "--out", "b.nii.gz"], "CheckpointError", "no such"),
        (["run", "--data", "x", "--out", "y"], "UsageError", "PIPELINE.yaml"),
        (["evaluate", "--scale", "odd"], "UsageError", "--scale"),
        (["paint"], "UsageError", "paint"),
    ],
)
def test_a_mistake_is_json_for_machines(call, arguments, kind, message) -> None:
    result = call(*arguments, "--json")

    error = json.loads(result.stdout)["error"]
    assert (error["type"], error["exit_code"], result.code) == (kind, 2, 2)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--identity", "keep"], "add --format dicom"),
        (["--region", "GTV=gtv.nii.gz"], "add --format dicom"),
        (["--format", "dicom", "--cluster", "local:1"], "--cluster writes NIfTI only"),
        (["--mask", "mask.nii.gz", "--cluster", "local:1"], "give masks in a dataset"),
    ],
)
def test_options_of_translate_that_do_not_go_together_are_refused(
    call, options, message, pair, tmp_path
) -> None:
    ended = call("translate", "model", pair[0], "--out", tmp_path / "out", *options)

    assert ended.code == 2
    assert message in " ".join(ended.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_missing_argument_is_exit_2_for_people_too(call) -> None:
    result = call("run", "--data", "x")

    assert result.code == 2
    assert "PIPELINE.yaml" in result.stderr


def test_a_key_that_is_set_is_checked_by_the_schema(call, tmp_path) -> None:
    result = call(
        "train", PIPELINES / "demo.yaml", "--data", tmp_path, "--out", tmp_path / "run",
        "--set", "train.num_step=3",
    )  # fmt: skip

    assert result.code == 2
    assert "num_step: unknown key; did you mean 'num_steps'?" in result.stderr


def test_schema_is_the_json_schema_of_the_pipeline_file(call) -> None:
    schema = json.loads(call("schema").stdout)

    assert {"source", "target", "preprocess", "method", "train"} <= set(schema["properties"])


def test_the_module_runs_as_the_command_does() -> None:
    command = [sys.executable, "-m", "medtranslate", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout == f"medtranslate {medtranslate.__version__}\n"


def test_a_partly_failed_translation_is_exit_3_with_a_table(monkeypatch, call) -> None:
    scans = (
        TranslatedScan("a", Path("sub-1_T1w.nii.gz"), Path("out/sub-1_T2w.nii.gz")),
        TranslatedScan("b", Path("sub-2_T1w.nii.gz"), None, error="sub-2: [cut] off"),
    )
    monkeypatch.setattr(translate, "translate", lambda *_, **__: Translation("abc", scans))

    shown = call("translate", "model", "a", "b", "--out", "out")
    data = json.loads(call("translate", "model", "a", "b", "--out", "out", "--json").stdout)

    assert shown.code == 3
    assert "sub-2: [cut] off" in shown.stdout
    assert "1 of 2 translated" in shown.stdout
    assert [scan["error"] for scan in data["scans"]] == [None, "sub-2: [cut] off"]


def test_a_watermark_is_of_the_key_that_the_result_names(monkeypatch, call) -> None:
    keys = []

    def record(*_: object, watermark_key: Path | None, **__: object) -> Translation:
        keys.append(watermark_key)
        return Translation("abc", (TranslatedScan("a", Path("a.nii"), Path("out/a.nii")),))

    monkeypatch.setattr(translate, "translate", record)
    arguments = ("translate", "model", "a.nii", "--out", "out")

    plain = json.loads(call(*arguments, "--json").stdout)
    marked = json.loads(call(*arguments, "--watermark", "--json").stdout)
    shown = " ".join(call(*arguments, "--watermark").stdout.split())

    assert keys[0] is None
    assert "watermark_key" not in plain
    assert keys[1] == keys[2] == Path(marked["watermark_key"])
    assert keys[1].stat().st_mode & 0o777 == 0o600
    assert "keep it secret" in shown


def test_a_watermark_that_is_found_is_shown_with_its_score(monkeypatch, call) -> None:
    result = Verification(Path("a"), (Check("a", "watermark", True, "score 31.0, p = 0"),))
    monkeypatch.setattr(verify, "verify", lambda *_, **__: result)

    assert "a: watermark found; score 31.0" in call("verify", "a").stdout


def test_fingerprints_that_no_longer_hold_are_exit_3(monkeypatch, call) -> None:
    checks = (Check("a", "input source", True), Check("a", "output mask", False, "recorded 1a"))
    result = Verification(Path("run"), checks)
    monkeypatch.setattr(verify, "verify", lambda *_, **__: result)

    shown = call("verify", "run")

    assert shown.code == 3
    assert "recorded 1a" in shown.stdout
    assert "1 of 2 marks and fingerprints hold" in shown.stdout
    assert json.loads(call("verify", "run", "--json").stdout)["holds"] is False


def test_compare_shows_differences_what_n_permits_and_the_page(monkeypatch, call) -> None:
    test = {"method": "b", "minus": "a", "measure": "psnr", "mean": -1.234, "sign_flip_p": 0.25,
            "holm_p": None}  # fmt: skip
    data = {"n": 3, "tests": [test], "sentence": "n is too small", "notes": ["Masks differ"]}
    monkeypatch.setattr(compare, "compare_runs", lambda *_: data)

    shown = call("compare", "a", "b", "--out", "out")
    printed = json.loads(call("compare", "a", "b", "--out", "out", "--json").stdout)

    for words in ("b minus a", "-1.23", "0.25", "n is too small", "Masks differ", "over 3 people"):
        assert words in shown.stdout
    assert printed == {**data, "report": "out/comparison.html"}
    assert shown.code == 0


def test_run_with_folds_is_a_cross_validation(monkeypatch, call, tmp_path) -> None:
    asked = {}

    def refuse(pipeline, datasets, out, **_):
        asked.update(folds=pipeline.split.folds, out=out)
        raise DatasetError("no folds today")

    monkeypatch.setattr(cross_validate, "cross_validate", refuse)

    result = call(
        "run", PIPELINES / "demo.yaml", "--data", tmp_path, "--out", tmp_path / "cv",
        "--set", 'split={"folds": 4}',
    )  # fmt: skip

    assert (result.code, asked) == (2, {"folds": 4, "out": tmp_path / "cv"})
    assert "no folds today" in result.stderr


def test_participant_labels_are_taken_as_bids_apps_write_them(monkeypatch, call) -> None:
    asked = []

    def refuse(*_, labels, **__):
        asked.append(labels)
        raise DatasetError("nobody")

    monkeypatch.setattr(bids_app, "translate_participants", refuse)
    arguments = ["bids", "in", "out", "participant", "--model", "model"]
    call(*arguments, "--participant-label", "01", "02")
    call(*arguments, "--participant_label", "01", "--participant_label", "02")
    call(*arguments)
    stray = call(*arguments, "01")

    assert asked == [["01", "02"], ["01", "02"], []]
    assert stray.code == 2
    assert "named after --participant-label" in stray.stderr


# --- how a job ends --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    command, monkeypatch, call, tmp_path
) -> None:
    def measure(pipeline):
        return TrainingCost(0.5, 2_000_000_000, 0.3)

    fit = partial(sizing.fit_to_machine, measure=measure)
    monkeypatch.setattr(sizing, "fit_to_machine", fit)
    arguments = (command, PIPELINES / "demo.yaml", "--data", tmp_path, "--out", tmp_path / "run")

    called = call(*arguments, "--dry-run")
    shown = " ".join(called.stdout.split())
    printed = json.loads(call(*arguments, "--dry-run", "--json").stdout)

    assert "patches of 64x64x64 voxels, 16 channels" in shown
    assert "0.5 s an update" in shown
    assert "about 324 updates in 3 min, 2 GB beside the scans" in shown
    assert "an update" not in called.stderr, "it is told once"
    assert printed["num_steps"] == 324
    assert list(tmp_path.iterdir()) == []


def test_validate_asks_for_a_segmenter_only_when_told_to(monkeypatch, call, tmp_path) -> None:
    asked = []

    def refuse(*_, choices, **__):
        asked.append(choices.downstream)
        raise DatasetError("no training")

    monkeypatch.setattr(validate_cohort, "validate_cohort", refuse)
    arguments = ["validate", tmp_path, "--data", tmp_path, "--out", tmp_path / "out"]
    call(*arguments, "--downstream")
    call(*arguments)
    call(*arguments, "--no-downstream")

    assert asked == [True, None, False], "None leaves it to the model's pipeline"


def test_validate_can_leave_out_what_the_pipeline_asks_for(monkeypatch, call, tmp_path) -> None:
    asked = []

    def refuse(*_, choices, **__):
        asked.append(choices)
        raise DatasetError("nobody")

    monkeypatch.setattr(validate_cohort, "validate_cohort", refuse)
    arguments = ["validate", tmp_path, "--data", tmp_path, "--out", tmp_path / "out"]
    call(*arguments, "--no-audit", "--no-uncertainty")

    assert (asked[0].audit, asked[0].uncertainty, asked[0].downstream) == (False, False, None)
    assert asked[0].to_words() == ["--no-audit", "--no-uncertainty"]


def fails_with(error: BaseException):
    def job(progress):
        raise error

    return job


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatasetError("sub-3: [no] partner"), ExitCode.USER_INPUT),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (StopRequested(signal.SIGINT), ExitCode.INTERRUPTED),
        (StopRequested(signal.SIGTERM, "saved after step 3"), ExitCode.TERMINATED),
        (ZeroDivisionError("division by zero"), ExitCode.UNEXPECTED),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_each_end_has_its_code_and_message(error, code, as_json, capsys) -> None:
    assert perform(fails_with(error), as_json=as_json) == code

    streams = capsys.readouterr()
    text = json.loads(streams.out)["error"]["message"] if as_json else streams.err
    assert (str(error) or "stopped") in text
    assert ("Traceback" in streams.err) == (code is ExitCode.UNEXPECTED)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_is_no_defect(error, capsys) -> None:
    assert perform(fails_with(error), as_json=False) == ExitCode.USER_INPUT

    told = capsys.readouterr().err
    assert "the memory of this machine ran out" in told
    assert "defect" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("code", [ExitCode.DONE, ExitCode.PARTLY])
def test_a_result_is_shown_to_people_or_printed_for_machines(code, capsys) -> None:
    def job(progress):
        return Outcome({"number": 3}, ("three [brackets]",), code)

    assert perform(job, as_json=True) == code
    assert json.loads(capsys.readouterr().out) == {"number": 3}
    assert perform(job, as_json=False) == code
    assert "three" in capsys.readouterr().out


def test_the_codes_are_those_of_the_contract() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 130, 143]


def test_progress_goes_to_standard_error(capsys) -> None:
    def job(progress):
        progress.stage("training", 10)
        progress.update(5, "loss 0.1")
        return Outcome({})

    perform(job, as_json=True)

    streams = capsys.readouterr()
    assert streams.out == "{}\n"
    assert "training" in streams.err


def test_lines_tell_the_time_left(monkeypatch, capsys) -> None:
    clock = iter([0.0, 5.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr("medtranslate.cli.progress.time.monotonic", lambda: next(clock))
    progress = LineProgress(Console(stderr=True, width=200))

    progress.stage("training", 100)
    for done in (10, 25, 26, 80):
        progress.update(done, "[loss]")

    assert capsys.readouterr().err.splitlines() == [
        "training",
        "training: 25%, 1 min 0 s left  [loss]",
        "training: 80%, 10 s left  [loss]",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (7290, "2 h 1 min")]
)
def test_durations_read_as_people_say_them(seconds, text) -> None:
    assert format_seconds(seconds) == text


def test_a_dicom_series_is_inspected_and_scored_with_a_repair(call, write_series, tmp_path) -> None:
    series = write_series(lambda datasets: datasets.pop(3))
    result = call("inspect", series)
    assert result.code == 0
    assert "missing-slices" in result.stdout
    assert "SECRET" not in result.stdout + result.stderr
    assert (
        json.loads(call("inspect", series, "--json").stdout)["series"][0]["patient"] == "patient-1"
    )
    arguments = ["evaluate", "--reference", series, "--prediction", series]

    refused = call(*arguments, "--out", tmp_path / "no")
    assert refused.code == ExitCode.USER_INPUT
    assert "--fix interpolate-missing=1" in " ".join(refused.stderr.split())
    assert not (tmp_path / "no").exists()
    fixed = call(*arguments, "--fix", "interpolate-missing=1", "--out", tmp_path / "out")
    assert fixed.code == 0, fixed.stderr
    assert "interpolated linearly" in (tmp_path / "out" / "summary.json").read_text()


def test_an_unknown_repair_is_refused_with_those_that_exist(call, write_series, tmp_path) -> None:
    series = write_series()

    result = call(
        "evaluate", "--reference", series, "--prediction", series, "--fix", "mend",
        "--out", tmp_path / "out",
    )  # fmt: skip

    assert result.code == ExitCode.USER_INPUT
    assert "expected drop-duplicates" in result.stderr
