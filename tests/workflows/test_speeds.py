import numpy as np
import pytest

from medtranslate.workflows.speeds import Speeds


def test_drawn_speeds_have_the_spread_that_was_measured():
    drawn = np.log(Speeds(0.4, 8).draw(20_000, seed=1))

    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.std() == pytest.approx(0.4, rel=0.02)


def test_the_seed_decides_the_noise():
    speeds = Speeds(0.4, 8)

    np.testing.assert_array_equal(speeds.draw(5, seed=1), speeds.draw(5, seed=1))
    assert not np.array_equal(speeds.draw(5, seed=1), speeds.draw(5, seed=2))


def test_speeds_survive_json_and_damage_is_told():
    assert Speeds.from_json(Speeds(0.3, 4).to_json()) == Speeds(0.3, 4)
    with pytest.raises(ValueError, match="log_sd"):
        Speeds.from_json({})
