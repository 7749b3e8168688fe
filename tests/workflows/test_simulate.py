import csv
import json

import nibabel
import numpy as np
import pytest

from medtranslate.checkpoint import load_model
from medtranslate.data.durations import parse_durations
from medtranslate.errors import ConfigError, DatasetError, GeometryError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.preprocess.native_motion import pull
from medtranslate.volume import Volume
from medtranslate.workflows.simulate import TRAJECTORY_COLUMNS, simulate
from medtranslate.workflows.translate import translate
from medtranslate.workflows.verify import verify

DRIVEN = {"dose": "1", "shoe": "40"}


@pytest.fixture(scope="module")
def held_out(foreseeing):
    """Labels of the two people who were held out."""
    split = load_model(foreseeing).config["split"]
    people = [key.partition("/")[2] for key, part in split["subjects"].items() if part == "test"]
    assert len(people) == 2
    return people


def _files(visited, person, session=1):
    stem = visited / f"sub-{person}" / f"ses-{session}" / "anat" / f"sub-{person}_ses-{session}"
    return stem.with_name(f"{stem.name}_T1w.nii.gz"), stem.with_name(
        f"{stem.name}_label-tumor_mask.nii.gz"
    )


@pytest.fixture(scope="module")
def simulated(foreseeing, visited, held_out, tmp_path_factory):
    """One person simulated at several times, the last far away."""
    scan, mask = _files(visited, held_out[0])
    out = tmp_path_factory.mktemp("simulated") / "out"
    times = parse_durations("0d,6m,1y,9y")
    result = simulate(foreseeing, scan, times, out, region=mask, covariates=DRIVEN, samples=4)
    return scan, mask, out, result


def test_no_time_gives_the_baseline_to_the_bit_and_its_region(simulated):
    scan, mask, out, _ = simulated

    today = read_volume(out / "0d" / "scan.nii.gz")

    np.testing.assert_array_equal(today.array, read_volume(scan).array)
    assert today.geometry.matches(read_volume(scan).geometry)
    np.testing.assert_array_equal(
        read_volume(out / "0d" / "region.nii.gz").array, read_volume(mask).array
    )


def test_every_file_is_marked(simulated):
    _, _, out, _ = simulated

    checks = verify(out).checks

    assert [check for check in checks if not check.holds] == []
    marked = {check.case for check in checks if check.what == "header extension"}
    assert marked == {path.name for path in out.rglob("*.nii.gz")}


def test_the_deformation_explains_the_scan_but_for_what_is_new(simulated):
    scan, _, out, _ = simulated
    baseline, later = read_volume(scan), read_volume(out / "1y" / "scan.nii.gz")
    field = np.moveaxis(
        nibabel.load(out / "1y" / "deformation.nii.gz").get_fdata()[..., 0, :], -1, 0
    )
    moved = pull(baseline.voxels, field, baseline.geometry)

    outside = baseline.voxels == 0
    assert np.abs(field).max() > 0.05
    assert not np.array_equal(later.voxels, baseline.voxels)
    np.testing.assert_allclose(later.voxels[outside], moved[outside], atol=0.5)


def test_the_trajectory_says_volumes_and_marks_extrapolation(simulated):
    _, mask, out, result = simulated
    rows = list(csv.DictReader((out / "trajectory.csv").read_text().splitlines()))
    voxel = np.prod(read_volume(mask).geometry.spacing) / 1000

    assert tuple(rows[0]) == TRAJECTORY_COLUMNS
    assert [row["time"] for row in rows] == ["today", "0d", "6m", "1y", "9y"]
    assert float(rows[0]["volume_ml"]) == pytest.approx(
        (read_volume(mask).voxels > 0).sum() * voxel, abs=1e-3
    )
    for row in rows[1:]:
        chance = read_volume(out / row["time"] / "region.nii.gz").voxels
        assert float(row["low"]) <= chance.sum() * voxel + 1e-3 <= float(row["high"]) + 2e-3
    assert [row["extrapolation"] for row in rows] == ["false"] * 4 + ["true"]
    assert any("9y: far beyond" in warning for warning in result.warnings)
    sidecar = json.loads((out / "9y" / "scan.json").read_text())
    assert sidecar["Extrapolation"] is True
    assert "not a prediction for this person" in sidecar["Note"]
    page = (out / "simulation.html").read_text()
    assert "EXTRAPOLATION" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_same_seed_gives_the_same_futures(simulated, foreseeing, tmp_path):
    scan, mask, _, _ = simulated
    rows = [
        simulate(
            foreseeing, scan, parse_durations("6m"), tmp_path / name, region=mask,
            samples=3, seed=seed,
        ).rows
        for name, seed in (("one", 1), ("again", 1))
    ]  # fmt: skip

    assert rows[0] == rows[1]


def test_bad_input_is_refused_and_leaves_nothing(foreseeing, trained, visited, held_out, tmp_path):
    scan, mask = _files(visited, held_out[0])
    other = read_volume(mask)
    cropped = Geometry((*other.geometry.shape[:2], 10), other.geometry.affine)
    write_volume(tmp_path / "m.nii.gz", Volume(other.array[..., :10], cropped, None, "label"))
    renamed = tmp_path / "sub-1_T2w.nii.gz"
    write_volume(renamed, read_volume(scan))
    year = parse_durations("1y")

    with pytest.raises(GeometryError, match="another grid than the baseline"):
        simulate(foreseeing, scan, year, tmp_path / "out", region=tmp_path / "m.nii.gz")
    with pytest.raises(DatasetError, match="not the contrast 'T1w'"):
        simulate(foreseeing, renamed, year, tmp_path / "out", region=mask)
    with pytest.raises(ConfigError, match="unknown covariate weight; known: dose, shoe"):
        simulate(foreseeing, scan, year, tmp_path / "out", region=mask, covariates={"weight": "9"})
    with pytest.raises(ConfigError, match="--region MASK"):
        simulate(foreseeing, scan, year, tmp_path / "out")
    with pytest.raises(ConfigError, match="medtranslate translate"):
        simulate(trained, scan, year, tmp_path / "out")
    with pytest.raises(ConfigError, match="medtranslate simulate"):
        translate(foreseeing, [scan], tmp_path / "out.nii.gz")
    assert not (tmp_path / "out").exists()


def test_a_scan_with_other_voxels_than_training_is_told(foreseeing, visited, held_out, tmp_path):
    scan, mask = _files(visited, held_out[0])
    for path, name in ((scan, "sub-9_T1w.nii.gz"), (mask, "m.nii.gz")):
        volume = read_volume(path)
        affine = volume.geometry.affine.copy()
        affine[:3, :3] *= 3
        geometry = Geometry(volume.geometry.shape, affine)
        write_volume(tmp_path / name, Volume(volume.array, geometry))

    result = simulate(
        foreseeing, tmp_path / "sub-9_T1w.nii.gz", parse_durations("1y"), tmp_path / "out",
        region=tmp_path / "m.nii.gz", samples=0,
    )  # fmt: skip

    assert any("voxel" in warning.lower() for warning in result.warnings)


def test_a_covariate_that_drives_the_disease_moves_the_trajectory_and_another_hardly(
    foreseeing, visited, held_out, tmp_path
):
    scan, mask = _files(visited, held_out[0])

    def grown(dose, shoe):
        told = {"dose": dose, "shoe": shoe}
        out = tmp_path / f"{dose}-{shoe}"
        result = simulate(
            foreseeing, scan, parse_durations("1y"), out, region=mask, covariates=told, samples=0
        )
        return result.rows[-1]["change_percent"]

    driven = grown("1", "40") - grown("0", "40")
    idle = grown("1", "44") - grown("1", "37")

    assert driven > 10
    assert abs(idle) < 0.5 * driven
