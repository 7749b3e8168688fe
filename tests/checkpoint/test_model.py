"""A model folder comes back as it was saved, or is refused."""

import json
import os
import pickle
import shutil

import pytest
import torch

from medtranslate.checkpoint import find_model, load_model, save_model
from medtranslate.checkpoint.sealing import seal
from medtranslate.errors import CheckpointError, VolumeWriteError
from medtranslate.provenance import hash_bytes
from medtranslate.volume import CT_SCALE, IntensityScale


def save(folder, *, fill=1.5, scale=CT_SCALE):
    return save_model(
        folder,
        weights={"layer.weight": torch.full((3, 2), fill), "count": torch.tensor(7)},
        config={"pipeline": {"name": "t1w_to_t2w", "rate": 1e-4}, "split": {"sub": "train"}},
        scale=scale,
        provenance={"seed": 3},
        card="# Model\n",
    )


@pytest.mark.parametrize("given", ["run", "run/model"])
def test_a_model_comes_back_from_its_folder_or_the_run(tmp_path, given):
    sha256 = save(tmp_path / "run" / "model")

    model = load_model(tmp_path / given)

    torch.testing.assert_close(model.weights["layer.weight"], torch.full((3, 2), 1.5))
    torch.testing.assert_close(model.weights["count"], torch.tensor(7))
    assert model.config["pipeline"] == {"name": "t1w_to_t2w", "rate": 1e-4}
    assert (model.scale, model.provenance) == (CT_SCALE, {"seed": 3})
    assert (model.sha256, model.folder) == (sha256, tmp_path / "run" / "model")


def test_a_model_folder_holds_the_files_of_the_contract_and_nothing_else(tmp_path):
    save(tmp_path / "model")

    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "weights.safetensors",
        "config.json",
        "scale.json",
        "MODEL_CARD.md",
        "provenance.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_hash_tells_weights_and_scales_apart_but_not_folders(tmp_path):
    first = save(tmp_path / "a")

    assert save(tmp_path / "b") == first
    assert save(tmp_path / "c", fill=1.25) != first
    assert save(tmp_path / "d", scale=IntensityScale(0.0, 2.0)) != first


def test_saving_again_replaces_the_model(tmp_path):
    save(tmp_path / "model")

    save(tmp_path / "model", fill=9.0)

    torch.testing.assert_close(
        load_model(tmp_path).weights["layer.weight"], torch.full((3, 2), 9.0)
    )


def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch):
    save(tmp_path / "model")

    def fail(*_):
        raise OSError("disk")

    monkeypatch.setattr("medtranslate.checkpoint.model.write_text", fail)
    with pytest.raises(VolumeWriteError, match="disk"):
        save(tmp_path / "model", fill=9.0)

    torch.testing.assert_close(
        load_model(tmp_path).weights["layer.weight"], torch.full((3, 2), 1.5)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def flip_a_weight(folder):
    raw = bytearray((folder / "weights.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(raw))


def edit(name, old, new):
    def change(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def remove(name):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_weight, "weights are not those"),
        (remove("weights.safetensors"), r"weights\.safetensors: cannot be read"),
        (edit("config.json", "t1w_to_t2w", "t1w_to_t3w"), r"config\.json: altered"),
        (edit("config.json", "medtranslate-model-1", "other-2"), "format is 'other-2'"),
        (edit("config.json", "{", ""), r"config\.json: not valid JSON"),
        (edit("scale.json", "4095.0", "2000.0"), r"scale\.json: not the scale"),
        (remove("scale.json"), r"scale\.json: cannot be read"),
        (remove("config.json"), "not a model: neither it nor"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path, damage, message):
    save(tmp_path / "model")

    damage(tmp_path / "model")

    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "model")


def test_what_is_not_a_model_folder_is_named(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"PK")

    with pytest.raises(CheckpointError, match="single weight files are never loaded"):
        find_model(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="no such folder"):
        find_model(tmp_path / "absent")


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_posing_as_weights_is_not_run(tmp_path):
    save(tmp_path / "model")
    payload = pickle.dumps(Canary(str(tmp_path / "canary")))
    (tmp_path / "model" / "weights.safetensors").write_bytes(payload)
    document = json.loads((tmp_path / "model" / "config.json").read_text())
    document.pop("sha256")
    document["weights_sha256"] = hash_bytes(payload)
    (tmp_path / "model" / "config.json").write_text(json.dumps(seal(document)))

    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_model(tmp_path)

    assert not (tmp_path / "canary").exists()


def test_a_copied_model_is_the_same_model(tmp_path):
    sha256 = save(tmp_path / "run" / "model")
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "elsewhere")

    assert load_model(tmp_path / "elsewhere").sha256 == sha256
