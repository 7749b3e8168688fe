"""A changed source goes through the model as every source does, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.retranslation import Retranslation, retranslate_with
from medtranslate.workflows.prediction import load_translator

PROTOCOL = Protocol(scale="sidecar")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_model_is_given_the_changed_scan_and_the_given_mask(tmp_path, temporary):
    geometry = Geometry((5, 6, 4), np.diag([1.0, 1.5, 2.0, 1.0]))
    source = Volume(np.arange(1, 121, dtype=np.float32).reshape(1, 5, 6, 4), geometry)
    path, mask = tmp_path / "sub-1_T1w.nii.gz", tmp_path / "mask.nii.gz"
    write_volume(path, source)
    seen = []

    def predict(case):
        seen.append(case)
        return read_volume(case.source)

    model = Retranslation(
        {"c": Case("c", "d", "s", None, path, mask=mask)}, predict, "T1w", IntensityScale(0, 50)
    )
    yardstick = make_yardstick(source, np.ones(geometry.shape, bool), PROTOCOL)
    changed = replace(model.read_source("c"), array=3 * source.array)

    brought = model.translate("c", changed, yardstick)

    np.testing.assert_allclose(brought, np.moveaxis(3 * source.voxels / 50, 2, 0), rtol=1e-6)
    assert (seen[0].source.name, seen[0].mask) == ("sub-1_T1w.nii", mask)
    assert not list(temporary.iterdir())
    np.testing.assert_array_equal(read_volume(path).array, source.array)


def test_an_unchanged_source_is_translated_as_it_was(trained, strangers, temporary):
    translator = load_translator(trained)
    cases = {
        case.name: case
        for case in find_cases(index_datasets([strangers]), source="T1w", target="T2w")
    }
    case = next(iter(cases.values()))
    model = retranslate_with(translator, cases)
    reference = read_volume(case.target)
    yardstick = make_yardstick(reference, reference.voxels > 0, PROTOCOL)

    brought = model.translate(case.name, model.read_source(case.name), yardstick)

    expected = translator.predict(translator.prepare(case)).volume.voxels
    np.testing.assert_allclose(
        brought, yardstick.bring(expected, scale=translator.model.scale), atol=1e-6
    )
    assert model.modality == "T1w"
