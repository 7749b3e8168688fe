"""Panels as PNG."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image

from medtranslate.report.panels import Window
from medtranslate.report.pictures import draw_panels, error_gradient

WINDOW = Window(low=0.0, high=1.0, error=0.5)


def decode(panel):
    data = panel.uri.removeprefix("data:image/png;base64,")
    return image.imread(io.BytesIO(base64.b64decode(data)), format="png")[..., :3]


def draw(picture):
    return draw_panels(
        picture, WINDOW, source_name="T1w", target_name="T2w", method="cgan", error_unit="HU"
    )


def yellow(pixels):
    """Share of pixels in the colour of the mark."""
    return float(((pixels[..., 0] > 0.8) & (pixels[..., 2] < 0.55)).mean())


def test_titles_say_what_is_synthetic_and_what_is_real(make_picture):
    titles = [panel.title for panel in draw(make_picture())]

    assert titles == ["Source T1w", "Synthetic T2w", "Real T2w", "Synthetic − real"]


def test_only_the_synthetic_panel_carries_the_burned_in_mark(make_picture):
    marked = [yellow(decode(panel)) > 1e-3 for panel in draw(make_picture())[:3]]

    assert marked == [False, True, False]


def test_the_mark_is_legible_on_bright_tissue(make_picture):
    picture = make_picture()
    white = replace(picture, prediction=np.ones_like(picture.prediction))

    pixels = decode(draw(white)[1])

    letters = yellow(pixels)
    edges = float((pixels.max(axis=-1) < 0.2).mean())
    assert edges > letters > 1e-3


def test_without_a_source_there_are_three_panels(make_picture):
    assert len(draw(make_picture(source=False))) == 3


def test_synthetic_and_real_share_one_window(make_picture):
    picture = make_picture(error=0.0)

    _, synthetic, real, _ = (decode(panel) for panel in draw(picture))

    top = slice(0, int(0.8 * len(real)))
    np.testing.assert_array_equal(synthetic[top], real[top])


@pytest.mark.parametrize(("error", "channel"), [(0.4, 0), (-0.4, 2)])
def test_too_bright_is_red_and_too_dark_is_blue(make_picture, error, channel):
    pixels = decode(draw(make_picture(error=error))[3])

    middle = pixels[pixels.shape[0] // 3, pixels.shape[1] // 3]
    assert np.argmax(middle) == channel


def test_no_error_is_black_and_so_is_what_was_not_scored(make_picture):
    exact = decode(draw(make_picture(error=0.0))[3])
    wrong = decode(draw(make_picture(error=0.4))[3])

    assert exact[exact.shape[0] // 3, exact.shape[1] // 3].max() < 0.15
    assert wrong[5, 5].max() == 0.0


@pytest.mark.parametrize(("shape", "aspect"), [((20, 16), 1.0), ((12, 30), 3.0), ((40, 11), 2.5)])
def test_pictures_keep_the_shape_of_the_patient(make_picture, shape, aspect):
    panel = draw(make_picture(shape=shape, aspect=aspect))[2]

    assert decode(panel).shape[:2] == (panel.height, panel.width)
    assert panel.height / panel.width == pytest.approx(shape[0] * aspect / shape[1], rel=0.02)
    assert max(panel.height, panel.width) <= 720


def test_every_panel_is_described_for_who_cannot_see_it(make_picture):
    panels = draw(make_picture(index=81))

    assert panels[1].alt == "Synthetic T2w, slice 81, made by cgan"
    assert panels[3].alt == "Synthetic − real, slice 81, from -0.5 to 0.5 HU"


def test_the_gradient_runs_from_blue_over_dark_to_red():
    stops = [tuple(bytes.fromhex(stop[1:])) for stop in error_gradient().split(", ")]

    assert stops[0][2] > stops[0][0]
    assert max(stops[len(stops) // 2]) < 60
    assert stops[-1][0] > stops[-1][2]
