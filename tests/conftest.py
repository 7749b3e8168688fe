"""What tests of several packages share: real scans where they exist, and small analytic ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.volume import Volume

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

OBLIQUE_SHAPE = (13, 10, 7)
OBLIQUE_SPACING = (0.9, 1.4, 3.1)

ORIENTATIONS = [
    "".join(pair[side] for pair, side in zip(order, sides, strict=True))
    for order in permutations(("LR", "PA", "IS"))
    for sides in product((0, 1), repeat=3)
]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of openly licensed real scans beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder of real scans (../shared/data beside the repository) is absent")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of settings for the tests: no key of the user's is made or used."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("settings")
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        yield folder


@pytest.fixture(params=ORIENTATIONS)
def orientation(request: pytest.FixtureRequest) -> str:
    """Each of the 48 ways in which voxel axes can run along the patient's."""
    return str(request.param)


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotation matrix about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        matrix = step @ matrix
    return matrix


def build_affine(
    orientation: str = "RAS",
    *,
    spacing: tuple[float, float, float] = OBLIQUE_SPACING,
    degrees: tuple[float, float, float] = (0.0, 0.0, 0.0),
    origin: tuple[float, float, float] = (-31.5, 17.25, 44.0),
) -> np.ndarray:
    """Affine whose voxel axes run along ``orientation``, turned by ``degrees``, in mm."""
    axes = np.zeros((3, 3))
    for voxel, letter in enumerate(orientation):
        world = next(n for n, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        axes[world, voxel] = 1.0 if letter in "RAS" else -1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ axes * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def analytic_voxels(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """A value for each place in the world: same in every direction nowhere, so no flip can hide.

    Float32, from 0 to about 1000: an off-centre ellipsoid with a gradient, a small ball on one
    side, background 0.
    """
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    x, y, z = (affine[:3, :3] @ index + affine[:3, 3:]).astype(np.float64)
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    u, v, w = x - centre[0], y - centre[1], z - centre[2]
    reach = np.abs(affine[:3, :3]) @ (np.array(shape) / 2)
    inside = (u / reach[0]) ** 2 + (v / reach[1]) ** 2 + (w / reach[2]) ** 2 < 0.8
    values = 400.0 + 20.0 * u + 11.0 * v + 7.0 * w + 5.0 * np.sin(u / 2) * np.cos(v / 3)
    ball = (u - 0.4 * reach[0]) ** 2 + (v + 0.3 * reach[1]) ** 2 + (w - 0.2 * reach[2]) ** 2 < 6.0
    voxels = np.where(inside, np.clip(values, 1.0, None) + 300.0 * ball, 0.0)
    return voxels.reshape(shape).astype(np.float32)


@pytest.fixture
def make_affine() -> Callable[..., np.ndarray]:
    """`build_affine`: an affine by orientation letters, spacing, rotation and origin."""
    return build_affine


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """Function that builds an oblique, anisotropic, asymmetric volume; options by keyword."""

    def build(
        shape: tuple[int, int, int] = OBLIQUE_SHAPE,
        *,
        orientation: str = "RAS",
        spacing: tuple[float, float, float] = OBLIQUE_SPACING,
        degrees: tuple[float, float, float] = (5.0, -8.0, 12.0),
        origin: tuple[float, float, float] = (-31.5, 17.25, 44.0),
        modality: str | None = "T1w",
    ) -> Volume:
        affine = build_affine(orientation, spacing=spacing, degrees=degrees, origin=origin)
        return Volume(analytic_voxels(shape, affine)[None], Geometry(shape, affine), modality)

    return build


@pytest.fixture
def oblique_volume(make_volume: Callable[..., Volume]) -> Volume:
    """One small oblique, anisotropic, asymmetric volume."""
    return make_volume()


@pytest.fixture
def write_nifti(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes an array through nibabel alone, to check our own reader against."""

    def write(
        array: np.ndarray,
        *,
        name: str = "scan.nii.gz",
        affine: np.ndarray | None = None,
        sform: tuple[np.ndarray, int] | None = None,
        qform: tuple[np.ndarray, int] | None = None,
        units: str = "mm",
    ) -> Path:
        place = build_affine("LAS", degrees=(5.0, -8.0, 12.0)) if affine is None else affine
        image = nibabel.Nifti1Image(array, place, dtype=array.dtype)
        image.header.set_xyzt_units(units)
        image.set_sform(*(sform or (place, 1)))
        image.set_qform(*(qform or (place, 1)))
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return write
