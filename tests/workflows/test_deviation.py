"""The volume of standard deviations: its name, its sidecar, and an interval made of both."""

import numpy as np
import pytest

from medtranslate.errors import DatasetError
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.calibration import LEVELS, Calibration
from medtranslate.workflows.deviation import describe_deviation, deviation_path, read_deviation

CALIBRATION = Calibration(0.02, dict(zip(LEVELS, (0.5, 1.0, 1.5, 2.5), strict=True)), 2, 900)
SIDECAR = {
    "Description": "CT predicted from T1w",
    "Synthetic": True,
    "IntensityScale": {"Offset": -1024.0, "Factor": 4095.0, "Unit": "HU"},
    "ClippedVoxels": 3,
}
PLAIN, MIRRORED = ({"ModelSha256": "a", "Mirrored": mirrored} for mirrored in (False, True))


@pytest.mark.parametrize(
    ("prediction", "name"),
    [
        (
            "sub-01_ses-2_space-T1w_desc-synthetic_ct.nii.gz",
            "sub-01_ses-2_space-T1w_desc-syntheticsd_ct.nii.gz",
        ),
        ("sub-01_T2w.nrrd", "sub-01_desc-syntheticsd_T2w.nrrd"),
        ("sub-01_desc-syntheticsd_T2w.nii", "sub-01_desc-syntheticsdsd_T2w.nii"),
        ("my result.nii.gz", "my result_sd.nii.gz"),
    ],
)
def test_it_lies_beside_the_prediction_under_a_name_of_its_own(tmp_path, prediction, name):
    assert deviation_path(tmp_path / prediction) == tmp_path / name


def test_the_sidecar_is_that_of_the_prediction_but_for_what_a_deviation_is_not(tmp_path):
    found = describe_deviation(
        SIDECAR, CALIBRATION, views=[PLAIN, MIRRORED], prediction=tmp_path / "out.nii.gz"
    )

    assert found["Synthetic"] is True
    assert found["StandardDeviationOf"] == "out.nii.gz"
    assert found["Predictions"] == [PLAIN, MIRRORED]
    assert found["Background"] == 0.0
    assert found["IntensityScale"] == {"Offset": 0.0, "Factor": 4095.0, "Unit": "HU"}
    assert "ClippedVoxels" not in found
    assert "2 predictions" in found["Description"]


def test_the_sidecar_makes_the_interval_that_the_calibration_makes(tmp_path):
    rule = describe_deviation(
        SIDECAR, CALIBRATION, views=[PLAIN], prediction=tmp_path / "out.nii.gz"
    )["Intervals"]
    sd_hu = np.array([0.0, 12.0, 300.0])

    for level in LEVELS:
        by_sidecar = rule["Factors"][f"{100 * level:g}"] * (sd_hu + rule["Floor"])
        normalised = CALIBRATION.half_width(sd_hu / 4095, level)
        np.testing.assert_allclose(by_sidecar, 4095 * normalised)
    assert rule["Example"] == "90 %: h = 1.5 * (this volume + 81.9)"
    assert "not exchangeable" in rule["Caution"]


def test_only_an_ensemble_is_told_that_its_factors_are_those_of_one_model(tmp_path):
    cautions = [
        describe_deviation(SIDECAR, CALIBRATION, views=views, prediction=tmp_path / "out.nii")[
            "Intervals"
        ]["Caution"]
        for views in ([PLAIN, MIRRORED], [PLAIN, {"ModelSha256": "b", "Mirrored": False}])
    ]

    assert ["not for this ensemble" in caution for caution in cautions] == [False, True]


def test_what_was_written_beside_a_prediction_is_read(tmp_path, oblique_volume):
    write_volume(tmp_path / "out_sd.nii.gz", oblique_volume)

    found = read_deviation(tmp_path / "out.nii.gz")

    np.testing.assert_array_equal(found.voxels, oblique_volume.voxels)
    assert read_volume(tmp_path / "out_sd.nii.gz").geometry.matches(found.geometry)


def test_a_deviation_that_is_absent_is_asked_for(tmp_path):
    with pytest.raises(DatasetError, match="out_sd.nii.gz: is absent beside out.nii.gz"):
        read_deviation(tmp_path / "out.nii.gz")
