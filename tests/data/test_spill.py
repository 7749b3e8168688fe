"""Images of training people lie in files without names, which memory need not hold."""

import errno
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from medtranslate.data.patches import TrainingCase
from medtranslate.data.spill import spill, spill_case
from medtranslate.errors import VolumeWriteError


def _anonymous_mb():
    """Memory of this process that no file stands behind."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) / 1024


def test_a_spilled_image_is_the_image_in_half_precision(tmp_path):
    image = torch.rand(2, 7, 5, 3) * 3 - 1

    spilled = spill(image, tmp_path)

    assert spilled.dtype == torch.float16
    torch.testing.assert_close(spilled.float(), image, rtol=2**-11, atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_voxel_stays_finite(tmp_path):
    spilled = spill(torch.tensor([1e6, -1e6, 0.5]), tmp_path)

    assert spilled.tolist() == [65504.0, -65504.0, 0.5]


def test_memory_need_not_hold_it(tmp_path):
    image = torch.rand(1, 256, 256, 256)
    before = _anonymous_mb()

    spilled = spill(image, tmp_path)
    read = float(spilled[:, ::8].float().sum())

    assert read > 0
    assert spilled.nbytes == 2**25
    assert _anonymous_mb() < before + 8


def test_masks_of_a_person_are_bytes_and_all_else_half_precision(tmp_path):
    image = torch.rand(1, 6, 6, 6)
    mask = (image > 0.5).float()
    person = TrainingCase(
        image, image, image, mask, "one", {"label": image}, {"years": torch.tensor(2.0)}
    )

    spilled = spill_case(person, tmp_path)

    kinds = {key: one.dtype for key, one in spilled.images.items()}
    assert kinds.pop("mask") == torch.uint8
    assert set(kinds.values()) == {torch.float16}
    assert torch.equal(spilled.mask.float(), mask)
    assert (spilled.name, float(spilled.facts["years"])) == ("one", 2.0)


def test_a_full_disk_is_told_with_the_bytes_that_are_needed(tmp_path, monkeypatch):
    class _Full(tempfile.SpooledTemporaryFile):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: _Full())

    with pytest.raises(VolumeWriteError, match=r"the disk is full \(at least 2,000 bytes needed"):
        spill(torch.from_numpy(np.zeros((1, 10, 10, 10), np.float32)), tmp_path)
