"""How long scoring a pair of files takes, beside what scikit-image needs for the same slices.

    python tests/benchmarks/scoring_speed.py REAL.nii.gz SYNTHETIC.nii.gz [--repeat 5]

Both run in one process in turn, so that a busy machine slows both; medians are printed:

* scikit-image: nibabel reads both files, ``structural_similarity`` with Gaussian weights in a loop
  over the axial slices, and nothing else;
* scoring: both files read, foreground found, every score of the protocol, CSV and JSON written;
* evaluate: the same and the report with its pictures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nibabel
import numpy as np
import torch
from monai.metrics.regression import PSNRMetric, SSIMMetric
from skimage.metrics import structural_similarity

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.report.tables import write_tables
from medtranslate.workflows.evaluate import evaluate_paths, read_pair
from medtranslate.workflows.foreground import find_foreground


def score_with_scikit_image(real: Path, synthetic: Path, out: Path) -> None:
    reference, prediction = (nibabel.load(path).get_fdata() for path in (real, synthetic))
    peak = float(np.percentile(reference[reference != 0], 99.5))
    for k in range(reference.shape[2]):
        structural_similarity(
            reference[..., k],
            prediction[..., k],
            data_range=peak,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )


def score_with_monai(real: Path, synthetic: Path, out: Path) -> None:
    """MONAI's SSIM and PSNR of all axial slices as one batch."""
    reference, prediction = (
        torch.from_numpy(nibabel.load(path).get_fdata(dtype=np.float32)).permute(2, 0, 1)[:, None]
        for path in (real, synthetic)
    )
    peak = float(np.percentile(reference[reference != 0], 99.5))
    SSIMMetric(spatial_dims=2, data_range=peak, win_size=11)(prediction, reference)
    PSNRMetric(max_val=peak)(prediction, reference)


def score_files(real: Path, synthetic: Path, out: Path) -> None:
    reference, prediction = read_pair(real, synthetic)
    yardstick = make_yardstick(reference, find_foreground(reference), Protocol())
    scores = score_against(yardstick, yardstick.bring(prediction.voxels, scale=None))
    row = ScoredPrediction("case", "person", "prediction", scores)
    board = Scoreboard((row,), "prediction", yardstick.is_ct, Protocol())
    write_tables(out, board, summary=board.to_json(), protocol=Protocol().model_dump(mode="json"))


def evaluate(real: Path, synthetic: Path, out: Path) -> None:
    evaluate_paths(real, synthetic, out=out, protocol=Protocol())


def measure(work: Callable[[Path, Path, Path], None], real: Path, synthetic: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        work(real, synthetic, Path(folder) / "out")
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    wanted = parser.parse_args()
    works = {
        "scikit-image": score_with_scikit_image,
        "scoring": score_files,
        "evaluate": evaluate,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(wanted.repeat):
        for name, work in works.items():
            times[name].append(measure(work, wanted.real, wanted.synthetic))
    yard = median(times["scikit-image"])
    for name, found in times.items():
        print(f"{name:13} {median(found):6.2f} s   {median(found) / yard:5.2f} x scikit-image")


if __name__ == "__main__":
    main()
