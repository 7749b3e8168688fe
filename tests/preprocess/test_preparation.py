from dataclasses import asdict

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.preprocess.native import native_mask
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.settings import (
    NoIntensity,
    PercentileIntensity,
    PreprocessSettings,
    SharedIntensity,
    WindowIntensity,
)

PLAIN = {
    "mask": "none",
    "crop_margin_mm": None,
    "source_intensity": NoIntensity(),
    "target_intensity": NoIntensity(),
}
ITK_FILE = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: {parameters}
FixedParameters: {centre}
"""


def write_itk(path, matrix, translation, centre):
    """An ITK file written by hand: x -> matrix (x - centre) + centre + translation, in LPS."""
    numbers = [*matrix.ravel(), *translation]
    path.write_text(
        ITK_FILE.format(
            parameters=" ".join(f"{n:.12g}" for n in numbers),
            centre=" ".join(f"{n:.12g}" for n in centre),
        )
    )
    return path


def array(image):
    return np.asarray(image)[0]


def affine(image):
    return np.asarray(image.affine)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS", "PIR", "ASL"])
def test_every_source_voxel_keeps_its_place_and_value_on_the_model_grid(
    make_scan, world_points, ramp, write_scan, orientation
):
    _, volume = make_scan(orientation=orientation)
    values = ramp(world_points(volume.geometry.shape, volume.geometry.affine))
    path = write_scan("ramp", values, volume.geometry.affine)
    prepared = prepare(PreprocessSettings(**PLAIN), name="x", source=path)
    grid = Geometry(array(prepared.source).shape, affine(prepared.source))
    assert grid.orientation == "RAS"
    np.testing.assert_allclose(
        array(prepared.source), ramp(world_points(grid.shape, grid.affine)), atol=2e-3
    )


def test_resampling_agrees_with_scipy(make_scan):
    path, volume = make_scan(orientation="LPS")
    spacing = (1.7, 1.3, 2.0)
    settings = PreprocessSettings(**(PLAIN | {"spacing_mm": spacing}))
    source = prepare(settings, name="x", source=path).source
    np.testing.assert_allclose(Geometry(source.shape[1:], affine(source)).spacing, spacing)
    to_file = np.linalg.inv(volume.geometry.affine) @ affine(source)
    index = np.indices(source.shape[1:]).reshape(3, -1)
    place = to_file[:3, :3] @ index + to_file[:3, 3:]
    expected = ndimage.map_coordinates(volume.voxels, place, order=1, mode="nearest")
    np.testing.assert_allclose(array(source), expected.reshape(source.shape[1:]), atol=0.01)


def test_a_target_on_the_same_grid_is_moved_without_touching_a_voxel(make_scan):
    path, volume = make_scan(orientation="PIR")
    settings = PreprocessSettings(**(PLAIN | {"align": "rigid"}))
    for align in ("none", "transforms"):
        prepared = prepare(
            settings.model_copy(update={"align": align}), name="x", source=path, target=path
        )
        np.testing.assert_array_equal(array(prepared.target), array(prepared.source))
        assert array(prepared.seen).all()
        assert sorted(array(prepared.target).ravel()) == sorted(volume.voxels.ravel())


def test_a_target_stored_in_another_direction_counts_as_the_same_grid(make_scan, write_scan):
    path, volume = make_scan(orientation="LPS")
    flipped = volume.geometry.affine.copy()
    last = volume.geometry.shape[0] - 1
    flipped[:3, 3] += last * flipped[:3, 0]
    flipped[:3, 0] *= -1
    target = write_scan("target", volume.voxels[::-1], flipped)
    prepared = prepare(PreprocessSettings(**PLAIN), name="x", source=path, target=target)
    np.testing.assert_array_equal(array(prepared.target), array(prepared.source))


def test_a_transform_file_brings_the_target_where_itk_would(
    make_scan, make_affine, write_scan, world_points, ramp, tmp_path
):
    path, source = make_scan(orientation="LPS")
    # The target: another grid, and the patient has moved by x -> R (x - c) + c + t (LPS).
    matrix = Rotation.from_euler("xyz", (4, -6, 9), degrees=True).as_matrix()
    translation, centre = np.array([2.0, -3.0, 1.5]), np.array([20.0, -5.0, 40.0])
    flip = np.diag([-1.0, -1.0, 1.0])
    middle = source.geometry.affine @ [*(np.array(source.geometry.shape) / 2), 1]
    shape = (20, 12, 40)
    place = make_affine("ASL", spacing=(1.3, 2.1, 0.9), degrees=(3, 1, -2), origin=(0, 0, 0))
    aim = flip @ (matrix @ (flip @ middle[:3] - centre) + centre + translation)
    place[:3, 3] = aim - place[:3, :3] @ (np.array(shape) / 2)
    target = write_scan("target", ramp(world_points(shape, place)), place)
    transform = write_itk(tmp_path / "xfm.txt", matrix, translation, centre)

    settings = PreprocessSettings(**(PLAIN | {"align": "transforms"}))
    prepared = prepare(settings, name="x", source=path, target=target, transform=transform)

    lps = flip @ world_points(prepared.source.shape[1:], affine(prepared.source)).reshape(3, -1)
    moved = flip @ (matrix @ (lps - centre[:, None]) + (centre + translation)[:, None])
    index = np.linalg.inv(place)[:3] @ np.vstack([moved, np.ones(moved.shape[1])])
    last = np.array(shape)[:, None] - 1
    inside = ((index >= 0) & (index <= last)).all(axis=0)
    outside = ((index < -0.51) | (index > last + 0.51)).any(axis=0)
    assert 0.2 < inside.mean() < 0.99
    found, seen = array(prepared.target).ravel(), array(prepared.seen).ravel() > 0
    np.testing.assert_allclose(found[inside], ramp(moved)[inside], atol=5e-3)
    assert seen[inside].all()
    assert not seen[outside].any()
    np.testing.assert_array_equal(found[outside], 0)
    assert source.geometry.matches(prepared.native)


def test_what_a_ct_target_did_not_scan_is_air(make_scan, make_affine, write_scan, tmp_path):
    path, source = make_scan()
    place = source.geometry.affine.copy()
    place[:3, 3] += 6 * place[:3, 2]
    target = write_scan("ct", np.full(source.geometry.shape, 40.0), place)
    identity = write_itk(tmp_path / "xfm.txt", np.eye(3), np.zeros(3), np.zeros(3))
    settings = PreprocessSettings(
        align="transforms", mask="none", target_intensity=WindowIntensity()
    )
    prepared = prepare(settings, name="x", source=path, target=target, transform=identity)
    expected = np.zeros(source.geometry.shape)
    expected[:, :, 6:] = (40 + 1024) / 4095
    np.testing.assert_allclose(array(prepared.target), expected, atol=1e-6)
    np.testing.assert_array_equal(array(prepared.seen), expected > 0)


def test_nothing_about_the_source_depends_on_the_target(make_scan, write_scan):
    path, volume = make_scan(orientation="LPS")
    noise = np.random.default_rng(0).normal(500, 300, volume.geometry.shape)
    targets = [None, path, write_scan("noise", noise, volume.geometry.affine)]
    settings = PreprocessSettings(spacing_mm=1.5, crop_margin_mm=2.0)
    first, *others = [prepare(settings, name="x", source=path, target=t) for t in targets]
    for other in others:
        np.testing.assert_array_equal(array(first.source), array(other.source))
        np.testing.assert_array_equal(array(first.mask), array(other.mask))
        np.testing.assert_array_equal(affine(first.source), affine(other.source))
        assert first.source_scale == other.source_scale
        for role in ("source", "mask"):
            assert first.fingerprint["outputs"][role] == other.fingerprint["outputs"][role]


def test_registering_onto_noise_leaves_the_source_alone(make_scan, write_scan):
    path, volume = make_scan()
    moved = volume.geometry.affine.copy()
    moved[:3, 3] += (3.0, -2.0, 4.0)
    noise = np.random.default_rng(0).normal(500, 300, volume.geometry.shape)
    target = write_scan("noise", noise, moved)
    settings = PreprocessSettings(align="rigid")
    alone = prepare(settings, name="x", source=path)
    paired = prepare(settings, name="x", source=path, target=target)
    np.testing.assert_array_equal(array(alone.source), array(paired.source))
    assert alone.source_scale == paired.source_scale
    assert paired.registration is not None


def test_the_crop_is_the_masks_box_plus_the_margin_in_millimetres(make_scan, write_scan):
    _, volume = make_scan()
    voxels = np.zeros(volume.geometry.shape)
    voxels[8:12, 7:10, 5:7] = 100.0
    path = write_scan("box", voxels, volume.geometry.affine)
    prepared = prepare(PreprocessSettings(crop_margin_mm=3.0), name="x", source=path)
    # ceil(3 / 1.1), ceil(3 / 1.6), ceil(3 / 2.7) voxels on each side.
    assert prepared.source.shape == (1, 4 + 2 * 3, 3 + 2 * 2, 2 + 2 * 2)
    np.testing.assert_array_equal(array(prepared.mask)[3:7, 2:5, 2:4], 1)
    assert array(prepared.mask).sum() == 24
    assert array(prepared.source).max() == 1.0


def test_the_crop_ends_where_the_grid_ends(make_scan, write_scan):
    _, volume = make_scan()
    i, j, k = volume.geometry.shape
    voxels = np.zeros((i, j, k))
    voxels[1:3, j - 2 :, : k - 1] = 100.0
    path = write_scan("edge", voxels, volume.geometry.affine)

    prepared = prepare(PreprocessSettings(crop_margin_mm=3.0), name="x", source=path)

    # The margin is 3, 2 and 2 voxels.
    np.testing.assert_array_equal(array(prepared.mask), voxels[:6, j - 4 :] > 0)
    np.testing.assert_array_equal(native_mask(prepared), voxels > 0)


def test_a_grid_that_is_coarser_than_the_patient_is_refused(make_scan, write_scan):
    _, volume = make_scan()
    voxels = np.zeros(volume.geometry.shape)
    voxels[9, 8, 6] = 100.0
    path = write_scan("speck", voxels, volume.geometry.affine)
    settings = PreprocessSettings(spacing_mm=9.0, crop_margin_mm=3.0)

    with pytest.raises(VolumeReadError, match="no voxel of the mask is left"):
        prepare(settings, name="x", source=path)


def test_scales_are_percentiles_inside_the_mask(make_scan, write_scan):
    path, volume = make_scan()
    doubled = write_scan("target", 2 * volume.voxels, volume.geometry.affine)
    prepared = prepare(PreprocessSettings(), name="x", source=path, target=doubled)
    filled = ndimage.binary_fill_holes(volume.voxels != 0)
    expected = np.percentile(volume.voxels[filled].astype(np.float64), 99.5)
    np.testing.assert_allclose(prepared.source_scale.factor, expected)
    np.testing.assert_allclose(prepared.target_scale.factor, 2 * expected)
    upper = PreprocessSettings(target_intensity=PercentileIntensity(upper=90))
    lower = prepare(upper, name="x", source=path, target=doubled).target_scale.factor
    assert lower < 2 * expected


def test_grids_that_differ_are_refused_unless_something_aligns_them(make_scan):
    path, _ = make_scan()
    target, _ = make_scan("target", spacing=(1.1, 1.6, 3.0))
    with pytest.raises(GeometryError, match=r"case-7.*different grids.*preprocess.align"):
        prepare(PreprocessSettings(), name="case-7", source=path, target=target)
    settings = PreprocessSettings(align="transforms")
    with pytest.raises(VolumeReadError, match=r"case-7.*no transform file"):
        prepare(settings, name="case-7", source=path, target=target)


def test_a_target_far_away_is_refused(make_scan, tmp_path):
    path, _ = make_scan()
    transform = write_itk(tmp_path / "x.txt", np.eye(3), np.array([500.0, 0, 0]), np.zeros(3))
    settings = PreprocessSettings(align="transforms")
    with pytest.raises(GeometryError, match="does not reach"):
        prepare(settings, name="x", source=path, target=path, transform=transform)


def test_a_given_mask_decides_where_the_patient_is(make_scan, write_scan):
    path, volume = make_scan(orientation="LPS")
    inside = np.zeros(volume.geometry.shape)
    inside[4:9, 5:8, 3:6] = 1
    mask = write_scan("mask", inside, volume.geometry.affine)
    settings = PreprocessSettings(mask="given", crop_margin_mm=0.0)
    prepared = prepare(settings, name="x", source=path, mask=mask)
    assert prepared.mask.shape == (1, 5, 3, 3)
    assert "mask" in prepared.fingerprint["inputs"]
    expected = np.percentile(volume.voxels[inside > 0].astype(np.float64), 99.5)
    np.testing.assert_allclose(prepared.source_scale.factor, expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda mask: mask * 0, "not only 0"),
        (lambda mask: mask * 0.5, "whole numbers"),
        (lambda mask: -mask, "whole numbers"),
        (lambda mask: mask[1:], "another grid"),
    ],
)
def test_a_given_mask_that_cannot_be_one_is_refused(make_scan, write_scan, spoil, message):
    path, volume = make_scan()
    mask = write_scan("mask", spoil(np.ones(volume.geometry.shape)), volume.geometry.affine)
    with pytest.raises((GeometryError, VolumeReadError), match=message):
        prepare(PreprocessSettings(mask="given"), name="x", source=path, mask=mask)
    with pytest.raises(VolumeReadError, match="no mask file"):
        prepare(PreprocessSettings(mask="given"), name="x", source=path)


def test_a_damaged_file_is_named_by_our_own_error(make_scan, tmp_path):
    path, _ = make_scan()
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VolumeReadError, match=r"cut\.nii\.gz"):
        prepare(PreprocessSettings(), name="x", source=path, target=cut)


def test_the_sorted_intensities_are_those_inside_the_mask(make_scan, write_scan):
    path, volume = make_scan()
    mask = np.zeros(volume.geometry.shape)
    mask[2:6, 3:] = 1
    given = write_scan("mask", mask, volume.geometry.affine)
    settings = PreprocessSettings(**PLAIN | {"mask": "given"})

    prepared = prepare(settings, name="x", source=path, mask=given)

    np.testing.assert_array_equal(prepared.ascending, np.sort(volume.voxels[mask > 0]))


def test_the_fingerprint_follows_voxels_geometry_and_settings(make_scan, write_scan):
    path, volume = make_scan()
    changed = volume.voxels.copy()
    changed[11, 9, 6] += 1
    shifted = volume.geometry.affine.copy()
    shifted[0, 3] += 0.01
    settings = PreprocessSettings()
    same = prepare(settings, name="a", source=path).fingerprint
    again = prepare(settings, name="b", source=path).fingerprint
    assert same == again
    others = [
        prepare(settings, name="x", source=write_scan("v", changed, volume.geometry.affine)),
        prepare(settings, name="x", source=write_scan("g", volume.voxels, shifted)),
    ]
    for other in others:
        assert other.fingerprint["inputs"] != same["inputs"]
        assert other.fingerprint["outputs"] != same["outputs"]
    cropped = prepare(PreprocessSettings(crop_margin_mm=1.0), name="x", source=path).fingerprint
    assert cropped["inputs"] == same["inputs"]
    assert cropped["settings"] != same["settings"]
    assert set(same["versions"]) >= {"medtranslate", "monai", "torch", "numpy", "SimpleITK"}


def test_bias_correction_flattens_a_field_and_leaves_ct_alone(make_volume, write_scan):
    volume = make_volume((40, 40, 30), spacing=(3.0, 3.0, 4.0))
    flat = np.where(volume.voxels > 0, 500.0, 0.0)
    slope = np.exp(np.linspace(-0.4, 0.4, 40))[:, None, None]
    path = write_scan("bias", flat * slope, volume.geometry.affine)
    settings = PreprocessSettings(n4=True, target_intensity=WindowIntensity())
    prepared = prepare(settings, name="x", source=path, target=path)
    plain = prepare(PreprocessSettings(), name="x", source=path)
    inside = ndimage.binary_erosion(array(prepared.mask) > 0, iterations=2)

    def variation(image):
        return np.std(array(image)[inside]) / np.mean(array(image)[inside])

    assert variation(prepared.source) < 0.3 * variation(plain.source)
    uncorrected = PreprocessSettings(target_intensity=WindowIntensity())
    ct = prepare(uncorrected, name="x", source=path, target=path)
    np.testing.assert_array_equal(array(prepared.target), array(ct.target))


def test_scales_are_plain_values(make_scan):
    path, _ = make_scan()
    scale = prepare(PreprocessSettings(), name="x", source=path).source_scale
    assert asdict(scale) == {"offset": 0.0, "factor": scale.factor, "unit": "arbitrary"}


def test_a_pair_on_one_grid_is_registered_only_if_asked(make_scan, write_scan):
    path, volume = make_scan()
    target = write_scan("target", np.roll(volume.voxels, 2, axis=1), volume.geometry.affine)
    left = prepare(PreprocessSettings(align="rigid"), name="x", source=path, target=target)
    assert left.registration is None
    settings = PreprocessSettings(align="rigid", register_same_grid=True)
    asked = prepare(settings, name="x", source=path, target=target)
    assert asked.registration is not None


def test_a_later_scan_shares_the_scale_of_the_first_whatever_its_gain(write_nifti, make_volume):
    scan = make_volume().voxels
    changed = scan.copy()
    changed[5:7, 4:6, 2:4] *= 3
    source = write_nifti(scan, name="a.nii.gz")
    target = write_nifti(2.5 * changed, name="b.nii.gz")
    settings = PreprocessSettings(target_intensity=SharedIntensity(), crop_margin_mm=None)

    prepared = prepare(settings, name="x", source=source, target=target)

    source_voxels, target_voxels = prepared.source[0].numpy(), prepared.target[0].numpy()
    ratio = target_voxels[source_voxels > 0] / source_voxels[source_voxels > 0]
    assert np.median(ratio) == pytest.approx(1, rel=1e-5)
    assert ratio.max() == pytest.approx(3, rel=1e-4)
    assert prepared.target_scale.factor == pytest.approx(2.5 * prepared.source_scale.factor)


def test_labels_go_where_their_scans_go(write_nifti, make_volume):
    scan = make_volume().voxels
    first, second = np.zeros(scan.shape, np.uint8), np.zeros(scan.shape, np.uint8)
    first[4:8, 3:6, 2:5], second[4:9, 3:6, 2:5] = 2, 2
    second[4, 3, 2] = 7
    paths = {
        "source": write_nifti(scan, name="a.nii.gz"),
        "target": write_nifti(scan, name="b.nii.gz"),
        "label": write_nifti(first, name="c.nii.gz"),
        "later": write_nifti(second, name="d.nii.gz"),
    }
    settings = PreprocessSettings(region_values=(2,), crop_margin_mm=0.0)

    prepared = prepare(settings, name="x", **paths)

    assert float(prepared.label.sum()) == (first == 2).sum()
    assert float(prepared.later.sum()) == (second == 2).sum()
    inside = prepared.label.numpy() > 0
    assert (prepared.later.numpy()[inside] == 1).sum() == inside.sum() - 1


@pytest.mark.parametrize("align", ["none", "rigid"])
def test_further_regions_go_where_the_followed_one_goes(write_nifti, make_volume, align):
    scan = make_volume().voxels
    labels = [np.zeros(scan.shape, np.uint8) for _ in range(2)]
    for values, end in zip(labels, (8, 9), strict=True):
        values[4:end, 3:6, 2:5], values[4:6, 3:6, 5:8] = 2, 7
    paths = {
        "source": write_nifti(scan, name="a.nii.gz"),
        "target": write_nifti(scan, name="b.nii.gz"),
        "label": write_nifti(labels[0], name="c.nii.gz"),
        "later": write_nifti(labels[1], name="d.nii.gz"),
    }
    further = {"whole": (2,), "other": (7, 9)}
    settings = PreprocessSettings(
        region_values=(2,), further_regions=further, align=align, spacing_mm=1.5
    )

    prepared = prepare(settings, name="x", **paths)

    assert set(prepared.further) == {"label-whole", "later-whole", "label-other", "later-other"}
    for key in ("label", "later"):
        alike = prepared.further[f"{key}-whole"].numpy()
        np.testing.assert_array_equal(alike, getattr(prepared, key).numpy())
        other = prepared.further[f"{key}-other"].numpy()
        assert other.max() > 0.5
        assert float((other + alike).max()) <= 1 + 1e-6
    assert "later-other" in prepared.fingerprint["outputs"]


def test_labels_on_another_grid_are_refused(write_nifti, make_volume):
    scan = make_volume().voxels
    source = write_nifti(scan, name="a.nii.gz")
    label = write_nifti(np.ones((3, 3, 3), np.uint8), name="c.nii.gz")

    with pytest.raises(GeometryError, match="labels of the source lie on another grid"):
        prepare(PreprocessSettings(), name="x", source=source, label=label)
