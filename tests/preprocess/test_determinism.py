"""The same bits whatever the number of threads, in processes of their own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, sys
from pathlib import Path
import SimpleITK, torch
from medtranslate.preprocess.native import restore
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.provenance import hash_volume
settings = PreprocessSettings(align="rigid", mask="otsu", n4=True, spacing_mm=2.2)
prepared = prepare(settings, name="x", source=Path(sys.argv[1]), target=Path(sys.argv[2]))
restored = restore(prepared.target.as_tensor(), prepared, scale=prepared.target_scale)
print(json.dumps({
    "threads": [torch.get_num_threads(),
                SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()],
    "fingerprint": prepared.fingerprint,
    "registration": prepared.registration.to_json(),
    "scales": [prepared.source_scale.factor, prepared.target_scale.factor],
    "restored": hash_volume(restored.voxels, restored.geometry.affine),
}))
"""


def start(threads, source, target):
    count = str(threads)
    environment = os.environ | {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": count,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(source), str(target)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def pair(make_volume, write_scan):
    rng = np.random.default_rng(0)
    paths = []
    for name, orientation, spacing, gain in (
        ("source", "LPS", (2.4, 2.7, 4.0), 1.0),
        ("target", "ASL", (4.1, 2.6, 2.7), 0.6),
    ):
        volume = make_volume(
            (44, 40, 36), orientation=orientation, spacing=spacing, origin=(0, 0, 0)
        )
        affine = volume.geometry.affine.copy()
        affine[:3, 3] = -affine[:3, :3] @ (np.array(volume.geometry.shape) / 2)
        noise = np.abs(rng.normal(0, 15, volume.geometry.shape))
        paths.append(write_scan(name, gain * np.abs(volume.voxels) + noise, affine))
    return paths


def test_registration_bias_resampling_and_undo_give_equal_bits_on_one_and_two_threads(pair):
    counts = (1, 2)
    processes = [start(count, *pair) for count in counts]
    results = [json.loads(process.communicate(timeout=200)[0]) for process in processes]
    threads = [result.pop("threads") for result in results]
    assert threads == [[count, count] for count in counts]
    assert results[0] == results[1]
