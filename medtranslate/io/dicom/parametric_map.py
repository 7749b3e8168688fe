"""Values that are no picture, such as standard deviations, as a DICOM Parametric Map."""

from __future__ import annotations

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
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume

_HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
_LABEL = "SD"


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
    if not sd.geometry.matches(series.geometry):
        raise ValueError("standard deviations lie on another grid than their series")
    frames = np.ascontiguousarray(sd.voxels.transpose(2, 1, 0), dtype=np.float32)
    series_uid = derive_uid(
        series.series_uid, "deviation", hash_volume(sd.array, sd.geometry.affine)
    )
    with quiet():  # its warnings quote the names of people
        dataset: Dataset = ParametricMap(
            source_images=series.datasets,
            pixel_array=frames,
            series_instance_uid=series_uid,
            series_number=SERIES_NUMBER + 1,
            sop_instance_uid=derive_uid(series_uid, 0),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=equipment(synthesis).ManufacturerModelName,
            software_versions=synthesis.software_version,
            device_serial_number=equipment(synthesis).DeviceSerialNumber,
            contains_recognizable_visual_features=synthesis.recognisable,
            real_world_value_mappings=[_mapping(sd, float(frames.max()))],
            voi_lut_transformations=[_window(frames)],
            content_label=_LABEL,
            content_description="Standard deviation of predictions",
            content_qualification=ContentQualificationValues.RESEARCH,
            derived_pixel_contrast=DerivedPixelContrastValues.STD_DEVIATION,
        )
    dataset.Laterality = dataset.get("Laterality")  # may be empty, must be there
    mark(dataset, synthesis, title=f"{synthesis.target} standard deviation")
    return dataset


def _window(frames: np.ndarray) -> VOILUTTransformation:
    """Grey levels from 0 to the largest value."""
    top = max(float(frames.max()), 1e-6)
    centre, width = format_number_as_ds(top / 2), format_number_as_ds(top)
    return VOILUTTransformation(window_center=float(centre), window_width=float(width))


def _mapping(sd: Volume, largest: float) -> RealWorldValueMapping:
    """Stored values are the real ones; of MR they have no unit."""
    unit = _HOUNSFIELD if sd.unit == "HU" else codes.UCUM.NoUnits
    return RealWorldValueMapping(
        lut_label=_LABEL,
        lut_explanation="Standard deviation of predictions",
        unit=unit,
        value_range=(0.0, max(largest, 1.0)),
        slope=1.0,
        intercept=0.0,
    )
