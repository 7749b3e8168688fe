"""Masks as a DICOM Segmentation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from medtranslate.io.dicom.derive import SERIES_NUMBER, DerivedSeries
from medtranslate.io.dicom.headers import quiet
from medtranslate.io.dicom.identity import derive_uid
from medtranslate.io.dicom.marks import MANUFACTURER, Synthesis, equipment, mark
from medtranslate.io.dicom.study import restore_dates, undated_images
from medtranslate.provenance import hash_volume

_LABEL = "REGIONS"
_MAX_LABEL = 64


def make_segmentation(
    masks: Mapping[str, np.ndarray], series: DerivedSeries, synthesis: Synthesis
) -> Dataset:
    """Masks drawn on a synthetic series, one bit a voxel.

    Args:
        masks: Boolean, shape ``(i, j, k)`` on the grid of ``series``, by name; none empty.
        series: The images the masks belong to.
        synthesis: What made the series.

    Returns:
        A Segmentation with a segment for each mask, in the order given.
    """
    stack = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1)
    hashes = [hash_volume(mask, series.geometry.affine) for mask in masks.values()]
    series_uid = derive_uid(series.series_uid, "segmentation", *masks, *hashes)
    with quiet():  # its warnings quote the names of people
        dataset: Dataset = Segmentation(
            source_images=undated_images(series),
            pixel_array=stack.astype(np.uint8),
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_describe(n, name) for n, name in enumerate(masks, start=1)],
            series_instance_uid=series_uid,
            series_number=SERIES_NUMBER + 2,
            sop_instance_uid=derive_uid(series_uid, 0),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=equipment(synthesis).ManufacturerModelName,
            software_versions=synthesis.software_version,
            device_serial_number=equipment(synthesis).DeviceSerialNumber,
            content_label=_LABEL,
            content_description="Regions on a synthetic series",
        )
    restore_dates(dataset, series)
    mark(dataset, synthesis, title="regions")
    return dataset


def _describe(number: int, name: str) -> SegmentDescription:
    """A region that a person gave; what it shows is not known beyond its name."""
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:_MAX_LABEL],
        segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=codes.SCT.SpatialAndRelationalConcept,
        algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )
