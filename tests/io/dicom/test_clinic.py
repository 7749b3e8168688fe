"""What is written, put before programs of others: a validator, a converter and an archive."""

import json
import subprocess
import urllib.request
from dataclasses import replace
from io import BytesIO
from shutil import which

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from medtranslate.io.dicom.derive import derive_series
from medtranslate.io.dicom.network import Address, send_files
from medtranslate.io.dicom.parametric_map import make_deviation_map, make_error_map
from medtranslate.io.dicom.segmentation import make_segmentation
from medtranslate.io.dicom.structure_set import make_structure_set
from medtranslate.io.dicom.writing import write_datasets

pytestmark = pytest.mark.clinic

NEWER_TAG = "(0x0008,0x001c)"
"""Synthetic Data; the validator of Debian 12 is older than it."""

RESCALED_MR = ("Modality LUT Module", "DS Rescale Intercept", "DS Rescale Slope")
EXTENDED = "this is a Standard Extended SOP Class"
LATERALITY = "should be absent (not empty) if an unpaired body part"
"""Of the Parametric Map alone, where its absence is called an error."""

NO_STUDY = "needed to build DICOMDIR - Study"


def program(name):
    if which(name) is None:
        pytest.skip(f"{name} is absent; make test-clinic installs it")
    return name


@pytest.fixture(params=["MR", "CT"])
def volume(request, oblique_volume):
    if request.param == "MR":
        return oblique_volume
    return replace(oblique_volume, array=oblique_volume.array - 1000, modality="CT", unit="HU")


def error_of(volume):
    """Errors on both sides of 0 in the unit of a volume."""
    unit = "HU" if volume.unit == "HU" else "normalised"
    return replace(volume, array=(volume.array - volume.array.mean()) / 7, unit=unit)


@pytest.fixture(params=["keep", "pseudonym"])
def written(request, volume, make_sources, synthesis, tmp_path):
    """Every kind of object in folders of their own, and the series they belong to."""
    series = derive_series(volume, make_sources(volume), synthesis, identity=request.param)
    sd = replace(volume, array=np.abs(volume.array) / 9)
    masks = {"GTV": volume.array[0] > np.percentile(volume.array, 80)}
    objects = {
        "series": series.datasets,
        "deviation": [make_deviation_map(sd, series, synthesis)],
        "error": [make_error_map(error_of(volume), series, synthesis)],
        "regions": [make_segmentation(masks, series, synthesis)],
        "structures": [make_structure_set(masks, series, synthesis)],
    }
    for name, datasets in objects.items():
        write_datasets(tmp_path / name, datasets)
    return tmp_path, series


def test_the_validator_names_the_newer_tag_and_nothing_else(written):
    folder, _ = written
    for path in sorted(folder.rglob("*.dcm")):
        told = subprocess.run(
            [program("dciodvfy"), str(path)], capture_output=True, text=True
        )  # fmt: skip
        lines = [line for line in (told.stdout + told.stderr).splitlines() if " - " in line]
        lines += [line for line in (told.stdout + told.stderr).splitlines() if "Error" in line]
        errors = [line for line in lines if "Error" in line and NEWER_TAG not in line]
        known = (NEWER_TAG, EXTENDED, NO_STUDY, LATERALITY, *RESCALED_MR)
        warnings = [line for line in lines if not any(text in line for text in known)]
        assert errors == [], path
        assert warnings == [], path


def convert(folder, name):
    """What dcm2niix makes of the objects in a folder."""
    out = folder / f"nifti-{name}"
    out.mkdir()
    subprocess.run(
        [program("dcm2niix"), "-z", "n", "-f", "out", "-o", str(out), str(folder / name)],
        check=True, capture_output=True,
    )  # fmt: skip
    return nibabel.load(next(out.glob("*.nii")))


def on_grid(image, grid):
    """The voxels of an image in the order of a grid, whose every voxel it must have."""
    index = np.indices(grid.shape).reshape(3, -1)
    world = grid.affine[:3, :3] @ index + grid.affine[:3, 3:]
    back = np.linalg.inv(image.affine)
    place = back[:3, :3] @ world + back[:3, 3:]
    voxel_mm = image.affine[:3, :3] @ (place - np.rint(place))
    assert np.abs(voxel_mm).max() < 1e-3
    found = np.asarray(image.dataobj)[tuple(np.rint(place).astype(int))]
    return found.reshape(grid.shape)


def test_the_converter_finds_the_same_volume(written, volume):
    folder, series = written
    found = on_grid(convert(folder, "series"), volume.geometry)
    step = float(series.datasets[0].RescaleSlope)
    np.testing.assert_allclose(found, volume.voxels, atol=step / 2 + 1e-3 * step + 1e-3)


def test_the_converter_finds_the_same_errors(written, volume):
    folder, _ = written
    found = on_grid(convert(folder, "error"), volume.geometry)
    np.testing.assert_allclose(found, error_of(volume).voxels, rtol=1e-6, atol=1e-6)


def fetch(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def instances(url, series_uid):
    """Every instance of a series in the archive, by UID."""
    query = {"Level": "Instance", "Query": {"SeriesInstanceUID": series_uid}}
    request = urllib.request.Request(f"{url}/tools/find", data=json.dumps(query).encode())
    names = json.loads(fetch(request))
    found = [dcmread(BytesIO(fetch(f"{url}/instances/{name}/file"))) for name in names]
    return {one.SOPInstanceUID: one for one in found}


def delete_all(url):
    for name in json.loads(fetch(f"{url}/studies")):
        request = urllib.request.Request(f"{url}/studies/{name}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()


def stow(url, paths):
    """Send files as one multipart request, as DICOMweb has it."""
    body = BytesIO()
    for path in paths:
        body.write(
            b"--part\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
        )
    body.write(b"--part--\r\n")
    kind = 'multipart/related; type="application/dicom"; boundary=part'
    request = urllib.request.Request(
        f"{url}/dicom-web/studies", data=body.getvalue(),
        headers={"Content-Type": kind, "Accept": "application/dicom+json"},
    )  # fmt: skip
    return json.loads(fetch(request))


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_an_archive_returns_every_object_with_identical_voxels(written, orthanc, way):
    folder, series = written
    port, url = orthanc
    delete_all(url)
    paths = sorted(folder.rglob("*.dcm"))
    if way == "C-STORE":
        send_files(paths, Address("127.0.0.1", port, "ORTHANC"))
    else:
        answer = stow(url, paths)
        assert len(answer["00081199"]["Value"]) == len(paths)

    for path in paths:
        sent = dcmread(path)
        found = instances(url, sent.SeriesInstanceUID)[sent.SOPInstanceUID]
        assert found.SyntheticData == "YES"
        for keyword in ("PixelData", "FloatPixelData"):
            assert found.get(keyword) == sent.get(keyword)
        assert found.get("ROIContourSequence") == sent.get("ROIContourSequence")
    assert len(instances(url, series.series_uid)) == len(series.datasets)
