"""What is copied of a model is whole."""

from __future__ import annotations

import shutil

import pytest

from medtranslate.checkpoint import load_model
from medtranslate.errors import CheckpointError
from medtranslate.workflows.export.parts import copy_card, copy_model


def test_a_copy_is_the_model(trained, tmp_path) -> None:
    model = load_model(trained)

    copy_model(model, tmp_path / "copy")

    assert load_model(tmp_path / "copy").sha256 == model.sha256


def test_a_card_that_is_gone_is_told(trained, tmp_path) -> None:
    model = load_model(shutil.copytree(trained / "model", tmp_path / "model"))
    (tmp_path / "model" / "MODEL_CARD.md").unlink()

    with pytest.raises(CheckpointError, match="MODEL_CARD.md: is absent"):
        copy_card(model, tmp_path / "README.md")
