"""Finding the brain: known poses, every orientation, given masks, refusals, repeatability."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medtranslate.errors import VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import read_mask, read_volume
from medtranslate.preprocess import atlas, atlas_make
from medtranslate.preprocess.atlas import find_brain, load_template
from medtranslate.preprocess.atlas_fit import fit_template
from medtranslate.volume import Volume

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"

# Turned, stretched and moved, differently along each axis: template point to patient point.
POSE = np.array(
    [
        [0.91, 0.11, -0.05, 14.0],
        [-0.12, 0.88, 0.24, -31.0],
        [0.06, -0.23, 0.85, 42.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def in_template(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Position in the packaged template of every voxel of a scan of the posed head."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    back = np.linalg.inv(load_template().affine) @ np.linalg.inv(POSE) @ affine
    return (back[:3, :3] @ index + back[:3, 3:]).reshape(3, *shape)


def pose_head(affine: np.ndarray, shape: tuple[int, int, int]) -> tuple[Volume, np.ndarray]:
    """The template's brain in a dark skull under a bright scalp that is thicker on one side."""
    template = load_template()
    where = in_template(affine, shape)
    distance = ndimage.map_coordinates(template.distance_mm, where, order=1, mode="nearest")
    t1w = ndimage.map_coordinates(template.t1w, where, order=1)
    shell = np.where(where[0] > 43, 13.0, 10.0)
    scalp = (distance > 6) & (distance < shell)
    noise = np.random.default_rng(3).normal(0, 4, shape)
    head = np.where(distance < 0, t1w, np.where(scalp, 700.0, 25.0 * (distance < 6)))
    voxels = np.abs(head + noise).astype(np.float32)
    return Volume(voxels[None], Geometry(shape, affine), "T1w"), distance < 0


def clinical_affine(make_affine, orientation: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Thick axial slices over the posed head, in any orientation."""
    spacing = {"R": 1.3, "L": 1.3, "A": 1.5, "P": 1.5, "S": 4.0, "I": 4.0}
    extent = {"R": 200.0, "L": 200.0, "A": 230.0, "P": 230.0, "S": 190.0, "I": 190.0}
    shape = tuple(int(extent[c] / spacing[c]) for c in orientation)
    sizes = tuple(spacing[c] for c in orientation)
    affine = make_affine(orientation, spacing=sizes, degrees=(4.0, -3.0, 5.0))
    middle = POSE[:3, :3] @ load_template().centre + POSE[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine, (shape[0], shape[1], shape[2])


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_known_pose_of_the_average_brain_is_found_under_skull_and_scalp(make_affine, orientation):
    affine, shape = clinical_affine(make_affine, orientation)
    volume, brain = pose_head(affine, shape)

    fit = fit_template(volume, load_template())
    found = find_brain(volume)

    inside = np.argwhere(load_template().distance_mm < 0)[::97]
    points = load_template().affine @ np.vstack([inside.T, np.ones(len(inside))])
    error = np.linalg.norm(((fit.world - POSE) @ points)[:3], axis=0)
    np.testing.assert_array_less(error, 3.0)
    np.testing.assert_array_less(0.96, dice(found, brain))


def test_far_from_the_scanner_centre_the_same_brain_is_found(make_affine):
    affine, shape = clinical_affine(make_affine, "RAS")
    volume, _ = pose_head(affine, shape)
    moved = affine.copy()
    moved[:3, 3] += (150.0, -400.0, 900.0)

    here = find_brain(volume)
    there = find_brain(Volume(volume.array, Geometry(shape, moved), "T1w"))

    np.testing.assert_array_less(0.999, dice(here, there))


def test_result_is_one_piece_without_holes(make_affine):
    volume, _ = pose_head(*clinical_affine(make_affine, "RAS"))

    found = find_brain(volume)

    np.testing.assert_equal(found.dtype, np.bool_)
    np.testing.assert_equal(ndimage.label(found)[1], 1)
    np.testing.assert_array_equal(ndimage.binary_fill_holes(found), found)


@pytest.mark.parametrize("subject", ["phantom01", "phantom06"])
def test_sample_scans_agree_with_their_true_brain_mask(subject):
    volume = read_volume(SAMPLE / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz")
    truth = SAMPLE / f"derivatives/truth/sub-{subject}/anat/sub-{subject}_desc-brain_mask.nii.gz"

    found = find_brain(volume)

    np.testing.assert_array_less(0.96, dice(found, read_mask(truth, like=volume.geometry)))


@pytest.mark.parametrize(
    "voxels",
    [
        np.zeros((40, 40, 40)),
        np.full((40, 40, 40), 7.0),
        np.random.default_rng(0).normal(100, 20, (60, 60, 60)),
        np.pad(np.full((50, 40, 30), 100.0), 10),
    ],
    ids=["zeros", "constant", "noise", "box"],
)
def test_volume_without_a_brain_is_refused(voxels):
    volume = Volume(
        voxels.astype(np.float32)[None], Geometry(voxels.shape, np.diag([3.0, 3.0, 3.0, 1.0]))
    )
    with pytest.raises(VolumeReadError, match="no brain found .* give a mask"):
        find_brain(volume)


@pytest.mark.timeout(600)  # two fresh interpreters, on a machine that may be busy
def test_number_of_threads_changes_no_voxel():
    scan = SAMPLE / "sub-phantom02/anat/sub-phantom02_T1w.nii.gz"
    program = (
        "import hashlib, sys; from medtranslate.io import read_volume;"
        "from medtranslate.preprocess.atlas import find_brain;"
        "print(hashlib.sha256(find_brain(read_volume(sys.argv[1])).tobytes()).hexdigest())"
    )
    digests = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        names += ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",)
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        done = subprocess.run(
            [sys.executable, "-c", program, str(scan)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(done.stdout.strip())
    np.testing.assert_equal(len(digests[0]), hashlib.sha256().digest_size * 2)
    np.testing.assert_equal(digests[0], digests[1])


def test_packaged_template_is_what_the_command_makes(tmp_path):
    pytest.importorskip("nilearn", reason="nilearn, the template's origin, is not installed")
    folder = Path(atlas.__file__).with_name("template")

    atlas_make.main(tmp_path)

    for name in (atlas.T1W_FILE, atlas.MASK_FILE):
        packaged, made = nibabel.load(folder / name), nibabel.load(tmp_path / name)
        np.testing.assert_array_equal(packaged.affine, made.affine)
        np.testing.assert_array_equal(np.asarray(packaged.dataobj), np.asarray(made.dataobj))


def test_packaged_template_is_small_and_carries_its_notice():
    folder = Path(atlas.__file__).with_name("template")
    size = sum(path.stat().st_size for path in folder.glob("*.nii.gz"))
    np.testing.assert_array_less(size, 600_000)
    np.testing.assert_equal("Louis Collins" in (folder / "LICENSE.txt").read_text(), True)


def given_mask(data: Path, subject: str, session: str, volume: Volume) -> np.ndarray:
    """The brain mask of the common grid on the T1w's grid, as open_ms_long's README says."""
    folder = data / "open_ms_long/derivatives"
    stem = folder / f"transforms/sub-{subject}/ses-{session}/sub-{subject}_ses-{session}_from-"
    to_flair = sitk.ReadTransform(f"{stem}T1w_to-FLAIR_xfm.txt")
    to_common = sitk.ReadTransform(f"{stem}FLAIR_to-common_xfm.txt")
    path = folder / f"masks/sub-{subject}/sub-{subject}_space-common_desc-brain_mask.nii.gz"
    mask = nibabel.load(path)
    flip = np.diag([-1.0, -1.0, 1.0])
    index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"))
    affine = volume.geometry.affine
    points = flip @ (affine[:3, :3] @ index.reshape(3, -1) + affine[:3, 3:])
    for transform in (to_flair.GetInverse(), to_common.GetInverse()):
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        columns = [np.array(transform.TransformPoint(p)) - origin for p in np.eye(3).tolist()]
        points = np.stack(columns, axis=1) @ points + origin[:, None]
    back = np.linalg.inv(mask.affine)
    where = back[:3, :3] @ flip @ points + back[:3, 3:]
    values = ndimage.map_coordinates(np.asarray(mask.dataobj, dtype=np.float32), where, order=1)
    return (values > 0.5).reshape(volume.geometry.shape)


@pytest.mark.parametrize(
    ("subject", "session"),
    [
        ("omsL04", "1"),
        pytest.param("omsL01", "1", marks=pytest.mark.slow),
        pytest.param("omsL01", "2", marks=pytest.mark.slow),
        pytest.param("omsL20", "2", marks=pytest.mark.slow),
    ],
)
def test_clinical_heads_agree_with_their_given_masks(shared_data, subject, session):
    scan = f"open_ms_long/sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_T1w.nii.gz"
    volume = read_volume(shared_data / scan, modality="T1w")

    found = find_brain(volume)

    truth = given_mask(shared_data, subject, session, volume)
    np.testing.assert_array_less(0.94, dice(found, truth))


@pytest.mark.parametrize(
    "scan",
    [
        "open_ms_cross/sub-omsC07/anat/sub-omsC07_space-MNI_desc-brain_T1w.nii.gz",
        pytest.param(
            "cstar_stroke/sub-cstar01/anat/sub-cstar01_desc-brain_T1w.nii.gz",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "brats_gli/sub-bratsGLI00001/anat/sub-bratsGLI00001_space-SRI24_desc-brain_T1w.nii.gz",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_skull_stripped_brains_are_kept_nearly_whole(shared_data, scan):
    volume = read_volume(shared_data / scan, modality="T1w")

    found = find_brain(volume)

    np.testing.assert_array_less(0.95, dice(found, ndimage.binary_fill_holes(volume.voxels != 0)))


@pytest.mark.slow
def test_tumour_patient_in_slices_of_5_mm_has_a_brain_of_plausible_size(shared_data):
    folder = shared_data / "tcga_lgg/sub-tcgaFG6692/anat"
    plain = read_volume(folder / "sub-tcgaFG6692_T1w.nii.gz", modality="T1w")
    enhanced = read_volume(folder / "sub-tcgaFG6692_ce-gadolinium_T1w.nii.gz", modality="T1w")

    found = find_brain(plain)

    litres = found.sum() * np.prod(plain.geometry.spacing) / 1e6
    np.testing.assert_allclose(litres, 1.6, atol=0.15)
    np.testing.assert_equal(plain.geometry.matches(enhanced.geometry), True)
    np.testing.assert_array_less(0.92, dice(found, find_brain(enhanced)))
