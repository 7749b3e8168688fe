from __future__ import annotations

import sys

import numpy as np
import pytest

from medtranslate.errors import MissingExtraError
from medtranslate.phantom.anatomy import Template, load_template

# Places in MNI space, millimetres, that any atlas names alike.
PLACES = {
    "corpus callosum": (0, 24, 8),
    "left putamen": (-27, 4, 2),
    "lateral ventricle": (-6, 12, 12),
    "motor cortex": (40, -20, 56),
    "above the head": (0, 0, 110),
    "beside the brain": (95, -20, 10),
}


def at(place: str) -> np.ndarray:
    """A named place as points of shape (3, 1)."""
    return np.array(PLACES[place], dtype=float)[:, None]


def test_tissues_lie_where_an_atlas_says(template: Template) -> None:
    assert template.white.at(at("corpus callosum")).item() > 0.8
    assert template.grey.at(at("left putamen")).item() > 0.4
    assert template.brain.at(at("lateral ventricle")).item() == 1.0
    assert template.ventricles.at(at("lateral ventricle")).item() < 3.0
    assert template.ventricles.at(at("left putamen")).item() > 8.0
    assert template.ventricles.at(at("motor cortex")).item() > 25.0


def test_fractions_never_exceed_the_brain(template: Template) -> None:
    total = template.grey.values + template.white.values

    assert total.min() >= 0.0
    assert (total - template.brain.values).max() < 1e-5


def test_distance_to_the_skull_is_in_millimetres_and_negative_inside(template: Template) -> None:
    inside = template.skull.at(at("left putamen")).item()
    near, far = (template.skull.at(np.array([[x], [-20.0], [10.0]])).item() for x in (85.0, 95.0))

    assert -60.0 < inside < -20.0
    assert near > 0.0
    np.testing.assert_allclose(far - near, 10.0, atol=1.0)
    assert template.skull.at(at("above the head")).item() > 20.0


def test_the_skull_holds_all_of_the_brain(template: Template) -> None:
    shape = template.skull.values.shape
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    points = template.skull.origin.reshape(3, 1, 1, 1) + template.skull.spacing * index

    assert template.skull.values[template.brain.at(points) > 0.9].max() < 1.0


def test_without_nilearn_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)

    with pytest.raises(MissingExtraError, match=r"nilearn.*pip install 'medtranslate\[phantom\]'"):
        load_template.__wrapped__()
