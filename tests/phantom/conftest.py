"""One simulated person at two visits, on a coarse grid, for all tests of the phantom."""

from __future__ import annotations

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.phantom.anatomy import Template, load_template
from medtranslate.phantom.person import (
    Anatomy,
    Person,
    draw_person,
    first_visit,
    scan_grid,
    second_visit,
)


@pytest.fixture(scope="session")
def template() -> Template:
    """The MNI152 anatomy that comes inside nilearn."""
    pytest.importorskip("nilearn", reason="nilearn is not installed; it makes the phantoms")
    return load_template()


@pytest.fixture(scope="session")
def person(template: Template) -> Person:
    """Somebody."""
    return draw_person(np.random.default_rng(7), template)


@pytest.fixture(scope="session")
def grid() -> Geometry:
    """The scanner's grid, at 4 mm."""
    return scan_grid(4.0)


@pytest.fixture(scope="session")
def first(person: Person, template: Template, grid: Geometry) -> Anatomy:
    """The person at the first visit."""
    return first_visit(person, template, grid)


@pytest.fixture(scope="session")
def second(person: Person, template: Template, grid: Geometry, first: Anatomy) -> Anatomy:
    """The person at the second visit."""
    return second_visit(person, template, grid, first)
