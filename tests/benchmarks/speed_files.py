"""How long whole jobs take, from file to file: translating scans, and scoring a pair."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy.ndimage import zoom
from scoring_speed import score_files, score_with_monai, score_with_scikit_image
from side_by_side import alternate, summarise

from medtranslate.pipeline import read_pipeline
from medtranslate.workflows.chains import plan_chains
from medtranslate.workflows.prediction import Translator, load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.train import train
from medtranslate.workflows.translate import translate_cases
from medtranslate.workflows.translated_case import translate_case

ROOT = Path(__file__).resolve().parents[2]
ANAT = ROOT / "sample_data" / "sub-phantom01" / "anat"
_TWO_UPDATES = [
    "train.time_budget=null", "train.num_steps=2", "train.num_validations=1",
    "train.patch_size=[32,32,32]", "method.generator.norm=none", "inference.window=null",
    "inference.memory_gb=16",
]  # fmt: skip


def measure_translation(
    shape: tuple[int, int, int], *, scans: int, repeats: int, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Seconds a scan: read, prepared, predicted, undone and written; and the network's own.

    ``changes`` are to the demonstration's pipeline, as for ``--set``.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pipeline = read_pipeline(ROOT / "pipelines" / "demo.yaml", [*_TWO_UPDATES, *changes])
        train(pipeline, [ROOT / "sample_data"], work / "run")
        translator = load_translator(work / "run")
        sources = [_write_large(work / f"sub-{n}_T1w.nii.gz", shape) for n in range(scans)]
        cases = collect_cases(translator, sources)
        network = _Network(translator, cases)
        whole, alone, one = [], [], []
        for number in range(repeats + 1):
            began = time.perf_counter()
            translate_cases(translator, cases, work / f"out{number}")
            whole.append((time.perf_counter() - began) / scans)
            alone.append(network())
            one.append(_time_alone(translator, cases[0], work / "one.nii.gz"))
        return {
            "shape": list(shape),
            "shown": list(network.shape),
            "scans": scans,
            "at_a_time": plan_chains(translator, cases).count,
            # The first of each compiles the graph for this shape.
            "seconds": {
                "network alone": summarise(alone[1:]),
                "file to file": summarise(whole[1:]),
                "file to file, one scan by itself": summarise(one[1:]),
            },
        }


def _time_alone(translator: Translator, case: Any, out: Path) -> float:
    """Of one scan, one step after another, with all cores."""
    began = time.perf_counter()
    translate_case(translator, case, out)
    return time.perf_counter() - began


class _Network:
    """The network of one scan by itself, with all cores."""

    def __init__(self, translator: Translator, cases: list[Any]) -> None:
        prepared = translator.prepare(cases[0])
        self._engine = translator.choose_engine(prepared)
        self._inputs = translator.show(prepared)[None]
        self.shape = tuple(self._inputs.shape[2:])

    def __call__(self) -> float:
        """Seconds."""
        began = time.perf_counter()
        with torch.inference_mode():
            self._engine.run(self._inputs)
        return time.perf_counter() - began


def _write_large(path: Path, shape: tuple[int, int, int]) -> Path:
    """A scan of the sample data on a finer grid of the given shape."""
    image = nibabel.load(ANAT / "sub-phantom01_T1w.nii.gz")
    voxels = np.asanyarray(image.dataobj).astype(np.float32)
    factors = [new / old for new, old in zip(shape, voxels.shape, strict=True)]
    affine = image.affine @ np.diag([*(1 / np.array(factors)), 1.0])
    finer = np.rint(np.clip(zoom(voxels, factors, order=1), 0, None)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(finer, affine), path)
    return path


def measure_scoring(repeats: int) -> dict[str, Any]:
    """All scores and tables of a pair of files, beside scikit-image's SSIM of its slices alone."""
    real, other = (ANAT / f"sub-phantom01_{contrast}.nii.gz" for contrast in ("T2w", "FLAIR"))
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            name: lambda way=way, name=name: way(real, other, Path(folder) / name)
            for name, way in {
                "all scores and tables": score_files,
                "SSIM by scikit-image": score_with_scikit_image,
                "SSIM and PSNR by MONAI": score_with_monai,
            }.items()
        }
        return {"seconds": alternate(ways, repeats=repeats)}
