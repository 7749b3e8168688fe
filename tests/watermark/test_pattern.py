import numpy as np

from medtranslate.watermark.pattern import PERIOD, draw_pattern, gather, in_band, spread


def test_a_pattern_is_noise_of_its_band_alone(key):
    pattern = draw_pattern(key)
    power = np.abs(np.fft.fftn(pattern)) ** 2
    frequency = 2 * np.pi * np.fft.fftfreq(PERIOD)
    radius = np.sqrt(frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency**2)
    assert power[(radius >= 0.799) & (radius <= 2.501)].sum() > 0.9999 * power.sum()
    np.testing.assert_allclose([pattern.mean(), pattern.std()], [0, 1], atol=1e-4)
    assert np.abs(pattern).max() < 7


def test_keys_draw_patterns_without_relation(key, stranger):
    one, again, other = draw_pattern(key), draw_pattern(key), draw_pattern(stranger)
    np.testing.assert_array_equal(one, again)
    assert abs(float((one * other).mean())) < 5 / PERIOD**1.5


def test_the_band_fits_the_real_transform_of_odd_and_even_sizes():
    for shape in ((9, 10, 11), (8, 7, 12)):
        assert in_band(shape).shape == np.fft.rfftn(np.zeros(shape)).shape
        assert not in_band(shape)[0, 0, 0]


def test_gathering_adds_up_what_spreading_repeats():
    draw = np.random.default_rng(0)
    pattern = draw.normal(size=(PERIOD,) * 3)
    field = draw.normal(size=(PERIOD + 3, 5, 2 * PERIOD + 1))

    assert spread(pattern, field.shape)[PERIOD + 1, 4, 2 * PERIOD] == pattern[1, 4, 0]
    np.testing.assert_allclose(
        (spread(pattern, field.shape) * field).sum(), (pattern * gather(field)).sum()
    )
