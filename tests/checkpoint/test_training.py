"""Checkpoints survive interruption and damage."""

import json
import os
import pickle
import re

import pytest
import torch

from medtranslate.checkpoint import load_newest_checkpoint, save_checkpoint
from medtranslate.checkpoint import training as module
from medtranslate.errors import CheckpointError


def state_at(step):
    return {"weights": torch.full((4,), float(step)), "loop": {"step": step}}


def test_the_newest_checkpoint_comes_back(tmp_path):
    for step in (1, 20, 3_000):
        save_checkpoint(tmp_path, step, state_at(step))

    step, state = load_newest_checkpoint(tmp_path)

    assert step == 3_000
    torch.testing.assert_close(state["weights"], torch.full((4,), 3_000.0))
    assert state["loop"] == {"step": 3_000}


def test_two_checkpoints_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, state_at(step))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000002.json",
        "step-000000002.safetensors",
        "step-000000003.json",
        "step-000000003.safetensors",
    ]


def test_nothing_saved_is_none(tmp_path):
    assert load_newest_checkpoint(tmp_path) is None
    assert load_newest_checkpoint(tmp_path / "absent") is None


def flip_a_byte(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(bytes(raw))


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-7])


def change_a_number(path):
    path.write_text(path.read_text().replace('"step": 2\n', '"step": 5\n'))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("step-000000002.safetensors", flip_a_byte),
        ("step-000000002.safetensors", cut_off),
        ("step-000000002.safetensors", os.unlink),
        ("step-000000002.json", cut_off),
        ("step-000000002.json", empty),
        ("step-000000002.json", change_a_number),
        ("step-000000002.json", os.unlink),
    ],
)
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path, name, damage):
    save_checkpoint(tmp_path, 1, state_at(1))
    save_checkpoint(tmp_path, 2, state_at(2))

    damage(tmp_path / name)

    heard = []
    step, state = load_newest_checkpoint(tmp_path, tell=heard.append)
    assert step == 1
    torch.testing.assert_close(state["weights"], torch.ones(4))
    # Without its JSON a checkpoint does not exist: so a kill in the middle of saving leaves it.
    told = [] if damage is os.unlink and name.endswith("json") else ["step-000000002"]
    assert [one for text in heard for one in re.findall(r"step-\d+", text)] == told
    assert all(text.endswith("the checkpoint before it is used") for text in heard)


def test_when_every_checkpoint_is_damaged_each_is_named(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, state_at(step))
        cut_off(tmp_path / f"step-{step:09d}.safetensors")

    with pytest.raises(CheckpointError, match=r"(?s)000000002.*000000001.*sha256"):
        load_newest_checkpoint(tmp_path)


@pytest.mark.parametrize("writer", ["write_bytes", "write_json"])
def test_an_interruption_while_saving_leaves_the_one_before(tmp_path, monkeypatch, writer):
    save_checkpoint(tmp_path, 1, state_at(1))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, writer, stop)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, 2, state_at(2))

    assert load_newest_checkpoint(tmp_path)[0] == 1


def test_a_training_started_over_does_not_go_on_from_the_old_one(tmp_path):
    save_checkpoint(tmp_path, 500, state_at(500))

    save_checkpoint(tmp_path, 0, state_at(0))

    assert load_newest_checkpoint(tmp_path)[0] == 0


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_posing_as_a_checkpoint_is_not_run(tmp_path):
    save_checkpoint(tmp_path, 1, state_at(1))
    canary = tmp_path / "canary"
    payload = pickle.dumps(Canary(str(canary)))
    (tmp_path / "step-000000001.safetensors").write_bytes(payload)
    document = json.loads((tmp_path / "step-000000001.json").read_text())
    document.pop("sha256")
    document["tensors_sha256"] = module.hash_bytes(payload)
    (tmp_path / "step-000000001.json").write_text(json.dumps(module.seal(document)))

    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_newest_checkpoint(tmp_path)

    assert not canary.exists()
