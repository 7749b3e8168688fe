"""From the files of one case to normalised volumes on the model grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack, cast

import numpy as np
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.transform import Transform

from medtranslate.errors import MedTranslateError
from medtranslate.geometry import Geometry
from medtranslate.preprocess.loading import affine_of, geometry_of, load_images, voxels_of
from medtranslate.preprocess.registration import RegistrationReport
from medtranslate.preprocess.settings import PreprocessSettings, WindowIntensity
from medtranslate.preprocess.steps import (
    LABELS,
    AlignTarget,
    BringTargetOntoSource,
    CorrectBias,
    CropToMask,
    FindMask,
    NormaliseIntensity,
    ReadLabels,
    RecordInputs,
    further_keys,
)
from medtranslate.provenance import hash_json, hash_volume, software_versions
from medtranslate.volume import IntensityScale

_NAMED_VERSIONS = (
    "medtranslate", "monai", "nibabel", "numpy", "scikit-image", "scipy", "SimpleITK", "torch"
)  # fmt: skip

STEPS_REVISION = "2"
"""Raised whenever a step gives other voxels than before, so that no cache answers with old ones."""


class CaseFiles(TypedDict, total=False):
    """The files of one case, as keywords; None is the same as absent.

    Attributes:
        source: Scan that goes in.
        target: Scan to compare with.
        mask: Given mask, used if the settings' ``mask`` is ``given``.
        transform: ITK file, points of the source to points of the target, used if the settings'
            ``align`` is ``transforms``.
        label: Labelled region of the source, on its grid.
        later: Labelled region of the target, on its grid.
    """

    source: Required[Path]
    target: Path | None
    mask: Path | None
    transform: Path | None
    label: Path | None
    later: Path | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """One case on the model grid, and what is needed to go back.

    Attributes:
        name: The case's name.
        source: Shape ``(1, i, j, k)``, normalised; carries MONAI's record of applied operations.
        target: Same grid, normalised; None if there was none.
        mask: Same grid, 0 and 1, made from the source alone.
        seen: Same grid, 1 where the target scan has voxels; None without target.
        source_scale: How source values were normalised.
        target_scale: How target values were normalised; None without target.
        registration: How the target was registered; None if it was not.
        inputs: SHA-256 of each input by role.
        settings: What was asked for.
        native: The source's own grid.
        chain: The MONAI transforms that were applied.
        label: Same grid, 0 to 1; the source's labelled region, None without one.
        later: Same grid, 0 to 1; the target's labelled region, None without one.
        further: Likewise, further regions of the same labels, by ``label-NAME`` and ``later-NAME``.
    """

    name: str
    source: MetaTensor
    target: MetaTensor | None
    mask: MetaTensor
    seen: MetaTensor | None
    source_scale: IntensityScale
    target_scale: IntensityScale | None
    registration: RegistrationReport | None
    inputs: Mapping[str, str]
    settings: PreprocessSettings
    native: Geometry
    chain: Compose
    label: MetaTensor | None = None
    later: MetaTensor | None = None
    further: Mapping[str, MetaTensor] = field(default_factory=dict)

    @property
    def grid(self) -> Geometry:
        """The model grid."""
        return geometry_of(self.source)

    @cached_property
    def ascending(self) -> np.ndarray:
        """Normalised intensities of the source inside the mask, sorted; shape ``(n,)``, float32."""
        return np.sort(voxels_of(self.source)[voxels_of(self.mask) > 0])

    @cached_property  # translating asks for none
    def fingerprint(self) -> dict[str, Any]:
        """Hashes of inputs, settings and outputs, and library versions."""
        roles = ("source", "target", "mask", "seen", *LABELS)
        images = {role: getattr(self, role) for role in roles} | dict(self.further)
        outputs = {role: voxels_of(one) for role, one in images.items() if one is not None}
        return {
            "inputs": dict(self.inputs),
            "settings": hash_settings(self.settings),
            "versions": used_versions(),
            "outputs": hash_outputs(outputs, affine_of(self.source)),
        }


def build_chain(settings: PreprocessSettings) -> Compose:
    """The MONAI chain of dictionary transforms that ``settings`` describe.

    Takes ``name`` and paths under ``source`` and, where there are any, ``target``, ``mask``,
    ``transform``, ``label`` and ``later``. The source's path through the chain is the same with
    and without a target.
    """
    images = ["source", "target", "mask"]
    further = further_keys(settings.further_regions)
    everything = [*images, *LABELS, *further]
    moving = ["source", "mask", *(key for key in (*LABELS, *further) if key.startswith(LABELS[0]))]
    steps: list[Transform] = [
        load_images([*images, *LABELS]),
        RecordInputs(),
        ReadLabels(settings.region_values, settings.further_regions),
        Orientationd(
            everything, axcodes=settings.orientation, labels=None, allow_missing_keys=True
        ),
        AlignTarget(settings.align, register_same_grid=settings.register_same_grid),
    ]
    if settings.n4:
        steps.append(CorrectBias(_mr_keys(settings), allow_missing_keys=True))
    steps.append(FindMask(settings.mask))
    if settings.spacing is not None:
        spacing = Spacingd(
            moving,
            pixdim=settings.spacing,
            mode=["nearest" if key == "mask" else "bilinear" for key in moving],
            allow_missing_keys=True,
            padding_mode="border",
        )
        steps.append(spacing)
    steps.append(BringTargetOntoSource(settings.target_intensity))
    if settings.crop_margin_mm is not None:
        steps.append(CropToMask([*everything, "seen"], settings.crop_margin_mm))
    steps.append(NormaliseIntensity(settings))
    return Compose(steps)


def prepare(settings: PreprocessSettings, *, name: str, **files: Unpack[CaseFiles]) -> Prepared:
    """Load one case and bring it onto the model grid in normalised units.

    Args:
        settings: Which steps.
        name: Names the case in messages.
        **files: As :class:`CaseFiles` says; nothing about the source depends on the target.

    Raises:
        VolumeReadError: If a file cannot be used or a mask or scale cannot be found.
        GeometryError: If grids do not fit together.
    """
    chain = build_chain(settings)
    data = run_chain(chain, {"name": name, **used_files(settings, files)})
    return Prepared(
        name=name,
        source=data["source"],
        target=data.get("target"),
        mask=data["mask"],
        seen=data.get("seen"),
        source_scale=data["source_scale"],
        target_scale=data.get("target_scale"),
        registration=data.get("registration"),
        inputs=data["inputs"],
        settings=settings,
        native=data["native"],
        chain=chain,
        label=data.get("label"),
        later=data.get("later"),
        further={key: data[key] for key in further_keys(settings.further_regions) if key in data},
    )


def used_files(settings: PreprocessSettings, files: CaseFiles) -> dict[str, Path]:
    """The files that the settings make use of, by role."""
    unused: set[str] = set() if settings.mask == "given" else {"mask"}
    if settings.align != "transforms":
        unused.add("transform")
    if files.get("target") is None:
        unused |= {"transform", "later"}
    given = cast("Mapping[str, Path | None]", files)
    return {role: path for role, path in given.items() if path is not None and role not in unused}


# A MONAI dictionary holds tensors, paths and reports under their keys.
def run_chain(chain: Compose, data: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a chain; an error of ours comes out as it went in, not as MONAI wraps it.

    Raises:
        MedTranslateError: Whatever a step found wrong.
    """
    try:
        result: dict[str, Any] = chain(dict(data))
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MedTranslateError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None
    return result


def used_versions() -> dict[str, str]:
    """Versions of the libraries whose code touches the voxels here, and of our own steps."""
    versions = software_versions()
    named = {name: versions[name] for name in _NAMED_VERSIONS if name in versions}
    return named | {"steps": STEPS_REVISION}


def hash_settings(settings: PreprocessSettings) -> str:
    """SHA-256 of every value of the settings."""
    return hash_json(settings.model_dump(mode="json"))


def hash_outputs(images: Mapping[str, np.ndarray], affine: np.ndarray) -> dict[str, str]:
    """SHA-256 of each output's voxels and grid, by role."""
    return {role: hash_volume(array, affine) for role, array in images.items()}


def _mr_keys(settings: PreprocessSettings) -> list[str]:
    """Keys of images that are not CT."""
    intensities = {"source": settings.source_intensity, "target": settings.target_intensity}
    return [key for key, value in intensities.items() if not isinstance(value, WindowIntensity)]
