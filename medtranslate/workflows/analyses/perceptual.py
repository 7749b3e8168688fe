"""Perceptual distance: how far the synthetic scan lies from the real one in learned features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.similarity import bounding_box
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.networks.features import feature_distance, load_feature_network
from medtranslate.provenance import hash_file
from medtranslate.report.sections import Section
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally
from medtranslate.workflows.scored_case import ScoredCase

_DISTANCE = Column("distance", "Distance in features, 0 to 4, lower is better", 4)
_NETWORK = "ResNet-10 of MedicalNet"


class PerceptualAnalysis(AbstractAnalysis):
    """Compares scans in the features of a network that was trained elsewhere.

    Args:
        weights: Safetensors file that the user fetched and converted.

    Raises:
        CheckpointError: If it is absent or holds another network; says what to fetch.
    """

    name = "perceptual"
    gathered = ("_tally",)

    def __init__(self, weights: Path) -> None:
        self._network = load_feature_network(weights)
        self._hash = hash_file(weights)
        self._tally = Tally(("network",), (_DISTANCE,))

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Measure every method of one case, in file order of the axes."""
        box = bounding_box(yardstick.mask)
        inside = yardstick.mask[box]
        mean, sd = (float(f(yardstick.reference[yardstick.mask])) for f in (np.mean, np.std))

        def normalise(image: np.ndarray) -> np.ndarray:
            flat = (np.where(inside, image[box], yardstick.background) - mean) / (sd or 1.0)
            return np.moveaxis(flat, 0, yardstick.voxel_axis)

        reference = normalise(yardstick.reference)
        for method, prediction in predictions.items():
            distance = feature_distance(self._network, reference, normalise(prediction))
            self._tally.add(case, method, (_NETWORK,), {_DISTANCE.name: distance})

    def finish(self, board: Scoreboard) -> Findings | None:
        """The table over people, and every case in ``perceptual.csv``."""
        table = self._tally.tabulate(board, _DISTANCE.name)
        if table is None:
            return None
        section = Section(
            title="Perceptual distance",
            lead="Mean squared distance of the features, each scaled to unit length, that a "
            f"{_NETWORK} (Chen et al. 2019, weights {self._hash[:12]}) finds in the synthetic and "
            "the real scan, background outside the mask, normalised by the real scan's mean and "
            "deviation. It sees texture that PSNR does not, and compares only with distances by "
            "the same weights. Mean \u00b1 SD over people.",
            tables=(table,),
        )
        summary = {"weights_sha256": self._hash, "by_method": self._tally.to_json(board)}
        return Findings(section, {"perceptual.csv": self._tally.to_csv()}, summary)
