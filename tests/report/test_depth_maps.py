"""Maps of depth differences as SVG."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from medtranslate.report.depth_maps import draw_depth_maps


def test_a_map_is_coloured_by_sign_and_empty_outside():
    values = np.full((20, 30), np.nan)
    values[5:15, 4:14], values[5:15, 16:26] = -4.0, 4.0

    svg = draw_depth_maps({"gantry 0": values}, limit_mm=4.0, unit="mm", label="depths")

    found = re.findall(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", svg)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0]))).convert("RGBA"))
    height, width = pixels.shape[:2]
    left, right = (
        pixels[height // 2, round(share * width)].astype(int) for share in (9 / 30, 21 / 30)
    )
    assert left[2] > left[0] + 50  # too little is blue
    assert right[0] > right[2] + 50  # too much is red
    assert pixels[2, 2, 3] == 0
    assert svg.startswith("<svg")
    assert "gantry 0" in svg
