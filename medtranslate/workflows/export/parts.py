"""What several forms hold: the model's own files, and its card."""

from __future__ import annotations

import shutil
from pathlib import Path

from medtranslate.checkpoint.model import (
    CARD_FILE,
    CONFIG_FILE,
    PROVENANCE_FILE,
    SCALE_FILE,
    WEIGHTS_FILE,
    LoadedModel,
)
from medtranslate.errors import CheckpointError

LICENCE_NOTE = (
    "The licence of these weights is not known. Whoever passes them on says it here, within what\n"
    "the licences of the datasets allow; the model card names them.\n"
)


def copy_model(model: LoadedModel, folder: Path) -> None:
    """Copy what prediction needs, as it was checked: safetensors and JSON, no pickle.

    Raises:
        CheckpointError: If a file is gone meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS_FILE, CONFIG_FILE, SCALE_FILE, PROVENANCE_FILE):
        _copy(model.folder / name, folder / name)


def copy_card(model: LoadedModel, path: Path) -> None:
    """Copy the model card.

    Raises:
        CheckpointError: If there is none.
    """
    _copy(model.folder / CARD_FILE, path)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        raise CheckpointError(f"{source}: is absent; copy the whole model folder again") from None
