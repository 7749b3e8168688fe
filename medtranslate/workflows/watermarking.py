"""Put a watermark into predictions that are to be written, where one was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from medtranslate.errors import VolumeWriteError
from medtranslate.watermark import (
    NEEDED_SCORE,
    SIDECAR_KEY,
    add_watermark,
    describe_watermark,
    find_watermark,
    read_watermark_key,
)
from medtranslate.workflows.prediction import Prediction, Translator

_RESERVE = 1.5
"""A mark that is found with less to spare than this factor would not outlive much."""


def with_watermark(translator: Translator, key_file: Path | None) -> Translator:
    """The same model, whose scans will carry a watermark; unchanged without a key.

    Raises:
        ConfigError: If the key cannot be read.
    """
    if key_file is None:
        return translator
    return replace(translator, watermark=read_watermark_key(key_file))


def mark_prediction(
    translator: Translator, prediction: Prediction
) -> tuple[Prediction, dict[str, Any]]:
    """Put the model's watermark into a prediction, and look whether it is found there.

    Returns:
        The prediction and what its sidecar shall say; as it was, and nothing, without a watermark.

    Raises:
        VolumeReadError: If the volume is too small.
        VolumeWriteError: If it is too small or too plain for a mark that is surely found.
    """
    key = translator.watermark
    if key is None:
        return prediction, {}
    marked = add_watermark(prediction.volume, key, background=translator.model.scale.offset)
    score = find_watermark(marked, key).score
    if score < _RESERVE * NEEDED_SCORE:
        raise VolumeWriteError(
            f"a volume of {marked.geometry.describe()} is too small or too plain for a watermark:"
            f" it would be found with a score of {score:.1f}, expected at least"
            f" {_RESERVE * NEEDED_SCORE:.1f}. Leave --watermark out"
        )
    return replace(prediction, volume=marked), {SIDECAR_KEY: describe_watermark(key)}
