"""Inputs that once made a reader fail are read or refused by name ever after."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from ..fuzz.targets import attempt, make_targets

FINDINGS = Path(__file__).parents[1] / "findings"
INPUTS = sorted(path for path in FINDINGS.glob("[!.]*/*/*") if path.is_file())


@pytest.fixture(scope="module")
def targets():
    with make_targets() as found:
        yield found


def test_every_kind_has_sound_examples(targets):
    assert len(targets) == 5
    for kind, target in targets.items():
        read = [attempt(target, name, data) for name, data in target.examples[:3]]
        assert read[0], kind


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: "/".join(path.parts[-3:]))
def test_a_finding_is_read_or_refused_by_name(targets, path):
    kind, name, _ = path.parts[-3:]
    with warnings.catch_warnings(action="error"):  # a warning may quote what stands in a file
        assert attempt(targets[kind], name, path.read_bytes()) in (True, False)
