"""Cut the first row of example panels out of a report, for the pages of results.

    python tests/benchmarks/result_picture.py runs/loo/fold-2/evaluation/report.html \
        docs/results/t1w_to_t2w.png
"""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

_NUM_PANELS = 4


def main() -> None:
    report, out = map(Path, sys.argv[1:])
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', report.read_text(encoding="utf-8"))
    panels = [Image.open(io.BytesIO(base64.b64decode(code))) for code in found[:_NUM_PANELS]]
    height = min(panel.height for panel in panels)
    rows = [np.asarray(panel.convert("RGB"))[:height] for panel in panels]
    picture = Image.fromarray(np.concatenate(rows, axis=1))
    picture.thumbnail((1200, 1200))
    picture.quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    main()
