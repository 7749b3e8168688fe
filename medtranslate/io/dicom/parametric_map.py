"""Values that are no picture, such as standard deviations and errors, as a DICOM Parametric Map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from highdicom.content import VOILUTTransformation
from highdicom.enum import ContentQualificationValues
from highdicom.pm import DerivedPixelContrastValues, ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

from medtranslate.io.dicom.derive import SERIES_NUMBER, DerivedSeries
from medtranslate.io.dicom.headers import quiet
from medtranslate.io.dicom.identity import derive_uid
from medtranslate.io.dicom.marks import MANUFACTURER, Synthesis, equipment, mark
from medtranslate.io.dicom.study import restore_dates, undated_images
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume

_HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")


@dataclass(frozen=True)
class _Quantity:
    """What a map shows.

    Attributes:
        name: Tells its UIDs from those of other maps of the same series.
        label: A word in capitals.
        title: What the series is called.
        meaning: A sentence of at most 64 characters.
        contrast: How the values came about, in the words of the standard.
        signed: Whether they lie on both sides of 0.
        number: Counts on from the number of the synthetic series.
    """

    name: str
    label: str
    title: str
    meaning: str
    contrast: DerivedPixelContrastValues
    signed: bool
    number: int


_DEVIATION = _Quantity(
    name="deviation",
    label="SD",
    title="standard deviation",
    meaning="Standard deviation of predictions",
    contrast=DerivedPixelContrastValues.STD_DEVIATION,
    signed=False,
    number=1,
)
_ERROR = _Quantity(
    name="error",
    label="ERROR",
    title="error",
    meaning="Prediction - real scan; 0 where not scored",
    contrast=DerivedPixelContrastValues.SUBTRACTION,
    signed=True,
    number=4,
)


def make_deviation_map(sd: Volume, series: DerivedSeries, synthesis: Synthesis) -> Dataset:
    """The standard deviations of a synthetic series, in float32 and with their unit.

    Args:
        sd: On the grid of ``series``, in its unit.
        series: The images the deviations belong to.
        synthesis: What made them.

    Returns:
        A Parametric Map of one frame a slice.

    Raises:
        ValueError: If ``sd`` lies on another grid.
    """
    return _make_map(_DEVIATION, sd, series, synthesis)


def make_error_map(error: Volume, series: DerivedSeries, synthesis: Synthesis) -> Dataset:
    """Prediction minus real scan on the grid of a synthetic series, in float32 and with its unit.

    Args:
        error: On the grid of ``series``, in HU or without unit; 0 where nothing was scored.
        series: The images the errors belong to.
        synthesis: What made them.

    Returns:
        A Parametric Map of one frame a slice.

    Raises:
        ValueError: If ``error`` lies on another grid.
    """
    return _make_map(_ERROR, error, series, synthesis)


def _make_map(
    quantity: _Quantity, values: Volume, series: DerivedSeries, synthesis: Synthesis
) -> Dataset:
    if not values.geometry.matches(series.geometry):
        raise ValueError(f"{quantity.title}: lies on another grid than its series")
    frames = np.ascontiguousarray(values.voxels.transpose(2, 1, 0), dtype=np.float32)
    largest = max(float(np.abs(frames).max()), 1e-6)
    lowest = -largest if quantity.signed else 0.0
    series_uid = derive_uid(
        series.series_uid, quantity.name, hash_volume(values.array, values.geometry.affine)
    )
    with quiet():  # its warnings quote the names of people
        dataset: Dataset = ParametricMap(
            source_images=undated_images(series),
            pixel_array=frames,
            series_instance_uid=series_uid,
            series_number=SERIES_NUMBER + quantity.number,
            sop_instance_uid=derive_uid(series_uid, 0),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=equipment(synthesis).ManufacturerModelName,
            software_versions=synthesis.software_version,
            device_serial_number=equipment(synthesis).DeviceSerialNumber,
            contains_recognizable_visual_features=synthesis.recognisable,
            real_world_value_mappings=[_map_values(quantity, values, lowest, largest)],
            voi_lut_transformations=[_window(lowest, largest)],
            content_label=quantity.label,
            content_description=quantity.meaning,
            content_qualification=ContentQualificationValues.RESEARCH,
            derived_pixel_contrast=quantity.contrast,
        )
    restore_dates(dataset, series)
    dataset.Laterality = dataset.get("Laterality")  # may be empty, must be there
    mark(dataset, synthesis, title=f"{synthesis.target} {quantity.title}")
    return dataset


def _window(lowest: float, largest: float) -> VOILUTTransformation:
    """Grey levels over all values; of signed ones 0 is in the middle."""
    centre, width = (
        format_number_as_ds(number) for number in ((lowest + largest) / 2, largest - lowest)
    )
    return VOILUTTransformation(window_center=float(centre), window_width=float(width))


def _map_values(
    quantity: _Quantity, values: Volume, lowest: float, largest: float
) -> RealWorldValueMapping:
    """Stored values are the real ones; of MR they have no unit."""
    unit = _HOUNSFIELD if values.unit == "HU" else codes.UCUM.NoUnits
    return RealWorldValueMapping(
        lut_label=quantity.label,
        lut_explanation=quantity.meaning,
        unit=unit,
        value_range=(min(lowest, -1.0) if quantity.signed else 0.0, max(largest, 1.0)),
        slope=1.0,
        intercept=0.0,
    )
