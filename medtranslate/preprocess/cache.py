"""Prepared cases kept on disk under the hash of what went into them; no pickle."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from medtranslate.io.atomic import write_bytes, write_json
from medtranslate.io.content import hash_input
from medtranslate.io.documents import parse_document, read_document
from medtranslate.preprocess.loading import affine_of, load_images, voxels_of
from medtranslate.preprocess.preparation import (
    CaseFiles,
    Prepared,
    hash_outputs,
    hash_settings,
    prepare,
    used_files,
    used_versions,
)
from medtranslate.preprocess.registration import RegistrationReport
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.provenance import hash_file, hash_json, hash_volume
from medtranslate.volume import IntensityScale

_LOGGER = logging.getLogger(__name__)
_ROLES = ("source", "target", "mask", "seen", "label", "later")


@dataclass(frozen=True, eq=False)
class PreparedArrays:
    """A prepared case without the way back; what training reads.

    Attributes:
        source: Shape ``(1, i, j, k)``, float32, normalised, RAS+.
        target: Same; None if there was none.
        mask: Same shape, 0 and 1.
        seen: Same shape, 1 where the target scan has voxels; None without target.
        affine: Shape ``(4, 4)``; model grid to RAS+ mm.
        source_scale: How source values were normalised.
        target_scale: How target values were normalised; None without target.
        registration: How the target was registered; None if it was not.
        fingerprint: Hashes of inputs, settings and outputs, and library versions.
        label: Same shape, 0 to 1; the source's labelled region, None without one.
        later: Same shape, 0 to 1; the target's labelled region, None without one.
        further: Likewise, further regions of the same labels, by ``label-NAME`` and ``later-NAME``.
    """

    source: torch.Tensor
    target: torch.Tensor | None
    mask: torch.Tensor
    seen: torch.Tensor | None
    affine: np.ndarray
    source_scale: IntensityScale
    target_scale: IntensityScale | None
    registration: RegistrationReport | None
    fingerprint: dict[str, Any]  # as in preprocessing.json
    label: torch.Tensor | None = None
    later: torch.Tensor | None = None
    further: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def from_prepared(cls, prepared: Prepared) -> PreparedArrays:
        """The arrays of a case as :func:`prepare` returns it."""
        return cls(
            source=_plain(prepared.source),
            target=None if prepared.target is None else _plain(prepared.target),
            mask=_plain(prepared.mask),
            seen=None if prepared.seen is None else _plain(prepared.seen),
            affine=affine_of(prepared.source),
            source_scale=prepared.source_scale,
            target_scale=prepared.target_scale,
            registration=prepared.registration,
            fingerprint=prepared.fingerprint,
            label=None if prepared.label is None else _plain(prepared.label),
            later=None if prepared.later is None else _plain(prepared.later),
            further={key: _plain(image) for key, image in prepared.further.items()},
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """The images there are, by role."""
        images = {role: getattr(self, role) for role in _ROLES} | dict(self.further)
        return {role: image for role, image in images.items() if image is not None}


class PreparedCache:
    """A folder of prepared cases, each under the hash of its inputs, settings and versions.

    File names and dates do not matter: a renamed or touched file is found, a changed voxel is
    not. An entry that no longer fits its own fingerprint is made again.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when the first entry is written."""
        self._folder = folder

    def load_or_prepare(
        self, settings: PreprocessSettings, *, name: str, **files: Unpack[CaseFiles]
    ) -> PreparedArrays:
        """The prepared case from the folder, or prepared now and kept; arguments as `prepare`.

        Raises:
            VolumeReadError: As :func:`prepare`.
            GeometryError: As :func:`prepare`.
            VolumeWriteError: If the folder cannot be written.
        """
        inputs = {
            role: hash_file(path) if role == "transform" else self._hash_image(path)
            for role, path in used_files(settings, files).items()
        }
        made_from = {
            "inputs": inputs,
            "settings": hash_settings(settings),
            "versions": used_versions(),
        }
        entry = self._folder / f"{hash_json(made_from)}.safetensors"
        found = _read_entry(entry)
        if found is not None:
            return found
        prepared = prepare(settings, name=name, **files)
        arrays = PreparedArrays.from_prepared(prepared)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_bytes(entry, _to_bytes(arrays))
        # As the file holds them, so that the memory need not; unless somebody has removed it.
        return _read_entry(entry) or arrays

    def _hash_image(self, path: Path) -> str:
        """Hash of a scan's voxels and geometry; decoded once for every content of its files."""
        note = self._folder / "inputs" / f"{hash_input(path)}.json"
        if note.is_file():
            try:
                return str(read_document(note)["sha256"])
            except (ValueError, KeyError, TypeError):
                _LOGGER.warning("%s is damaged; it is written again", note.name)
        image = load_images(["image"])({"image": path})["image"]
        digest = hash_volume(voxels_of(image), affine_of(image))
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"sha256": digest})
        return digest


def load_or_prepare(
    settings: PreprocessSettings,
    *,
    name: str,
    cache: Path | None = None,
    **files: Unpack[CaseFiles],
) -> PreparedArrays:
    """A prepared case from the folder ``cache``, or prepared now; arguments as :func:`prepare`.

    Raises:
        VolumeReadError: As :func:`prepare`.
        GeometryError: As :func:`prepare`.
        VolumeWriteError: If the folder cannot be written.
    """
    if cache is not None:
        return PreparedCache(cache).load_or_prepare(settings, name=name, **files)
    prepared = prepare(settings, name=name, **files)
    return PreparedArrays.from_prepared(prepared)


def _plain(image: MetaTensor) -> torch.Tensor:
    return image.as_tensor().contiguous()


def _to_bytes(arrays: PreparedArrays) -> bytes:
    """One safetensors file whose header carries the rest as JSON."""
    header = {
        "affine": arrays.affine.tolist(),
        "source_scale": arrays.source_scale.to_json(),
        "target_scale": None if arrays.target_scale is None else arrays.target_scale.to_json(),
        "registration": None if arrays.registration is None else arrays.registration.to_json(),
        "fingerprint": arrays.fingerprint,
    }
    return save(arrays.tensors(), metadata={"prepared": json.dumps(header, allow_nan=False)})


def _read_entry(path: Path) -> PreparedArrays | None:
    """An entry whose voxels still fit its fingerprint; None if there is none."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_document(file.metadata()["prepared"])
            tensors = {role: file.get_tensor(role) for role in file.keys()}  # noqa: SIM118
        arrays = _from_parts(tensors, header)
        outputs = {role: image.numpy()[0] for role, image in tensors.items()}
        if hash_outputs(outputs, arrays.affine) != arrays.fingerprint["outputs"]:
            raise ValueError("voxels do not fit the fingerprint")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        _LOGGER.warning("cache entry %s is damaged (%s); it is prepared again", path.name, error)
        return None
    return arrays


def _from_parts(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> PreparedArrays:
    target_scale, registration = header["target_scale"], header["registration"]
    return PreparedArrays(
        source=tensors["source"],
        target=tensors.get("target"),
        mask=tensors["mask"],
        seen=tensors.get("seen"),
        affine=np.array(header["affine"], dtype=np.float64),
        source_scale=IntensityScale.from_json(header["source_scale"]),
        target_scale=None if target_scale is None else IntensityScale.from_json(target_scale),
        registration=None if registration is None else RegistrationReport.from_json(registration),
        fingerprint=cast("dict[str, Any]", header["fingerprint"]),
        label=tensors.get("label"),
        later=tensors.get("later"),
        further={role: image for role, image in tensors.items() if role not in _ROLES},
    )
