"""What tests of several packages share: real scans where they exist, and small analytic ones."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest
from hypothesis import settings

from medtranslate.geometry import Geometry
from medtranslate.volume import Volume

if TYPE_CHECKING:
    # pydicom is an extra, and only tests of DICOM wait for it.
    from pydicom.dataset import Dataset

    from medtranslate.io.dicom.derive import DerivedSeries
    from medtranslate.io.dicom.marks import Synthesis

# Examples drawn without chance, no deadline, and no complaint that they come slowly: before the
# first one Hypothesis reads all loaded modules for constants, a second of work, which on a busy
# machine may take longer than its health check allows.
settings.load_profile("ci")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

OBLIQUE_SHAPE = (13, 10, 7)
OBLIQUE_SPACING = (0.9, 1.4, 3.1)

ORIENTATIONS = [
    "".join(pair[side] for pair, side in zip(order, sides, strict=True))
    for order in permutations(("LR", "PA", "IS"))
    for sides in product((0, 1), repeat=3)
]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of openly licensed real scans beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder of real scans (../shared/data beside the repository) is absent")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of settings for the tests: no key of the user's is made or used."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("settings")
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        yield folder


@pytest.fixture(params=ORIENTATIONS)
def orientation(request: pytest.FixtureRequest) -> str:
    """Each of the 48 ways in which voxel axes can run along the patient's."""
    return str(request.param)


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotation matrix about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        matrix = step @ matrix
    return matrix


def build_affine(
    orientation: str = "RAS",
    *,
    spacing: tuple[float, float, float] = OBLIQUE_SPACING,
    degrees: tuple[float, float, float] = (0.0, 0.0, 0.0),
    origin: tuple[float, float, float] = (-31.5, 17.25, 44.0),
) -> np.ndarray:
    """Affine whose voxel axes run along ``orientation``, turned by ``degrees``, in mm."""
    axes = np.zeros((3, 3))
    for voxel, letter in enumerate(orientation):
        world = next(n for n, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        axes[world, voxel] = 1.0 if letter in "RAS" else -1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ axes * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def analytic_voxels(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """A value for each place in the world: same in every direction nowhere, so no flip can hide.

    Float32, from 0 to about 1000: an off-centre ellipsoid with a gradient, a small ball on one
    side, background 0.
    """
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    x, y, z = (affine[:3, :3] @ index + affine[:3, 3:]).astype(np.float64)
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    u, v, w = x - centre[0], y - centre[1], z - centre[2]
    reach = np.abs(affine[:3, :3]) @ (np.array(shape) / 2)
    inside = (u / reach[0]) ** 2 + (v / reach[1]) ** 2 + (w / reach[2]) ** 2 < 0.8
    values = 400.0 + 20.0 * u + 11.0 * v + 7.0 * w + 5.0 * np.sin(u / 2) * np.cos(v / 3)
    ball = (u - 0.4 * reach[0]) ** 2 + (v + 0.3 * reach[1]) ** 2 + (w - 0.2 * reach[2]) ** 2 < 6.0
    voxels = np.where(inside, np.clip(values, 1.0, None) + 300.0 * ball, 0.0)
    return voxels.reshape(shape).astype(np.float32)


@pytest.fixture
def make_affine() -> Callable[..., np.ndarray]:
    """`build_affine`: an affine by orientation letters, spacing, rotation and origin."""
    return build_affine


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """Function that builds an oblique, anisotropic, asymmetric volume; options by keyword."""

    def build(
        shape: tuple[int, int, int] = OBLIQUE_SHAPE,
        *,
        orientation: str = "RAS",
        spacing: tuple[float, float, float] = OBLIQUE_SPACING,
        degrees: tuple[float, float, float] = (5.0, -8.0, 12.0),
        origin: tuple[float, float, float] = (-31.5, 17.25, 44.0),
        modality: str | None = "T1w",
    ) -> Volume:
        affine = build_affine(orientation, spacing=spacing, degrees=degrees, origin=origin)
        return Volume(analytic_voxels(shape, affine)[None], Geometry(shape, affine), modality)

    return build


@pytest.fixture
def oblique_volume(make_volume: Callable[..., Volume]) -> Volume:
    """One small oblique, anisotropic, asymmetric volume."""
    return make_volume()


@pytest.fixture
def write_nifti(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes an array through nibabel alone, to check our own reader against."""

    def write(
        array: np.ndarray,
        *,
        name: str = "scan.nii.gz",
        affine: np.ndarray | None = None,
        sform: tuple[np.ndarray, int] | None = None,
        qform: tuple[np.ndarray, int] | None = None,
        units: str = "mm",
    ) -> Path:
        place = build_affine("LAS", degrees=(5.0, -8.0, 12.0)) if affine is None else affine
        image = nibabel.Nifti1Image(array, place, dtype=array.dtype)
        image.header.set_xyzt_units(units)
        image.set_sform(*(sform or (place, 1)))
        image.set_qform(*(qform or (place, 1)))
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return write


def source_slice(volume: Volume, number: int, uids: list[str]) -> Dataset:
    """One instance of an MR series that shows slice ``number``, a made-up person in every field."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine
    i, j, k = volume.geometry.spacing
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 100"
    source.SOPClassUID = MRImageStorage
    source.StudyInstanceUID, source.SeriesInstanceUID, source.FrameOfReferenceUID = uids[:3]
    source.SOPInstanceUID = f"{uids[1]}.{number + 1}"
    source.PatientName, source.PatientID = "Quillfeather^Ottilie", "PID-778-2231"
    source.PatientBirthDate, source.StudyDate = "19530417", "20240229"
    source.PatientSex, source.StudyTime, source.StudyID = "F", "101500", "Mossbank"
    source.AccessionNumber, source.ReferringPhysicianName = "ACC99117", "Mossbank^Doctor"
    source.Modality, source.Manufacturer = "MR", "Mossbank Scanners"
    source.SeriesDescription, source.ProtocolName = "Quillfeather T1", "Mossbank"
    source.InstitutionName, source.PatientComments = "Mossbank", "Quillfeather 19530417"
    source.PatientPosition, source.BodyPartExamined = "HFS", "HEAD"
    source.ScanningSequence, source.SequenceVariant = "GR", "SP"
    source.EchoTime, source.RepetitionTime, source.SAR = "2.5", "9", "0.7"
    source.ImagePositionPatient = [round(float(x), 6) for x in (affine @ [0, 0, number, 1])[:3]]
    cosines = affine[:3, :2] / [i, j]
    source.ImageOrientationPatient = [round(float(x), 8) for x in cosines.T.ravel()]
    source.PixelSpacing, source.SliceThickness = [round(j, 6), round(i, 6)], round(k, 6)
    source.InstanceNumber = number + 1
    source.Columns, source.Rows = volume.geometry.shape[:2]
    source.SamplesPerPixel, source.PhotometricInterpretation = 1, "MONOCHROME2"
    source.BitsAllocated, source.BitsStored, source.HighBit = 16, 16, 15
    source.PixelRepresentation = 0
    source.PixelData = volume.voxels[:, :, number].T.astype("<u2").tobytes()
    block = source.private_block(0x0029, "MOSSBANK PRIVATE", create=True)
    block.add_new(0x01, "LO", "Quillfeather PID-778-2231")
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    return source


@pytest.fixture(scope="session")
def make_sources() -> Callable[[Volume], list[Dataset]]:
    """Function that makes the series of a volume whose axes are column, row and slice."""

    def build(volume: Volume) -> list[Dataset]:
        uids = ["1.2.826.0.1.77.5.501", "1.2.826.0.1.77.5.502", "1.2.826.0.1.77.5.503"]
        return [source_slice(volume, k, uids) for k in range(volume.geometry.shape[2])]

    return build


@pytest.fixture
def synthesis() -> Synthesis:
    """A model that makes T2w of T1w."""
    from medtranslate.io.dicom.marks import Synthesis

    return Synthesis(
        target="T2w",
        source="T1w",
        model="toy",
        model_sha256="ab" * 32,
        software_version="0.0",
        created=datetime(2026, 11, 25, 2, 3, 4, tzinfo=UTC),
    )


@pytest.fixture
def derived(
    oblique_volume: Volume, make_sources: Callable[[Volume], list[Dataset]], synthesis: Synthesis
) -> DerivedSeries:
    """A synthetic MR series on the grid of an oblique source, patient and study kept."""
    from medtranslate.io.dicom.derive import derive_series

    return derive_series(oblique_volume, make_sources(oblique_volume), synthesis, identity="keep")


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """An archive with DICOMweb in a temporary folder: its DICOM port and the URL of its pages."""
    program = shutil.which("Orthanc")
    plugins = [str(path) for path in Path("/usr").glob("*/**/libOrthancDicomWeb.so*")][:1]
    if program is None or not plugins:
        pytest.skip("Orthanc or its DICOMweb plugin is absent; make test-clinic installs them")
    folder, dicom, http = tmp_path_factory.mktemp("orthanc"), free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "HttpPort": http, "DicomPort": dicom, "DicomAet": "ORTHANC", "Plugins": plugins,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{http}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        wait_for_page(f"{url}/system", process)
        yield dicom, url
    finally:
        process.terminate()
        process.wait(30)


def wait_for_page(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a page of a program that has just been started answers."""
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if process.poll() is not None:
                pytest.fail("Orthanc ended while it was starting")
            time.sleep(0.2)
        else:
            return
    pytest.fail("Orthanc does not answer")
