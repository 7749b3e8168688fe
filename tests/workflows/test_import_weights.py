"""Weights of another program become a model folder, or are refused without running anything."""

from __future__ import annotations

import os
import zipfile

import pytest
import torch

from medtranslate.checkpoint import load_model
from medtranslate.errors import CheckpointError
from medtranslate.io import read_volume
from medtranslate.workflows.held_out import read_split
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.translate import translate

from ..refusals import call, check_refused


class Canary:
    """What a pickle runs when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.fixture
def weights(trained):
    return load_model(trained).weights


@pytest.fixture
def importing(trained, tmp_path):
    """The arguments that import a file."""

    def arguments(path, *, allow=True):
        flag = ["--allow-pickle"] if allow else []
        return ("import", path, "--like", trained, "--out", tmp_path / "new", *flag)

    return arguments


@pytest.fixture
def refuse(importing, tmp_path):
    def check(path, **choices):
        return check_refused(*importing(path, **choices), naming=path.name, out=tmp_path / "new")

    return check


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_imported_weights_predict_as_they_did(
    trained, weights, importing, cohort, tmp_path, wrapper
):
    named = {f"module.{name}": one.double() for name, one in weights.items()}
    torch.save(named if wrapper is None else {wrapper: named, "epoch": 3}, tmp_path / "a.pt")

    ended = call(*importing(tmp_path / "a.pt"))

    assert ended.code == 0, ended.told
    assert "WARNING: a.pt is a pickle" in ended.told
    model = load_model(tmp_path / "new")
    for name, one in weights.items():
        torch.testing.assert_close(model.weights[name], one, rtol=0, atol=0)
    assert "split" not in model.config
    assert not any(path.suffix in (".pt", ".pth") for path in (tmp_path / "new").iterdir())
    if wrapper is None:
        scan = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
        made = [translate(one, [scan], tmp_path / "out" / str(n)) for n, one in
                enumerate((trained, tmp_path / "new"))]  # fmt: skip
        first, second = (read_volume(one.scans[0].output).voxels for one in made)
        assert (first == second).all()
        assert call("verify", tmp_path / "new").code == 0


def test_without_the_flag_nothing_is_read(weights, refuse, tmp_path):
    torch.save(weights, tmp_path / "a.pt")
    assert "--allow-pickle" in refuse(tmp_path / "a.pt", allow=False)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_something_runs_nothing(weights, refuse, tmp_path, legacy):
    canary = tmp_path / "canary"
    content = {**weights, "x": Canary(canary)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)

    assert "not a file of weights alone" in refuse(tmp_path / "a.pt")
    assert not canary.exists()


def change_shape(weights):
    first = next(iter(weights))
    return {**weights, first: torch.zeros(1).expand(10**6, 10**6)}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, where such tensors are made
@pytest.mark.parametrize(
    "odd",
    [
        lambda one: one.to_sparse(),
        lambda one: one.to(torch.complex64),
        lambda one: one.to(torch.float8_e4m3fn),
        lambda one: torch.quantize_per_tensor(one.float(), 0.1, 0, torch.qint8),
        lambda one: torch.zeros(one.shape, device="meta"),
        lambda one: torch.nested.nested_tensor([one.flatten(), one.flatten()]),
    ],
)
def test_tensors_that_are_no_plain_numbers_are_refused(weights, refuse, tmp_path, odd):
    torch.save({name: odd(one) for name, one in weights.items()}, tmp_path / "a.pt")
    assert "plain tensor of numbers" in refuse(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_shape, "holds another network"),
        (lambda weights: dict(list(weights.items())[1:]), "holds another network"),
        (lambda weights: {n: w * float("nan") for n, w in weights.items()}, "NaN or infinite"),
        (lambda _: {}, "holds no weights"),
        (lambda _: [1, 2], "holds no weights"),
        (lambda _: {"state_dict": {"a": 1}}, "holds no weights"),
    ],
)
def test_other_content_is_refused(weights, refuse, tmp_path, change, message):
    torch.save(change(weights), tmp_path / "a.pt")
    assert message in refuse(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"x", b"\x80\x02.", b"PK\x03\x04" + bytes(99), b"\x80\x04N."])
def test_damaged_files_are_refused(refuse, tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    assert "was not loaded (" in refuse(tmp_path / "a.pt")


def test_a_packed_bomb_is_refused_unread(weights, refuse, tmp_path):
    torch.save(weights, tmp_path / "b.pt")
    with (
        zipfile.ZipFile(tmp_path / "b.pt") as source,
        zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
        target.writestr("b/data/999", bytes(64 << 20))
    assert "would unpack to" in refuse(tmp_path / "a.pt")


def test_a_folder_that_holds_something_is_left_alone(weights, importing, tmp_path):
    torch.save(weights, tmp_path / "a.pt")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")

    check_refused(*importing(tmp_path / "a.pt"), naming="holds something already")
    assert (tmp_path / "new" / "mine.txt").read_text() == "mine"


def test_an_imported_model_is_not_validated_as_if_its_training_were_known(
    weights, importing, tmp_path
):
    torch.save(weights, tmp_path / "a.pt")
    call(*importing(tmp_path / "a.pt"))
    translator = load_translator(tmp_path / "new")
    with pytest.raises(CheckpointError, match="does not say who trained it"):
        read_split(translator.model)
