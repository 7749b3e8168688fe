from __future__ import annotations

import numpy as np
import pytest

from medtranslate.phantom.mass_effect import swelling_velocity


def box() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A swelling ball off the middle, fluid at one end, and a skull around both."""
    skull = np.zeros((22, 18, 16), bool)
    skull[2:-2, 2:-2, 2:-2] = True
    i, j, k = np.indices(skull.shape)
    ball = np.exp(-((i - 8) ** 2 + (j - 8) ** 2 + (k - 7) ** 2) / 8.0)
    room = np.where(skull & (i > 16), 0.8, 0.0)
    return 0.3 * ball * skull, room, skull


def test_what_swells_takes_the_room_of_the_fluid_and_nothing_leaves_the_skull() -> None:
    expansion, room, skull = box()

    velocity = swelling_velocity(expansion, room, skull, spacing_mm=2.0)

    inner = np.s_[4:-4, 4:-4, 4:-4]
    divergence = sum(np.gradient(part, 2.0, axis=axis) for axis, part in enumerate(velocity))
    given = room * expansion[skull].sum() / room.sum()
    away = (expansion < 1e-4) & (np.indices(skull.shape)[0] < 15)
    np.testing.assert_allclose(divergence[8, 8, 7], expansion[8, 8, 7], rtol=0.35)
    assert np.abs(divergence[inner][away[inner]]).max() < 0.005
    assert not velocity[:, ~skull].any()
    np.testing.assert_allclose(divergence[18, 8, 7], -given[18, 8, 7], rtol=0.35)


def test_it_moves_away_from_the_swelling_in_millimetres() -> None:
    expansion, room, skull = box()

    fine, coarse = (swelling_velocity(expansion, room, skull, spacing_mm=mm) for mm in (1.0, 3.0))

    assert fine[0, 11, 8, 7] > 0 > fine[0, 5, 8, 7]
    assert fine[2, 8, 8, 10] > 0 > fine[2, 8, 8, 4]
    np.testing.assert_allclose(coarse, 3.0 * fine, atol=1e-4)


def test_without_room_nothing_can_swell() -> None:
    expansion, room, skull = box()

    with pytest.raises(ValueError, match="no room within the skull"):
        swelling_velocity(expansion, 0 * room, skull, spacing_mm=1.0)
