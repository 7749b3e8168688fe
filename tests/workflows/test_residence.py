"""Scans are kept where the training is if they fit there."""

import pytest
import torch

from medtranslate.data.patches import TrainingCase
from medtranslate.workflows import residence
from medtranslate.workflows.residence import place_scans

CASE = TrainingCase(
    *(torch.zeros(1, 10, 10, 10),) * 4, others={"label": torch.zeros(1, 10, 10, 10)}
)
NEEDED = 2 * 5 * 4 * 1000


@pytest.mark.parametrize(
    ("device", "free", "expected"),
    [("cuda:1", 4 * NEEDED, "cuda:1"), ("cuda:1", 4 * NEEDED - 1, "cpu"), ("cpu", 10**12, "cpu")],
)
def test_a_gpu_keeps_scans_that_take_a_quarter_of_what_is_free(device, free, expected, monkeypatch):
    monkeypatch.setattr(residence, "free_bytes", lambda _: free)

    assert place_scans([CASE, CASE], torch.device(device)) == torch.device(expected)
