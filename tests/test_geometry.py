"""Grids: what is refused, and what is read off an affine."""

from __future__ import annotations

from collections.abc import Callable

import nibabel
import numpy as np
import pytest

from medtranslate.errors import GeometryError
from medtranslate.geometry import Geometry

MakeAffine = Callable[..., np.ndarray]


def test_orientation_is_that_of_nibabel(make_affine: MakeAffine, orientation: str) -> None:
    affine = make_affine(orientation, degrees=(5.0, -8.0, 12.0))

    found = Geometry((13, 10, 7), affine).orientation

    assert found == orientation
    assert found == "".join(nibabel.aff2axcodes(affine))


def test_spacing_is_the_length_of_each_voxel_axis(make_affine: MakeAffine) -> None:
    affine = make_affine("PIR", spacing=(0.9, 1.4, 3.1), degrees=(20.0, 3.0, -9.0))

    np.testing.assert_allclose(Geometry((4, 5, 6), affine).spacing, (0.9, 1.4, 3.1))


def test_orientation_of_a_steep_oblique_grid_names_each_direction_once() -> None:
    affine = np.eye(4)
    affine[:2, :2] = [[1, -1], [1, 1]]

    letters = Geometry((2, 2, 2), affine).orientation

    assert sorted("LRPAIS".index(c) // 2 for c in letters) == [0, 1, 2]


def test_grids_match_within_the_tolerance_at_every_corner(make_affine: MakeAffine) -> None:
    shape = (200, 200, 200)
    one, other = Geometry(shape, make_affine()), make_affine()
    other[0, 0] += 0.009 / 199

    assert one.matches(Geometry(shape, other))

    other[0, 0] += 0.009 / 199

    assert not one.matches(Geometry(shape, other))
    assert one.matches(Geometry(shape, other), tolerance_mm=0.05)


def test_a_flipped_grid_does_not_match(make_affine: MakeAffine) -> None:
    assert not Geometry((4, 5, 6), make_affine("RAS")).matches(
        Geometry((4, 5, 6), make_affine("LAS"))
    )


def test_a_grid_of_another_shape_does_not_match(make_affine: MakeAffine) -> None:
    assert not Geometry((4, 5, 6), make_affine()).matches(Geometry((4, 5, 7), make_affine()))


def changed(row: int, column: int, value: float) -> np.ndarray:
    """The identity with one entry changed."""
    affine = np.eye(4)
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), r"affine has shape \(3, 3\)"),
        (changed(0, 3, np.nan), "NaN or infinite"),
        (changed(3, 0, 0.5), "last row"),
        (changed(2, 2, 0.0), "no length"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "parallel"),
        (changed(0, 1, 0.1), "sheared"),
    ],
)
def test_an_affine_that_places_no_voxels_is_refused(affine: np.ndarray, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        Geometry((2, 3, 4), affine)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3), (2, 3, 4, 1)])
def test_a_shape_that_is_not_three_positive_numbers_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="three positive numbers"):
        Geometry(shape, np.eye(4))  # type: ignore[arg-type]  # the wrong shape is the point


def test_a_shear_below_a_hundredth_is_rounding() -> None:
    assert Geometry((2, 3, 4), changed(0, 1, 0.005)).spacing[0] == 1.0


def test_a_description_says_shape_spacing_and_orientation(make_affine: MakeAffine) -> None:
    geometry = Geometry((13, 10, 7), make_affine("LPS"))

    assert geometry.describe() == "13x10x7 voxels of 0.9x1.4x3.1 mm, LPS"
