"""MONAI's loading over this package's own checked reader."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.image_reader import ImageReader
from monai.data.meta_tensor import MetaTensor
from monai.transforms.io.dictionary import LoadImaged
from monai.utils.enums import MetaKeys, SpaceKeys

from medtranslate.geometry import Geometry
from medtranslate.io import is_scan, read_volume

_AnyPath = str | PathLike[str]


class CheckedReader(ImageReader):
    """Gives MONAI the scans that :func:`medtranslate.io.read_volume` accepts, and no other.

    MONAI tries its own readers when ``read`` raises, and those accept damaged files. So ``read``
    only passes the path on, and the file is opened and checked in ``get_data``.
    """

    def verify_suffix(self, filename: Sequence[_AnyPath] | _AnyPath) -> bool:
        """Whether every path is that of a scan that can be read."""
        return all(is_scan(Path(name)) for name in _as_list(filename))

    def read(self, data: Sequence[_AnyPath] | _AnyPath, **kwargs: Any) -> Path:
        """The path of one scan, unopened; ``kwargs`` is MONAI's and stays empty."""
        (path,) = _as_list(data)
        return Path(path)

    # MONAI's metadata dictionary holds values of any type.
    def get_data(self, img: Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Read and check the file.

        Args:
            img: What :meth:`read` returned.

        Returns:
            Array ``(1, i, j, k)`` in the file's order, and metadata with the affine to RAS+ mm.

        Raises:
            VolumeReadError: If the file is not one complete, finite 3-D volume.
            GeometryError: If its voxels cannot be placed.
        """
        volume = read_volume(img)
        return volume.array, {
            MetaKeys.AFFINE.value: volume.geometry.affine,
            MetaKeys.ORIGINAL_AFFINE.value: volume.geometry.affine.copy(),
            MetaKeys.SPATIAL_SHAPE.value: np.array(volume.geometry.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM.value: 0,
            MetaKeys.SPACE.value: SpaceKeys.RAS.value,
        }


def load_images(keys: Sequence[str]) -> LoadImaged:
    """MONAI's loading of ``keys`` over :class:`CheckedReader`; absent keys are passed over.

    Returns:
        A transform from a dictionary of paths to float32 ``MetaTensor`` ``(1, i, j, k)``.
    """
    # MONAI also builds its own readers; where pydicom is, one of them misses a GPU decoder.
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
        return LoadImaged(
            list(keys),
            reader=CheckedReader,
            ensure_channel_first=True,
            image_only=True,
            dtype=np.float32,
            allow_missing_keys=True,
        )


def geometry_of(image: MetaTensor) -> Geometry:
    """Where the voxels of a ``(1, i, j, k)`` tensor lie."""
    i, j, k = image.shape[1:]
    return Geometry((i, j, k), affine_of(image))


def affine_of(image: MetaTensor) -> np.ndarray:
    """The affine of a tensor to RAS+ mm, shape ``(4, 4)``, float64."""
    affine: np.ndarray = image.affine.detach().cpu().numpy().astype(np.float64)
    return affine


def voxels_of(image: torch.Tensor) -> np.ndarray:
    """The first channel as an array ``(i, j, k)`` in C order."""
    return np.ascontiguousarray(torch.Tensor.numpy(_plain(image.detach().cpu()))[0])


def track(voxels: np.ndarray, *, like: MetaTensor) -> MetaTensor:
    """Voxels ``(i, j, k)`` as ``(1, i, j, k)`` with the affine and the record of ``like``."""
    image = MetaTensor(torch.from_numpy(np.ascontiguousarray(voxels))[None])
    image.meta = deepcopy(like.meta)
    image.applied_operations = deepcopy(like.applied_operations)
    return image


def _plain(image: torch.Tensor) -> torch.Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image


def _as_list(names: Sequence[_AnyPath] | _AnyPath) -> list[_AnyPath]:
    return [names] if isinstance(names, str | PathLike) else list(names)
