from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medtranslate.data.index import index_dataset
from medtranslate.data.inspection import Inspection, inspect_dataset

AddScans = Callable[..., list[Path]]

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
SHAPE = (44, 48, 40)


def head(seed: int, *, size: float = 1.0, inverted: bool = False) -> np.ndarray:
    """A smooth pattern, another for each seed, in an ellipsoid; int16."""
    index = np.indices(SHAPE) - np.array([22, 24, 20]).reshape(3, 1, 1, 1)
    radii = size * np.array([16, 20, 15]).reshape(3, 1, 1, 1)
    inside = ((index / radii) ** 2).sum(axis=0) < 1
    pattern = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 3)
    pattern = (1 - 2 * inverted) * pattern / pattern.std()
    jitter = np.random.default_rng(seed + 100 + inverted).normal(0, 15, SHAPE)
    return (inside * (500 + 150 * pattern + jitter).clip(150, 900)).astype(np.int16)


def inspect(root: Path) -> Inspection:
    return inspect_dataset(index_dataset(root))


def told(inspection: Inspection, words: str) -> list[str]:
    return [where for f in inspection.findings if words in f.what for where in f.where]


@pytest.fixture
def add_person(add_scans: AddScans, tmp_path: Path) -> Callable[..., Path]:
    """Function that adds a person with two visits, and days in the order given."""

    def add(name: str, first: np.ndarray, second: np.ndarray, days: str = "0 200") -> Path:
        root = tmp_path / "cohort"
        for session, voxels in enumerate((first, second), start=1):
            add_scans(root, f"sub-{name}_ses-{session}_T1w", voxels=voxels, affine=AFFINE)
        one, two = days.split()
        lines = ["session_id\tdays_since_baseline", f"ses-1\t{one}", f"ses-2\t{two}"]
        (root / f"sub-{name}" / f"sub-{name}_sessions.tsv").write_text("\n".join(lines))
        return root

    return add


def slightly_later(voxels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 12, voxels.shape)
    return np.where(voxels > 0, voxels + noise, 0).astype(np.int16)


def test_visits_that_fit_raise_no_finding(add_person: Callable[..., Path]) -> None:
    add_person("p1", head(1), slightly_later(head(1)))
    inspection = inspect(add_person("p2", head(2), slightly_later(head(2)), "0 90"))

    (course,) = inspection.courses
    assert (course.num_people, course.num_visits) == (2, 4)
    assert course.interval_days == (90.0, 200.0)
    assert [f.what for f in inspection.findings if f.severity != "note"] == []


def test_swapped_follow_ups_are_found(add_person: Callable[..., Path]) -> None:
    add_person("p1", head(1), slightly_later(head(2)))
    inspection = inspect(add_person("p2", head(2), slightly_later(head(1))))

    places = told(inspection, "looks more like another person's")
    assert [place.partition(" (like ")[0] for place in places] == ["p1 ses-2 T1w", "p2 ses-2 T1w"]
    assert "like p2" in places[0]


def test_another_contrast_and_another_size_are_found(add_person: Callable[..., Path]) -> None:
    add_person("p1", head(1), head(1, inverted=True))
    inspection = inspect(add_person("p2", head(2), slightly_later(head(2, size=0.85))))

    (contrast,) = told(inspection, "called the same contrast")
    (size,) = told(inspection, "head of another size")
    assert contrast.startswith("p1 ses-2 T1w (rank correlation")
    assert size.startswith("p2 ses-2 T1w (0.6")


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ("100 0", "ses-2 lies -100 days after ses-1: a negative interval"),
        ("0 0", "0 days apart"),
        ("0 n/a", "nothing tells when a visit was"),
    ],
)
def test_times_that_cannot_be_are_found(
    add_person: Callable[..., Path], days: str, words: str
) -> None:
    inspection = inspect(add_person("p1", head(1), slightly_later(head(1)), days))

    (place,) = told(inspection, words)
    assert place.startswith("p1")


@pytest.mark.slow
def test_real_follow_ups_raise_no_alarm(shared_data: Path) -> None:
    inspection = inspect(shared_data / "open_ms_long")

    assert told(inspection, "first visit") == []
    assert {c.contrast: c.interval_days for c in inspection.courses}["FLAIR"] == (203.0, 671.0)
