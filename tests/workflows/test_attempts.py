"""What one case meets is told in its place, without what it holds, and stops no other."""

import logging

import pytest
import torch

from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.interruption import StopRequested


def raising(error):
    def job():
        raise error

    return job


def test_what_a_job_gives_is_given():
    assert attempt(lambda: 3) == 3


def test_an_error_of_ours_says_itself_what_is_wrong():
    assert attempt(raising(DatasetError("01: no mask"))) == Failure("01: no mask")


def test_a_defect_is_told_by_its_kind_and_place_alone(caplog):
    """NumPy quotes the shape it was given: any text of a library may quote what a file holds."""
    with caplog.at_level(logging.ERROR):
        failure = attempt(lambda: Geometry("Doe", "/data/Doe"))

    assert failure.why.startswith("unexpected ")
    assert "Error in medtranslate/geometry.py:" in failure.why
    assert "a defect of medtranslate; please report this line" in failure.why
    assert "\n" not in failure.why
    assert "geometry.py" in caplog.text
    assert "Doe" not in failure.why
    assert "Doe" not in caplog.text.replace('Geometry("Doe", "/data/Doe")', "")


@pytest.mark.parametrize("error", [MemoryError("9 GB"), torch.OutOfMemoryError("9 GB")])
def test_want_of_memory_is_no_defect(error, caplog):
    why = attempt(raising(error)).why

    assert "the memory does not suffice" in why
    assert "defect" not in why
    assert caplog.text == ""


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), StopRequested(15), SystemExit(1)])
def test_a_request_to_stop_is_no_failure(stop):
    with pytest.raises(type(stop)):
        attempt(raising(stop))
