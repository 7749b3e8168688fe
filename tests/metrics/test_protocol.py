"""The rule as a value."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from medtranslate.metrics.protocol import Protocol

CHANGES = [
    {"name": "other"},
    {"scale": "each"},
    {"data_range": 2.0},
    {"percentile": 99.0},
    {"ct_range_hu": (-1024.0, 3000.0)},
    {"axis": "sagittal"},
    {"min_mask_fraction": 0.02},
    {"ssim_sigma": 2.0},
    {"ssim_k1": 0.02},
    {"ssim_k2": 0.02},
    {"interval_level": 0.9},
    {"interval_resamples": 2000},
    {"interval_seed": 1},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_number_is_in_the_fingerprint(change):
    assert Protocol(**change).fingerprint != Protocol().fingerprint
    assert Protocol(**change).fingerprint == Protocol(**change).fingerprint


def test_every_field_but_the_fixed_one_is_tried_above():
    tried = {next(iter(change)) for change in CHANGES}

    assert tried == set(Protocol.model_fields) - {"ssim_covariance"}


def test_the_words_hold_the_numbers():
    protocol = Protocol(percentile=98.0, ssim_sigma=2.0, min_mask_fraction=0.05, axis="coronal")

    words = " ".join(text for _, text in protocol.describe(is_ct=False, mask="given"))

    for part in ("98th percentile", "σ 2 (15 voxels wide)", "5 %", "coronal", "given", "10,000"):
        assert part in words


def test_ct_is_worded_in_hu_whatever_the_scale():
    words = dict(Protocol(scale="each").describe(is_ct=True, mask="given"))

    assert "never scaled" in words["Intensity"]
    assert "\u22121024 to 3071 HU" in words["Intensity"]
    assert "4095 HU" in words["Intensity"]


def test_scale_none_is_worded_with_its_range():
    words = dict(Protocol(scale="none", data_range=255.0).describe(is_ct=False, mask="given"))

    assert words["Intensity"] == "intensities are compared as stored; data range 255"


@pytest.mark.parametrize("change", [{"data_range": 0.0}, {"scale": "own"}, {"window": 7}])
def test_values_that_make_no_sense_are_refused(change):
    with pytest.raises(ValidationError):
        Protocol(**change)
