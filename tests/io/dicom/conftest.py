"""Series written with pydicom alone, whole or with one fault, of volumes whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from medtranslate.geometry import Geometry
from medtranslate.volume import Volume

CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
FLIP = np.diag([-1.0, -1.0, 1.0])
ROOT = "1.2.826.0.1.3680043.10.9999"

Edit = Callable[[list[Dataset]], None]


def slice_headers(volume: Volume, modality: str, *, series: int = 1) -> list[Dataset]:
    """One dataset a slice, in the order of k, with integer voxels; LPS worked out by hand here."""
    affine, (columns, rows, count) = volume.geometry.affine, volume.geometry.shape
    i_mm, j_mm, _ = volume.geometry.spacing
    datasets = []
    for k in range(count):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = CLASSES[modality]
        ds.SOPInstanceUID = f"{ROOT}.{series}.{k + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.0", f"{ROOT}.{series}"
        ds.FrameOfReferenceUID = f"{ROOT}.7"
        ds.PatientID, ds.PatientName, ds.PatientBirthDate = "SECRET-17", "Doe^Jane", "19500101"
        ds.Modality, ds.InstanceNumber = modality, k + 1
        ds.Rows, ds.Columns = rows, columns
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        axes = np.concatenate([FLIP @ affine[:3, 0] / i_mm, FLIP @ affine[:3, 1] / j_mm])
        ds.ImageOrientationPatient = [f"{value:.12f}" for value in axes]
        position = FLIP @ (affine[:3, 3] + k * affine[:3, 2])
        ds.ImagePositionPatient = [f"{value:.10f}" for value in position]
        ds.PixelSpacing = [f"{j_mm:.10g}", f"{i_mm:.10g}"]
        ds.SliceThickness = "3.1"
        if modality in ("CT", "PT"):
            ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
        if modality == "PT":
            ds.Units = "BQML"
        ds.PixelData = np.rint(volume.voxels[:, :, k]).astype("<i2").T.tobytes()
        datasets.append(ds)
    return datasets


def save_all(folder: Path, datasets: list[Dataset], *, prefix: str = "IM") -> Path:
    """Write datasets as IM1.dcm, IM2.dcm, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, ds in enumerate(datasets, 1):
        ds.save_as(folder / f"{prefix}{number}.dcm", enforce_file_format=True)
    return folder


def enhanced(datasets: list[Dataset]) -> Dataset:
    """The slices as frames of one enhanced MR file, the first frame last."""
    frames = [*datasets[1:], datasets[0]]
    ds = Dataset()
    ds.update(datasets[0])
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = EnhancedMRImageStorage
    ds.NumberOfFrames = len(frames)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = ds.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, ds.SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for n, frame in enumerate(frames):
        group, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = frame.ImagePositionPatient
        values.RescaleSlope, values.RescaleIntercept = str(1 + n), "-5"
        values.RescaleType = "US"
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [values]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.PixelData = b"".join(frame.PixelData for frame in frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    return ds


@pytest.fixture
def truth(make_volume: Callable[..., Volume]) -> Volume:
    """An oblique, anisotropic, asymmetric volume of whole numbers."""
    volume = make_volume((9, 8, 6))
    return Volume(np.rint(volume.array), volume.geometry)


@pytest.fixture
def write_series(tmp_path: Path, truth: Volume) -> Callable[..., Path]:
    """Function that writes the true volume as a series, after ``edit`` put a fault into it."""

    def write(
        edit: Edit | None = None,
        *,
        modality: str = "CT",
        folder: str = "series",
        volume: Volume | None = None,
        series: int = 1,
    ) -> Path:
        datasets = slice_headers(volume or truth, modality, series=series)
        if edit is not None:
            edit(datasets)
        return save_all(tmp_path / folder, datasets)

    return write


@pytest.fixture
def skewed(truth: Volume) -> Volume:
    """The true volume with every slice 0.9 mm further along i: a gantry tilt of 16 degrees."""
    affine = truth.geometry.affine.copy()
    affine[:3, 2] += affine[:3, 0]
    geometry = Geometry(truth.geometry.shape, truth.geometry.affine)
    object.__setattr__(geometry, "affine", affine)  # a sheared grid is refused, as it must be here
    return Volume(truth.array, geometry)
