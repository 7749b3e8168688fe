"""How well simulated follow-ups say what changes where experts saw a lesion change.

    python tests/benchmarks/progression_lesions.py runs/ms open_ms_long

For each fold of ``progression_leave_one_out.py``: PSNR, and correlation of the change, inside the
dataset's own mask of changed lesions, which is brought to the baseline by the transform that comes
with it. Neither was shown to any model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medtranslate.data.index import index_datasets
from medtranslate.data.visits import VisitPair
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume
from medtranslate.metrics.change import score_change
from medtranslate.preprocess.native import reference_on_source
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.registration import read_itk_transform
from medtranslate.workflows.cohort import pair_scans
from medtranslate.workflows.expectations import expect
from medtranslate.workflows.forecaster import Forecaster, load_forecaster


def main(runs: Path, dataset: Path) -> None:
    print("person  voxels  method  PSNR_dB  correlation")
    for fold in sorted(path.parent for path in runs.glob("*/fold.json")):
        forecaster = load_forecaster(fold)
        _, pairs = pair_scans(forecaster.pipeline, index_datasets([dataset]))
        for pair in pairs.values():
            if pair.subject.replace("/", "_") == fold.name:
                for line in tell(forecaster, pair, dataset):
                    print(line, flush=True)


def tell(forecaster: Forecaster, pair: VisitPair, dataset: Path) -> Iterator[str]:
    """A line for the model and for each thing that it must beat."""
    today = read_volume(pair.baseline.scan)
    changed = read_changed_lesions(dataset, pair, today.geometry)
    prepared = prepare(
        forecaster.pipeline.preprocess,
        name=pair.name,
        source=pair.baseline.scan,
        target=pair.follow_up.scan,
    )
    if prepared.target_scale is None:
        raise SystemExit(f"{pair.name}: the follow-up has no scale")
    found = reference_on_source(
        forecaster.pipeline.preprocess,
        name=pair.name,
        source=pair.baseline.scan,
        target=pair.follow_up.scan,
    )
    # Normalised by the follow-up's and the baseline's factor: one unit, the baseline's gain.
    later = found.volume.voxels / prepared.target_scale.factor
    changed &= found.seen
    foresight = forecaster.look_ahead(prepared, pair.covariates)
    nowhere = np.zeros(today.geometry.shape, dtype=bool)
    years = pair.interval_years
    future = forecaster.develop(foresight, prepared, today, nowhere, years=years)
    expected = expect(
        forecaster.model.config, forecaster.pipeline, pair, prepared, trend=bool(pair.earlier)
    )
    scans = {"model": future.scan} | {
        name: one.scan(today, prepared) for name, one in expected.items()
    }
    factor = prepared.source_scale.factor
    for name, scan in scans.items():
        scores = score_change(today.voxels / factor, later, scan / factor, mask=changed)
        psnr = -20 * np.log10(scores.rmse)
        told = "–" if scores.correlation is None else f"{scores.correlation:.3f}"
        yield f"{pair.subject}  {changed.sum()}  {name}  {psnr:.2f}  {told}"


def read_changed_lesions(dataset: Path, pair: VisitPair, onto: Geometry) -> np.ndarray:
    """The mask of changed lesions on the baseline's own grid."""
    person = f"sub-{pair.subject.partition('/')[2]}"
    session = f"ses-{pair.baseline.session}"
    folder = dataset / "derivatives"
    mask = read_volume(
        folder / "masks" / person / f"{person}_space-common_label-lesionchange_mask.nii.gz"
    )
    to_scan = read_itk_transform(
        folder
        / "transforms"
        / person
        / session
        / f"{person}_{session}_from-FLAIR_to-common_xfm.txt"
    )
    moved = Geometry(mask.geometry.shape, to_scan @ mask.geometry.affine)
    changed: np.ndarray = carry_image((mask.voxels > 0).astype(np.float32), moved, onto) >= 0.5
    return changed


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
