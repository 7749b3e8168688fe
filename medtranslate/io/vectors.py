"""Vector fields as NIfTI: three numbers a voxel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from isal import igzip

from medtranslate.errors import VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io.atomic import atomic_path, write_json
from medtranslate.io.marks import make_mark_extension
from medtranslate.io.writing import COMPRESSION_LEVEL, sidecar_path


def write_vector_field(
    path: Path,
    field: np.ndarray,
    geometry: Geometry,
    *,
    sidecar: Mapping[str, Any],
    description: str = "",
    mark: Mapping[str, Any],
) -> None:
    """Write a field as five-dimensional NIfTI with intent code 1007 (vector), atomically.

    Args:
        path: Ends with ``.nii.gz``.
        field: Shape ``(3, i, j, k)``, millimetres along the RAS+ axes of the world, finite.
        geometry: Where the voxels lie.
        sidecar: Plain data for the JSON file of the same stem.
        description: ASCII text of at most 79 bytes.
        mark: Plain data for the header extension that marks what is synthetic.

    Raises:
        VolumeWriteError: If the field is not finite, or the file cannot be written.
    """
    if not np.isfinite(field).all():
        raise VolumeWriteError(f"{path}: the field holds NaN or infinite values; nothing written")
    array = np.moveaxis(field.astype(np.float32), 0, -1)[:, :, :, None, :]
    image = nibabel.Nifti1Image(array, geometry.affine)
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = description.encode("ascii")
    image.set_sform(geometry.affine, code=1)
    image.set_qform(geometry.affine, code=1)
    image.header.extensions.append(make_mark_extension(mark))
    with (
        atomic_path(path, suffix=".gz") as temporary,
        temporary.open("wb") as file,
        igzip.IGzipFile(
            filename="", mode="wb", fileobj=file, mtime=0, compresslevel=COMPRESSION_LEVEL
        ) as stream,
    ):
        stream.write(image.to_bytes())
    write_json(sidecar_path(path), dict(sidecar))
