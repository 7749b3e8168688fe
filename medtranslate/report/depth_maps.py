"""Maps of a signed difference in millimetres, side by side, with one colour bar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.axes import Axes

from medtranslate.report.pictures import ERROR_MAP
from medtranslate.report.plots import INK, draw_svg

_BAR = (0.885, 0.2, 0.022, 0.6)
_WIDTH = 0.87
"""Share of the drawing's width that the maps have together."""


def draw_depth_maps(
    maps: Mapping[str, np.ndarray], *, limit_mm: float, unit: str, label: str
) -> Markup:
    """Maps in a row as an ``<svg>`` element.

    Args:
        maps: Title to shape ``(rows, columns)``, square pixels, row 0 at the top, the patient's
            right on the left; NaN outside the body.
        limit_mm: End of the colour scale to both sides, positive.
        unit: Words for the colour bar.
        label: What the drawing shows, for those who do not see it.
    """

    def draw(axes: Axes) -> None:
        axes.set_visible(False)
        width = _WIDTH / len(maps)
        for number, (title, values) in enumerate(maps.items()):
            corner = (0.005 + number * width, 0.1, 0.97 * width, 0.76)
            panel = axes.figure.add_axes(corner, frameon=False)
            image = panel.imshow(
                np.ma.masked_invalid(values),
                cmap=colormaps[ERROR_MAP],
                vmin=-limit_mm,
                vmax=limit_mm,
                interpolation="nearest",
            )
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_title(title, color=INK, size=9)
            for letter, place, side in (("R", 0.0, "left"), ("L", 1.0, "right")):
                panel.annotate(
                    letter, (place, -0.02), xycoords="axes fraction", color=INK, size=8,
                    ha=side, va="top",
                )  # fmt: skip
        bar = axes.figure.colorbar(image, cax=axes.figure.add_axes(_BAR))
        bar.set_label(unit, color=INK, size=8)
        bar.ax.tick_params(colors=INK, length=0, labelsize=8)
        bar.outline.set_visible(False)

    return Markup(draw_svg(draw, label=label))  # noqa: S704 - made here, texts are escaped
