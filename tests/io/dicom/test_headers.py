"""Headers are read within bounds, and nothing that stands in them is told."""

from __future__ import annotations

import io
import logging
import warnings

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medtranslate.io.dicom import headers
from medtranslate.io.dicom.headers import UnreadableHeaderError, quiet, read_dataset


def deflated(tmp_path, series, size):
    """A deflated file with ``size`` bytes of zeros behind its header."""
    from pydicom import dcmread

    ds = dcmread(next(series.iterdir()))
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.add_new(0x00091010, "OB", bytes(size))
    ds.add_new(0x00090010, "LO", "MADE UP")
    ds.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    return (tmp_path / "deflated.dcm").open("rb")


def test_a_deflated_file_is_read_and_a_bomb_is_not(write_series, tmp_path, monkeypatch):
    series = write_series()
    with deflated(tmp_path, series, 100) as file:
        assert read_dataset(file).Rows == 8
    with deflated(tmp_path, series, 8 << 20) as file:
        assert read_dataset(file).Rows == 8
    monkeypatch.setattr(headers, "most_unpacked", lambda packed: 200 * packed)
    with deflated(tmp_path, series, 8 << 20) as file, pytest.raises(UnreadableHeaderError):
        read_dataset(file)


def test_what_is_not_dicom_is_none():
    assert read_dataset(io.BytesIO(b"hello")) is None
    assert read_dataset(io.BytesIO(b"")) is None
    assert read_dataset(io.BytesIO(bytes(400))) is None


def test_deep_sequences_are_refused_without_a_traceback(write_series):
    data = next(write_series().iterdir()).read_bytes()
    end = 144 + int.from_bytes(data[140:144], "little")
    sequence = bytes.fromhex("08001511") + b"SQ" + bytes(2) + b"\xff" * 4
    item = bytes.fromhex("feff00e0") + b"\xff" * 4
    deep = data[:end] + (sequence + item) * 5000

    with pytest.raises(UnreadableHeaderError):
        read_dataset(io.BytesIO(deep))


def test_a_value_that_pydicom_warns_about_stays_unquoted(caplog, recwarn):
    with caplog.at_level(logging.DEBUG), quiet():
        warnings.warn("DOE", stacklevel=1)
        logging.getLogger("pydicom").warning("DOE")
        ds = Dataset()
        ds.add_new("PatientBirthDate", "DA", "JANE DOE 1950")

    assert "DOE" not in caplog.text
    assert not recwarn.list
    logging.getLogger("pydicom").warning("after")
    assert "after" in caplog.text


def test_silence_of_threads_that_overlap_ends_with_the_last_one(recwarn):
    filters = list(warnings.filters)
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("DOE", stacklevel=1)
    assert logging.getLogger("pydicom").disabled

    second.__exit__(None, None, None)

    assert not recwarn.list
    assert warnings.filters == filters
    assert not logging.getLogger("pydicom").disabled
