"""Selectors pick exactly what they name."""

from __future__ import annotations

import pytest

from medtranslate.data.scans import Selector, contrast_of
from medtranslate.errors import DatasetError


@pytest.mark.parametrize(
    ("selector", "suffix", "entities", "picked"),
    [
        ("T1w", "T1w", {}, True),
        ("T1w", "T1w", {"desc": "brain", "space": "MNI"}, True),
        ("T1w", "T1w", {"ce": "gadolinium"}, False),
        ("T1w", "T1w", {"acq": "mprage"}, False),
        ("T1w", "T1w", {"rec": "norm"}, False),
        ("T1w", "T2w", {}, False),
        ("T1w+ce-gadolinium", "T1w", {"ce": "gadolinium", "run": "2"}, True),
        ("T1w+ce-gadolinium", "T1w", {}, False),
        ("T1w+ce-gadolinium", "T1w", {"ce": "gadolinium", "acq": "fast"}, False),
        ("T1w+run-1", "T1w", {"run": "1"}, True),
        ("T1w+run-1", "T1w", {"run": "2"}, False),
        ("T1w+run-1", "T1w", {}, False),
        ("mask+desc-brain", "mask", {"desc": "brain"}, True),
        ("mask+desc-brain", "mask", {"label": "lesion"}, False),
        ("ct", "CT", {}, True),
    ],
)
def test_a_selector_is_exact_in_what_makes_a_contrast(
    selector: str, suffix: str, entities: dict[str, str], picked: bool
) -> None:
    assert Selector.parse(selector).picks(suffix, entities) is picked


@pytest.mark.parametrize(
    "text", ["T1w", "T1w+ce-gadolinium", "MTS+acq-MToff+run-2", "mask+desc-brain"]
)
def test_a_selector_is_written_as_it_was_read(text: str) -> None:
    assert str(Selector.parse(text)) == text


@pytest.mark.parametrize("text", ["", "T1w+", "T1w+ce", "T1w ce-x", "../T1w", "T1w+ce-a_b"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="is not a contrast selector"):
        Selector.parse(text)


@pytest.mark.parametrize(("text", "meant"), [("T1", "T1w"), ("flair", "FLAIR"), ("t2W", "T2w")])
def test_a_misspelt_contrast_gets_a_suggestion(text: str, meant: str) -> None:
    with pytest.raises(DatasetError, match=f"did you mean '{meant}'"):
        Selector.parse(text)


def test_the_contrast_of_a_scan_is_a_selector_that_picks_it() -> None:
    entities = {"rec": "norm", "ce": "gadolinium", "space": "MNI", "desc": "brain"}

    contrast = contrast_of("T1w", entities)

    assert contrast == "T1w+ce-gadolinium+rec-norm"
    assert Selector.parse(contrast).picks("T1w", entities)
