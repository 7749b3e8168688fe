import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume
from medtranslate.preprocess import registration
from medtranslate.preprocess.masks import find_head
from medtranslate.preprocess.registration import (
    RegistrationReport,
    read_itk_transform,
    register_rigid,
    single_thread,
    to_simpleitk,
)
from medtranslate.volume import Volume

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def anatomy(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tissue at places in mm, in two contrasts; an asymmetric head with ventricles and a lesion."""
    x, y, z = points

    def ball(centre, radii):
        a, b, c = centre
        u, v, w = radii
        distance = ((x - a) / u) ** 2 + ((y - b) / v) ** 2 + ((z - c) / w) ** 2
        return 0.5 * (1 - np.tanh(6 * (distance - 1)))

    head = ball((0, 0, 0), (70, 85, 65))
    brain = ball((0, 3, 2), (58, 72, 52))
    folds = np.sin(x / 7) * np.cos(y / 9 + 1) * np.sin(z / 8 + 0.5)
    ventricle = ball((12, 10, 8), (9, 28, 10)) + ball((-14, 6, 5), (7, 22, 9))
    lesion = ball((30, -25, 15), (9, 7, 8))
    first = 300 * head + brain * (400 + 120 * folds) - 600 * ventricle - 100 * lesion
    second = 500 * head + brain * (100 - 150 * folds) + 700 * ventricle + 300 * lesion
    return np.clip(first, 0, None), np.clip(second, 0, None)


def scan(shape, affine, motion, *, contrast) -> Volume:
    """The head seen after the patient moved by ``motion``, on a grid."""
    index = np.vstack([np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    points = (np.linalg.inv(motion) @ affine @ index)[:3]
    voxels = anatomy(points)[contrast].reshape(shape).astype(np.float32)
    noise = np.abs(np.random.default_rng(contrast).normal(0, 8, shape))
    return Volume((voxels + noise).astype(np.float32)[None], Geometry(shape, affine))


def motion_of(degrees, shift):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    motion[:3, 3] = shift
    return motion


def centred(affine, shape):
    placed = affine.copy()
    placed[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)
    return placed


@pytest.fixture
def fixed(make_affine) -> Volume:
    shape = (64, 72, 32)
    return scan(
        shape,
        centred(make_affine("LAS", spacing=(2.5, 2.6, 4.6), degrees=(2, -3, 1)), shape),
        np.eye(4),
        contrast=0,
    )


def mean_error(found: np.ndarray, truth: np.ndarray, fixed: Volume) -> float:
    head = np.argwhere(find_head(fixed.voxels, fixed.geometry.spacing))[::53]
    points = fixed.geometry.affine @ np.vstack([head.T, np.ones(len(head))])
    return float(np.linalg.norm(((found - truth) @ points)[:3], axis=0).mean())


@pytest.mark.parametrize(("degrees", "shift"), [((0, 0, 0), (0, 0, 0)), ((6, -4, 9), (8, -12, 7))])
def test_a_known_motion_is_found_across_contrasts_and_grids(fixed, make_affine, degrees, shift):
    motion = motion_of(degrees, shift)
    shape = (60, 40, 70)
    grid = centred(make_affine("PSR", spacing=(3.2, 4.0, 2.4), degrees=(-2, 4, 3)), shape)
    moving = scan(shape, grid, motion, contrast=1)
    found, report = register_rigid(fixed, moving)
    # A point of the fixed scan is found at motion @ point in the moving one.
    assert mean_error(found, motion, fixed) < 0.6
    assert not report.worse
    assert report.mi_after > 0.99 * report.mi_before
    moved = np.linalg.norm(shift) > 0
    assert (report.displacement_mm > 10) == moved
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-9)


def test_scans_that_do_not_overlap_by_their_headers_are_brought_together(fixed):
    motion = motion_of((3, 2, -4), (300, 20, -15))
    grid = fixed.geometry.affine.copy()
    grid[:3, 3] += (300, 20, -15)
    moving = scan(fixed.geometry.shape, grid, motion, contrast=1)
    found, report = register_rigid(fixed, moving)
    assert mean_error(found, motion, fixed) < 1.0
    assert abs(report.mi_before) < 1e-6


def test_a_search_that_ends_worse_is_flagged_and_the_headers_are_kept(fixed, monkeypatch):
    moving = scan(fixed.geometry.shape, fixed.geometry.affine, np.eye(4), contrast=1)

    def slide(level, start):
        wrong = sitk.Euler3DTransform(start)
        wrong.SetTranslation((25.0, -10.0, 8.0))
        return wrong

    monkeypatch.setattr(registration, "_optimise", slide)
    found, report = register_rigid(fixed, moving)
    assert report.worse
    assert report.mi_after < report.mi_before
    assert report.displacement_mm == 0
    np.testing.assert_array_equal(found, np.eye(4))


def test_a_constant_image_cannot_be_registered_onto(fixed):
    flat = Volume(np.zeros_like(fixed.array), fixed.geometry)
    with pytest.raises(GeometryError, match="constant"):
        register_rigid(flat, fixed)


def test_the_displacement_is_that_of_the_farthest_corner():
    mask = np.zeros((10, 10, 10), bool)
    mask[2:5, 3:9, 1:3] = True
    turned = motion_of((0, 0, 90), (1.0, 0.0, 0.0))
    found = registration._displacements(turned, mask, Geometry(mask.shape, np.eye(4)))
    # (x, y) -> (1 - y, x); farthest corner of x in {2, 4}, y in {3, 8}.
    expected = max(np.hypot(1 - y - x, x - y) for x in (2, 4) for y in (3, 8))
    np.testing.assert_allclose(found.max(), expected)


def test_itk_sees_every_voxel_where_the_affine_says(make_volume):
    volume = make_volume((7, 6, 5), orientation="PIR")
    image = to_simpleitk(volume.voxels, volume.geometry.affine)
    for index in ((0, 0, 0), (6, 0, 0), (1, 4, 2), (3, 5, 4)):
        expected = (FLIP @ volume.geometry.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(
            image.TransformContinuousIndexToPhysicalPoint(index), expected, atol=1e-9
        )
        assert image[index] == volume.voxels[index]


def test_a_transform_file_is_read_as_itk_reads_it(tmp_path):
    matrix = Rotation.from_euler("xyz", (4, -6, 9), degrees=True).as_matrix() * 1.01
    transform = sitk.AffineTransform(matrix.ravel().tolist(), (2.0, -3.0, 1.5), (20.0, -5.0, 40.0))
    euler = sitk.Euler3DTransform((5.0, 6.0, 7.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    for name, written in (("affine.txt", transform), ("euler.tfm", euler)):
        sitk.WriteTransform(written, str(tmp_path / name))
        world = read_itk_transform(tmp_path / name)
        for point in ((0, 0, 0), (10, -20, 30), (-40, 5, 60)):
            lps = written.TransformPoint((-point[0], -point[1], point[2]))
            np.testing.assert_allclose(
                (world @ [*point, 1])[:3], [-lps[0], -lps[1], lps[2]], atol=1e-9
            )


def test_files_that_are_no_linear_transform_are_refused(tmp_path):
    with pytest.raises(VolumeReadError, match="no such transform"):
        read_itk_transform(tmp_path / "absent.txt")
    (tmp_path / "text.txt").write_text("hello\n")
    with pytest.raises(VolumeReadError, match=r"text\.txt"):
        read_itk_transform(tmp_path / "text.txt")
    bent = sitk.BSplineTransformInitializer(sitk.Image(8, 8, 8, sitk.sitkUInt8), [2, 2, 2])
    sitk.WriteTransform(bent, str(tmp_path / "bent.tfm"))
    with pytest.raises(VolumeReadError, match="linear"):
        read_itk_transform(tmp_path / "bent.tfm")
    flat = sitk.AffineTransform([1, 0, 0, 0, 1, 0, 0, 0, 0], (0, 0, 0))
    sitk.WriteTransform(flat, str(tmp_path / "flat.txt"))
    with pytest.raises(VolumeReadError, match="inverted"):
        read_itk_transform(tmp_path / "flat.txt")


def test_one_thread_inside_and_as_many_as_before_outside():
    default = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(5)
    inside = []

    def compute():
        with single_thread():
            inside.append(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        compute()
    np.testing.assert_array_equal(inside, [1])
    after = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(default)
    assert after == 5


def test_the_report_survives_json():
    report = RegistrationReport(0.1, 0.4, 3.5, False)
    assert RegistrationReport.from_json(report.to_json()) == report


@pytest.mark.parametrize(
    ("subject", "session", "contrast"),
    [
        ("omsL03", "2", "T1w"),
        pytest.param("omsL01", "1", "T1w", marks=pytest.mark.slow),
        pytest.param("omsL01", "1", "T2w", marks=pytest.mark.slow),
        pytest.param("omsL03", "1", "T2w", marks=pytest.mark.slow),
        pytest.param("omsL04", "1", "T1w", marks=pytest.mark.slow),
        pytest.param("omsL04", "1", "T2w", marks=pytest.mark.slow),
        pytest.param("omsL20", "2", "T1w", marks=pytest.mark.slow),
    ],
)
def test_real_scans_register_as_their_published_transforms_say(
    shared_data, subject, session, contrast, record_property
):
    root = shared_data / "open_ms_long"
    stem = f"sub-{subject}_ses-{session}"
    anat = root / f"sub-{subject}" / f"ses-{session}" / "anat"
    files = root / "derivatives" / "transforms" / f"sub-{subject}" / f"ses-{session}"
    fixed = read_volume(anat / f"{stem}_FLAIR.nii.gz")
    found, report = register_rigid(fixed, read_volume(anat / f"{stem}_{contrast}.nii.gz"))
    published = read_itk_transform(files / f"{stem}_from-{contrast}_to-FLAIR_xfm.txt")
    error = mean_error(found, published, fixed)
    record_property("mean_difference_mm", error)
    record_property("mean_motion_mm", mean_error(np.eye(4), published, fixed))
    # The published ones are affine (up to 1.6 % of size), ours are rigid; slices are 3 to 4 mm.
    assert error < 1.0
    assert not report.worse


def test_a_small_rotation_is_not_lost_in_the_noise(fixed):
    motion = motion_of((0, 0, 2), (0, 0, 0))
    moving = scan(fixed.geometry.shape, fixed.geometry.affine, motion, contrast=1)
    found, _ = register_rigid(fixed, moving)
    error = mean_error(found, motion, fixed)
    assert error < 0.5 * mean_error(np.eye(4), motion, fixed)
