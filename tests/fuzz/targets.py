"""What is fuzzed: a file of a kind, sound examples of it, and how it is read."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
import torch

from medtranslate.checkpoint import save_model
from medtranslate.checkpoint.sealing import seal
from medtranslate.data.dicom_inspection import inspect_dicom
from medtranslate.errors import MedTranslateError
from medtranslate.geometry import Geometry
from medtranslate.io import read_header, read_volume
from medtranslate.io.dicom.reading import read_series
from medtranslate.io.marks import read_header_texts
from medtranslate.manifest import load_signing_key, read_manifest, sign_outputs
from medtranslate.pipeline import build_generator, pipeline_from_json, read_pipeline
from medtranslate.provenance import hash_bytes
from medtranslate.volume import CT_SCALE, Volume
from medtranslate.workflows.prediction import load_translator
from tests.conftest import analytic_voxels, build_affine
from tests.io.dicom.conftest import enhanced, save_all, slice_headers
from tests.io.dicom.packed_frames import FRAMES, SYNTAXES, put_frames

ROOT = Path(__file__).resolve().parents[2]
ODD = ROOT.parent / "shared" / "data" / "odd"
_LARGEST_EXAMPLE = 150_000

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        examples: Sound files, each with the name it is to have when it is read.
        folder: What lies beside the file under test; None for nothing.
        read: Reads the file, or the folder it lies in.
    """

    examples: tuple[tuple[str, bytes], ...]
    read: Read
    folder: Path | None = None


def attempt(target: Target, name: str, data: bytes) -> bool:
    """Put a file in its place and read it: whether it was read, or else refused by name.

    Any other error passes through.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "given"
        if target.folder is None:
            place.mkdir()
        else:
            shutil.copytree(target.folder, place)
        (place / name).write_bytes(data)
        try:
            target.read(place / name)
        except MedTranslateError as error:
            if str(place) not in str(error):
                raise AssertionError(f"does not name the file: {error}") from error
            return False
    return True


@contextlib.contextmanager
def make_targets() -> Iterator[dict[str, Target]]:
    """Every kind of input by name; what they need lies on disk while the block lasts."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        yield {
            "scan": Target(tuple(_scans(place)), _read_scan),
            "dicom": Target(tuple(_dicom(place)), _read_dicom),
            "pipeline": Target(tuple(_pipelines()), read_pipeline),
            "model": _model(place),
            "manifest": _manifest(place),
        }


def _read_scan(path: Path) -> None:
    read_header(path)
    if ".nii" in path.name:
        read_header_texts(path).find_mark()
    read_volume(path)


def _read_dicom(path: Path) -> None:
    """As a folder is read, and as one that is listed; the latter tells errors as findings."""
    place = path if path.suffix == ".zip" else path.parent
    inspect_dicom(place)
    read_series(place)


def _odd(*patterns: str) -> Iterator[Path]:
    if ODD.is_dir():
        for pattern in patterns:
            for path in sorted(ODD.rglob(pattern)):
                if path.is_file() and 0 < path.stat().st_size <= _LARGEST_EXAMPLE:
                    yield path


def _volume() -> Volume:
    affine = build_affine("RAS", degrees=(5.0, -8.0, 12.0))
    voxels = np.rint(analytic_voxels((9, 8, 6), affine))
    return Volume(voxels[None], Geometry((9, 8, 6), affine))


def _scans(place: Path) -> Iterator[tuple[str, bytes]]:
    volume = _volume()
    voxels, affine = volume.voxels.astype(np.int16), volume.geometry.affine
    for suffix in (".nii", ".nii.gz", ".mgh"):
        kind = nibabel.MGHImage if suffix == ".mgh" else nibabel.Nifti1Image
        nibabel.save(kind(voxels, affine), place / f"scan{suffix}")
    nibabel.save(nibabel.Nifti2Image(voxels, affine), place / "second.nii")
    for suffix, packed in ((".mha", False), (".nrrd", False), (".mha", True), (".nrrd", True)):
        path = place / f"scan{'-packed' * packed}{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(voxels.T), str(path), useCompression=packed)
    for path in sorted(place.glob("s*.*")):
        yield path.name, path.read_bytes()
    for path in _odd("*.nii", "*.nii.gz", "*.mha"):
        yield path.name, path.read_bytes()


def _dicom(place: Path) -> Iterator[tuple[str, bytes]]:
    slices = slice_headers(_volume(), "CT")
    for slice_ in slices:
        slice_.SliceThickness = "3.1"
    save_all(place / "ct", slices[:1])
    save_all(place / "mr", [enhanced(slice_headers(_volume(), "MR"))])
    for kind, frame in FRAMES.items():
        (packed_slice,) = slice_headers(_volume(), "CT")[:1]
        put_frames(packed_slice, [frame], SYNTAXES[kind])
        save_all(place / kind, [packed_slice])
    for folder in ("ct", "mr", *FRAMES):
        yield f"{folder}.dcm", (place / folder / "IM1.dcm").read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(save_all(place / "zip", slices).iterdir()):
            archive.write(path, path.name)
    yield "study.zip", packed.getvalue()
    for path in _odd("dicom/**/*"):
        if path.suffix != ".gz":
            yield f"{path.stem}.dcm", path.read_bytes()


def _pipelines() -> Iterator[tuple[str, bytes]]:
    for path in sorted((ROOT / "pipelines").glob("*.yaml")):
        yield path.name, path.read_bytes()


_TOY = {
    "name": "toy",
    "source": "T1w",
    "target": "T2w",
    "preprocess": {"mask": "nonzero"},
    "method": {"name": "regression", "generator": {"channels": 8, "blocks": [1, 1]}},
    "train": {"patch_size": [16, 16, 16], "num_steps": 4},
}


def _model(place: Path) -> Target:
    folder = place / "model"
    pipeline = pipeline_from_json(_TOY, where="toy")
    torch.manual_seed(0)
    save_model(
        folder,
        weights=build_generator(pipeline).state_dict(),
        config={"pipeline": pipeline.model_dump(mode="json"), "split": {"toy/1": "train"}},
        scale=CT_SCALE,
        provenance={"seed": 0},
        card="# Toy\n",
    )
    names = ("config.json", "scale.json", "provenance.json", "weights.safetensors")
    return Target(tuple((n, (folder / n).read_bytes()) for n in names), _read_model, folder)


def _read_model(path: Path) -> None:
    """As it stands, and once more after its hashes were made to fit, as an attacker would."""
    folder = path.parent
    for fit in (False, True):
        if fit and not _seal_again(folder):
            return
        try:
            load_translator(folder)
        except MedTranslateError:
            if fit:
                raise


def _seal_again(folder: Path) -> bool:
    try:
        document = json.loads((folder / "config.json").read_bytes())
        document.pop("sha256", None)
        document["format"] = "medtranslate-model-1"
        document["scale"] = json.loads((folder / "scale.json").read_bytes())
        document["weights_sha256"] = hash_bytes((folder / "weights.safetensors").read_bytes())
        (folder / "config.json").write_text(json.dumps(seal(document)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


def _manifest(place: Path) -> Target:
    folder = place / "results"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    record: Mapping[str, object] = {"command": "fuzz", "seed": 1.5, "inputs": {"a": ["b", None]}}
    key = load_signing_key(place / "key.pem")
    path = sign_outputs(folder, since={}, record=record, key=key)
    return Target(((path.name, path.read_bytes()),), lambda file: read_manifest(file).holds)
