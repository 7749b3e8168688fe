"""Leafing through the slices of a case, in the data and in a real browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medtranslate.report.browser import MAX_FRAMES, make_browser, thin_slices
from medtranslate.report.build import build_report
from medtranslate.report.details import EvaluationDetails
from medtranslate.report.panels import Window

WINDOW = Window(low=0.0, high=1.0, error=0.2)
CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]


def decode(uri):
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(image).astype(float)


def test_few_slices_are_all_kept():
    assert thin_slices([4, 5, 9], keep=5) == [4, 5, 9]


def test_many_slices_are_thinned_evenly_and_the_wanted_one_stays():
    slices = list(range(20, 420))

    thinned = thin_slices(slices, keep=203)

    assert len(thinned) == MAX_FRAMES
    assert 203 in thinned
    assert (thinned[0], thinned[-1]) == (20, 419)
    assert max(np.diff(thinned)) <= 13


def test_the_standard_deviation_is_a_panel_where_every_slice_has_one(make_picture):
    shown = [make_picture(index=index) for index in (3, 5)]
    sure, unsure = (np.full(shown[0].mask.shape, sd, np.float32) for sd in (0.0, 0.2))
    pictures = [replace(shown[0], sd=sure), replace(shown[1], sd=unsure)]

    browser = make_browser(pictures, WINDOW, source_name="T1w", target_name="T2w")

    assert browser.titles[-1] == "Standard deviation, 0 to 0.2"
    inside = shown[0].mask.copy()
    inside[:5, :] = inside[-5:, :] = inside[:, :4] = inside[:, -6:] = False
    dark, bright = (decode(frame)[inside].mean() for frame in browser.frames[-1])
    assert dark < 20
    assert bright > 180
    partly = make_browser([pictures[0], shown[1]], WINDOW, source_name="", target_name="")
    assert len(partly.titles) == 4


def test_every_panel_has_a_frame_a_slice_in_order(make_picture):
    shown = [make_picture(index=index, psnr=10.0 + index) for index in (3, 5, 9)]

    browser = make_browser(shown, WINDOW, source_name="T1w", target_name="T2w")

    assert browser.titles == (
        "Source T1w",
        "Synthetic T2w",
        "Real T2w",
        "Synthetic − real, to ±0.2",
    )
    assert browser.indices == (3, 5, 9)
    assert browser.scores == ("PSNR 13.0 dB", "PSNR 15.0 dB", "PSNR 19.0 dB")
    for number, picture in enumerate(shown):
        np.testing.assert_allclose(
            decode(browser.frames[2][number]), 255 * picture.reference, atol=40
        )


def test_the_synthetic_frames_carry_their_mark_and_the_real_ones_none(make_picture):
    shown = [make_picture(error=0.0, shape=(60, 80))]

    browser = make_browser(shown, WINDOW, source_name="", target_name="T2w")

    synthetic, real = (decode(browser.frames[panel][0]) for panel in (1, 2))
    difference = np.abs(synthetic - real)
    assert difference[:14, :60].max() > 150
    assert difference[20:].max() < 1


def test_the_sign_of_the_error_can_be_seen(make_picture):
    colours = []
    for error in (0.15, -0.15):
        shown = [make_picture(error=error)]
        browser = make_browser(shown, WINDOW, source_name="", target_name="")
        inside = decode(browser.frames[3][0])[shown[0].mask]
        colours.append(inside.mean(axis=0))

    assert colours[0][0] > colours[0][2]
    assert colours[1][2] > colours[1][0]


def test_without_a_source_there_are_three_panels(make_picture):
    browser = make_browser(
        [make_picture(source=False)], WINDOW, source_name="T1w", target_name="T2w"
    )

    assert browser.titles == ("Synthetic T2w", "Real T2w", "Synthetic − real, to ±0.2")


def test_thick_slices_keep_their_proportions(make_picture):
    shown = [make_picture(shape=(20, 16), aspect=3.0)]

    assert make_browser(shown, WINDOW, source_name="", target_name="").size == (16, 60)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make browser)")
def test_moving_the_slider_shows_another_slice_offline(make_board, pictures, tmp_path):
    """End to end in a real browser: the page as written, its script, no network."""
    page = build_report(make_board(), EvaluationDetails(source_name="T1w"), pictures)
    move = (
        "<script>const slider = document.querySelector('.browser input'); slider.value = 2;"
        "slider.dispatchEvent(new Event('input'));</script></body>"
    )
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", move), encoding="utf-8")

    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *FLAGS, profile, "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    first = shown[shown.index('class="browser"') :].partition("</article>")[0]
    frames = json.loads(re.search(r"application/json\">(.*?)</script>", first)[1])["frames"]
    assert "<output>9</output>" in first
    assert re.findall(r'<img [^>]*src="([^"]+)"', first) == [panel[2] for panel in frames]
    assert 'class="browser" hidden' not in shown
