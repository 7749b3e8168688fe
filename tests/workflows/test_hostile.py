"""Models, pipelines, tables, manifests and datasets made to do harm are refused at bounded cost."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from medtranslate.checkpoint import load_newest_checkpoint, save_checkpoint
from medtranslate.checkpoint.sealing import seal
from medtranslate.errors import CheckpointError
from medtranslate.io import read_volume
from medtranslate.io.dicom.headers import quiet
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.provenance import hash_bytes
from medtranslate.workflows.train import train

from ..refusals import call, check_harmless, check_refused

PIPELINE = """
name: toy
source: T1w
target: T2w
preprocess: {mask: nonzero}
method: {name: regression}
train: {num_steps: 4, patch_size: [16, 16, 16]}
"""
DEEP = 200_000


class Canary:
    """What a pickle runs when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.fixture
def canary(tmp_path):
    """A file that must not appear."""
    return tmp_path / "canary"


@pytest.fixture
def scan(cohort):
    return cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"


@pytest.fixture
def model(trained, tmp_path):
    """A copy of a model to do harm to."""
    return Path(shutil.copytree(trained / "model", tmp_path / "model"))


@pytest.fixture
def refuse_model(scan, tmp_path):
    def check(model: Path, naming: str) -> str:
        out = tmp_path / "out"
        return check_refused("translate", model, scan, "--out", out, naming=naming, out=out)

    return check


def test_the_canary_sings(canary):
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()


def write_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Canary(canary)))


def write_checkpoint(path: Path, canary: Path) -> None:
    torch.save({"state_dict": Canary(canary)}, path)


def write_array(path: Path, canary: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Canary(canary)], dtype=object), allow_pickle=True)


@pytest.mark.parametrize("write", [write_pickle, write_checkpoint, write_array])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_pickle_that_is_called_weights_runs_nothing(model, refuse_model, canary, write, sealed):
    write(model / "weights.safetensors", canary)
    if sealed:  # whoever makes the folder can make its hashes fit
        document = json.loads((model / "config.json").read_text())
        document.pop("sha256")
        document["weights_sha256"] = hash_bytes((model / "weights.safetensors").read_bytes())
        (model / "config.json").write_text(json.dumps(seal(document)))

    refuse_model(model, "weights.safetensors")
    assert not canary.exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.pkl", "model.npy"])
def test_a_file_is_no_model(tmp_path, refuse_model, canary, name):
    write_checkpoint(tmp_path / name, canary)

    refuse_model(tmp_path / name, "single weight files are never loaded")
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".zip", ".dcm", ".csv", ""])
def test_a_pickle_that_is_called_a_scan_runs_nothing(trained, tmp_path, canary, suffix):
    path = tmp_path / f"scan{suffix}"
    write_checkpoint(path, canary)
    out = tmp_path / "out"

    check_refused("translate", trained, path, "--out", out, naming=path.name, out=out)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["config.json", "scale.json", "provenance.json"])
@pytest.mark.parametrize("content", ["[" * DEEP, '{"a":' * DEEP, "[]", "", '{"a": NaN}', "\0" * 99])
def test_json_that_is_no_record_is_refused(model, refuse_model, name, content):
    (model / name).write_text(content)
    assert "not valid JSON" in refuse_model(model, name)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "scale.json"])
def test_a_file_of_a_model_that_never_ends_is_refused(model, refuse_model, name):
    (model / name).unlink()
    os.mkfifo(model / name)
    absent = "holds config.json"  # by which a model is told from another folder
    why = absent if name == "config.json" else "is not a regular file"
    assert why in refuse_model(model, name)
    (model / name).unlink()
    with (model / name).open("wb") as file:
        file.truncate(1 << 42)
    assert "holds more than" in refuse_model(model, name)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "provenance.json"])
def test_a_link_that_leads_out_of_a_model_is_not_followed(model, tmp_path, refuse_model, name):
    shutil.move(model / name, tmp_path / name)
    (model / name).symlink_to(tmp_path / name)
    assert "leads out of its folder" in refuse_model(model, name)
    (model / name).unlink()
    (model / name).symlink_to("/dev/zero")
    refuse_model(model, model.name)


def test_weights_whose_header_claims_too_much_are_refused(model, refuse_model):
    raw = (2**62).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (model / "weights.safetensors").write_bytes(raw)
    document = json.loads((model / "config.json").read_text())
    document.pop("sha256")
    document["weights_sha256"] = hash_bytes(raw)
    (model / "config.json").write_text(json.dumps(seal(document)))
    assert "header too large" in refuse_model(model, "weights.safetensors")


def test_weights_of_another_shape_are_refused(model, refuse_model):
    weights = safetensors.torch.load((model / "weights.safetensors").read_bytes())
    first = next(iter(weights))
    for changed in ({first: torch.zeros(3)}, {"strange": torch.zeros(3)}):
        raw = safetensors.torch.save({**weights, **changed})
        (model / "weights.safetensors").write_bytes(raw)
        document = json.loads((model / "config.json").read_text())
        document.pop("sha256")
        document["weights_sha256"] = hash_bytes(raw)
        (model / "config.json").write_text(json.dumps(seal(document)))
        assert "do not fit the network" in refuse_model(model, model.name)


def bomb(depth: int) -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for n in range(1, depth):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        f"{PIPELINE}x: !!python/object/apply:os.system ['touch CANARY']",
        f"{PIPELINE}x: !!python/object/new:os.system ['touch CANARY']",
        f"{PIPELINE}x: !!python/name:os.system",
        "!!python/object/apply:os.system ['touch CANARY']\n",
        f"{PIPELINE}x: !include /etc/passwd",
        f"{PIPELINE}<<: *base",
        PIPELINE + bomb(12),
        f"{PIPELINE}x: {'[' * DEEP}",
        f"{PIPELINE}x: {'{a: ' * DEEP}",
        PIPELINE + "\n".join("  " * n + "a:" for n in range(300)),
        PIPELINE + "- " * DEEP,
        f"{PIPELINE}x: {'9' * 10_000}",
        f"{PIPELINE}x: {'a' * (1 << 21)}",
        f"{PIPELINE}seed: 0x{'f' * 999}",
        "\0",
        "--- a\n--- b\n",
        PIPELINE.replace("num_steps: 4", "num_steps: .inf"),
    ],
    ids=range(17),
)
def test_a_pipeline_file_is_plain_data_of_bounded_size(cohort, tmp_path, canary, text):
    path = tmp_path / "job.yaml"
    path.write_text(text.replace("CANARY", str(canary)))
    out = tmp_path / "out"

    check_refused("preprocess", path, "--data", cohort, "--out", out, naming="job.yaml", out=out)
    assert not canary.exists()


@pytest.mark.parametrize(
    "path", ["../../../../../../etc/passwd", "/etc/passwd", "/dev/zero", "../job.yaml", "a\0b", "~"]
)
def test_a_table_that_names_other_files_shows_nothing_of_them(tmp_path, scan, path):
    (tmp_path / "job.yaml").write_text(PIPELINE)
    table = tmp_path / "tables" / "people.csv"
    table.parent.mkdir()
    table.write_text(
        f"subject,contrast,path\n1,T1w,{path}\n1,T2w,{scan}\n", encoding="utf-8", newline=""
    )
    out = tmp_path / "out"

    told = check_refused(
        "preprocess", tmp_path / "job.yaml", "--data", table, "--out", out, naming="Error"
    )
    assert table.name in told or "1: " in told
    assert "root:" not in told
    assert list(out.rglob("*.nii.gz")) == []


@pytest.mark.parametrize("label", ["../../evil", "/evil", "..", "a/b", "evil\n", "x" * 5000])
def test_labels_of_a_table_lead_nowhere(cohort, tmp_path, label):
    (tmp_path / "job.yaml").write_text(PIPELINE)
    lines = ["subject,session,contrast,path"]
    for number in ("04", "05"):
        anat = cohort / f"sub-{number}" / "anat"
        person = label if number == "04" else "05"
        lines += [
            f'"{person}","{label}",{contrast},{anat}/sub-{number}_{contrast}.nii.gz'
            for contrast in ("T1w", "T2w")
        ]
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "a" / "b" / "out"

    ended = call("preprocess", tmp_path / "job.yaml", "--data", tmp_path / "people.csv",
                 "--out", out)  # fmt: skip

    check_harmless(ended)
    outside = [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert [path for path in outside if not path.is_relative_to(out)] == []
    assert not Path("/evil").exists()


def test_a_manifest_that_names_other_files_is_refused(trained, scan, tmp_path):
    call("translate", trained, scan, "--out", tmp_path / "out")
    path = next((tmp_path / "out").rglob("manifest.json"))
    data = json.loads(path.read_text())
    record = next(iter(data["files"].values()))
    for name in ("../../secret", "/etc/passwd", "a/../../b", "a\\b", ""):
        path.write_text(json.dumps(data | {"files": {name: record}}))
        told = check_refused("verify", tmp_path / "out", naming="manifest.json")
        assert "outside" in told
    for content in (
        "[" * DEEP,
        '{"made":' + "[" * 300 + "]" * 300 + "}",
        "null",
        '{"files": 1e999}',
    ):
        path.write_text(content)
        check_refused("verify", tmp_path / "out", naming="manifest.json")


def test_a_link_in_a_signed_folder_is_not_followed_out(trained, scan, tmp_path):
    call("translate", trained, scan, "--out", tmp_path / "out")
    written = next((tmp_path / "out").rglob("*.nii.gz"))
    shutil.move(written, tmp_path / "elsewhere.nii.gz")
    written.symlink_to(tmp_path / "elsewhere.nii.gz")

    ended = call("verify", tmp_path / "out")

    assert ended.code != 0
    assert "Traceback" not in ended.told


def test_uids_like_paths_give_a_series_in_its_own_folder(trained, cohort, make_sources, tmp_path):
    volume = read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
    sources = make_sources(volume)
    for number, source in enumerate(sources):
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            source[keyword]._value = "../../../evil"
        source["SOPInstanceUID"]._value = f"/evil{number}"
        source["PatientID"]._value = "../../evil"
    with quiet():
        write_datasets(tmp_path / "series", sources)
    out = tmp_path / "a" / "b" / "out"

    ended = call("translate", trained, tmp_path / "series", "--out", out, "--format", "dicom")

    check_harmless(ended)
    assert [path for path in tmp_path.rglob("*") if "evil" in path.name] == []


@pytest.mark.parametrize("name", ["split.json", "dataset_description.json", "participants.tsv"])
def test_a_dataset_with_an_endless_table_is_inspected_or_refused(cohort, tmp_path, name):
    dataset = Path(shutil.copytree(cohort, tmp_path / "toy"))
    (dataset / name).unlink(missing_ok=True)
    (dataset / name).symlink_to("/dev/zero")
    check_harmless(call("inspect", dataset))
    (dataset / name).unlink()
    (dataset / name).write_text("[" * DEEP)
    check_harmless(call("inspect", dataset))


def test_folders_that_lead_back_into_themselves_end(cohort, tmp_path):
    dataset = Path(shutil.copytree(cohort, tmp_path / "toy"))
    (dataset / "sub-01" / "again").symlink_to(dataset)
    (dataset / "sub-02" / "anat" / "up").symlink_to(dataset / "sub-02")

    check_harmless(call("inspect", dataset))


def test_a_zip_of_a_dataset_leads_nowhere(trained, tmp_path):
    path = tmp_path / "given.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.nii.gz", b"x")
    check_refused("translate", trained, path, "--out", tmp_path / "out", naming="given.zip")
    assert list(tmp_path.rglob("*evil*")) == []


def test_what_is_written_is_not_written_through_links(trained, scan, tmp_path):
    out = tmp_path / "out"
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("keep")
    out.mkdir()
    (out / "README").symlink_to(elsewhere)
    (out / "dataset_description.json").symlink_to(tmp_path / "new.json")

    call("translate", trained, scan, "--out", out)

    assert elsewhere.read_text() == "keep"
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize(
    ("generator", "why"),
    [
        ({"channels": 256, "blocks": [32] * 5}, "do not fit the network"),
        ({"channels": 8 << 40}, "less than or equal to 256"),
        ({"blocks": [10**9]}, "less than or equal to 32"),
    ],
)
def test_a_model_whose_network_would_fill_the_memory_is_refused(
    model, refuse_model, generator, why
):
    document = json.loads((model / "config.json").read_text())
    document.pop("sha256")
    document["config"]["pipeline"]["method"]["generator"] |= generator
    document["config"]["pipeline"]["train"]["patch_size"] = [32] * 3  # fits each of them
    (model / "config.json").write_text(json.dumps(seal(document)))
    assert why in refuse_model(model, model.name)


@pytest.mark.parametrize("key", ["source", "target", "mask"])
@pytest.mark.parametrize("contrast", ["../../evil", "T2w+ce-/../../../evil", "T2w\n", ""])
def test_a_model_whose_contrasts_look_like_paths_is_refused(
    model, refuse_model, tmp_path, key, contrast
):
    document = json.loads((model / "config.json").read_text())
    document.pop("sha256")
    document["config"]["pipeline"][key] = contrast
    (model / "config.json").write_text(json.dumps(seal(document)))
    assert key in refuse_model(model, model.name)
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


@pytest.mark.parametrize(
    "changes",
    [
        {"loop": {"step": "4"}},
        {"loop": {"step": True}},
        {"loop": {"strange": 1}},
        {"loop": None},
        {"method": {}},
        {"method": [1]},
        {"best": {"a": torch.zeros(1)}},
        {"best": ["a"]},
    ],
    ids=range(8),
)
def test_a_checkpoint_of_something_else_is_not_gone_on_from(
    trained, cohort, make_pipeline, tmp_path, changes
):
    run = shutil.copytree(trained, tmp_path / "run")
    step, state = load_newest_checkpoint(run / "checkpoints")
    save_checkpoint(run / "checkpoints", step + 1, state | changes)

    with pytest.raises(CheckpointError, match="is not of this training"):
        train(make_pipeline(), [cohort], run, resume=True)
