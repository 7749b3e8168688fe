from __future__ import annotations

import numpy as np
import pytest

from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.deformation import rotation
from medtranslate.phantom.fields import Field, Texture, grid_points
from medtranslate.phantom.pathology import Lesion, draw_lesions, lesion_cover, scale_lesions

SMOOTH = Texture((Field(np.zeros((2, 2, 2)), np.zeros(3), 100.0),))
POINTS = grid_points((40, 36, 32), np.array([-20.0, -17.0, -16.0]), 1.0)


def lesion(radii: tuple[float, float, float], axes: np.ndarray | None = None) -> Lesion:
    """A lesion a little off the origin."""
    return Lesion(np.array([1.0, 2.0, -1.0]), np.array(radii), np.eye(3) if axes is None else axes)


def test_a_smooth_lesion_has_the_volume_of_its_ellipsoid() -> None:
    cover = lesion_cover((lesion((6.0, 7.0, 8.0)),), POINTS, SMOOTH, border_mm=1.0)

    np.testing.assert_allclose(cover.sum(), 4 / 3 * np.pi * 6 * 7 * 8, rtol=0.02)
    assert cover[21, 19, 15] == 1.0
    assert cover[0, 0, 0] == 0.0


def test_the_long_axis_points_where_the_rotation_says() -> None:
    axes = rotation(np.array([0.0, 0.0, 30.0]))

    cover = lesion_cover((lesion((10.0, 3.0, 3.0), axes),), POINTS, SMOOTH, border_mm=1.0)

    inside = POINTS[:, cover > 0.5]
    spread = np.linalg.eigh(np.cov(inside))
    direction = spread.eigenvectors[:, -1]
    np.testing.assert_allclose(inside.mean(axis=1), [1.0, 2.0, -1.0], atol=0.2)
    np.testing.assert_allclose(np.abs(direction @ [np.sqrt(0.75), 0.5, 0.0]), 1.0, atol=0.01)
    assert spread.eigenvalues[-1] > 5.0 * spread.eigenvalues[-2]


def test_larger_lesions_cover_no_voxel_less() -> None:
    rough = Texture(
        (Field(np.random.default_rng(1).normal(size=(9, 9, 9)), np.full(3, -20.0), 5.0),)
    )
    lesions = (lesion((4.0, 5.0, 3.0)), lesion((2.0, 2.0, 6.0)))

    covers = [
        lesion_cover(scale_lesions(lesions, factor), POINTS, rough, border_mm=1.5)
        for factor in (1.0, 1.3)
    ]

    assert (covers[1] >= covers[0]).all()
    assert covers[1].sum() > 1.8 * covers[0].sum()


@pytest.mark.parametrize("number", [0, 12])
def test_lesions_lie_in_white_matter_mostly_near_the_ventricles(
    template: Template, number: int
) -> None:
    drawn = draw_lesions(np.random.default_rng(6), template, number=number)

    centres = np.array([one.centre for one in drawn]).reshape(-1, 3).T
    assert len(drawn) == number
    assert (template.white.at(centres) > 0.5).all()
    assert not number or np.median(template.ventricles.at(centres)) < 15.0
