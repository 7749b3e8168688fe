"""The volume of standard deviations beside a prediction: its name, its sidecar, reading it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtranslate.errors import DatasetError
from medtranslate.io import parse_bids_name, read_volume, scan_suffix
from medtranslate.metrics.calibration import LEVELS, Calibration
from medtranslate.volume import Volume
from medtranslate.watermark import SIDECAR_KEY

DEVIATION_DESC = "syntheticsd"
"""Label of the ``desc`` entity beside a prediction of ``desc-synthetic``."""

_OF_THE_PREDICTION = ("ClippedVoxels", SIDECAR_KEY)
"""Keys of its sidecar that do not hold for the deviations."""

_CAUTION = (
    "The factors hold for the validation people. Voxels of one person are not exchangeable with"
    " those of another: coverage on other people is not guaranteed; 'medtranslate validate"
    " --uncertainty' measures it."
)
_ENSEMBLE = (
    " They were found for the plain and mirrored prediction of the first model alone, not for this"
    " ensemble."
)


def deviation_path(prediction: Path) -> Path:
    """Where the standard deviations of a prediction lie.

    Example:
        >>> deviation_path(Path("sub-1_desc-synthetic_T2w.nii.gz")).name
        'sub-1_desc-syntheticsd_T2w.nii.gz'
        >>> deviation_path(Path("out.nii.gz")).name
        'out_sd.nii.gz'
    """
    name = parse_bids_name(prediction)
    if name is None:
        suffix = scan_suffix(prediction) or ""
        return prediction.with_name(f"{prediction.name.removesuffix(suffix)}_sd{suffix}")
    desc = name.get("desc") or "synthetic"
    return prediction.with_name(name.with_entities(desc=f"{desc}sd").name)


def describe_deviation(
    sidecar: Mapping[str, Any],
    calibration: Calibration,
    *,
    views: Sequence[Mapping[str, Any]],
    prediction: Path,
) -> dict[str, Any]:
    """Plain data of the sidecar, with the rule that makes intervals of the volume.

    Args:
        sidecar: Of the prediction, with its ``IntensityScale``.
        calibration: In the normalised unit.
        views: The predictions it is the deviation of, see :func:`describe_views`.
        prediction: The file the intervals lie around.
    """
    scale = sidecar["IntensityScale"]
    floor = calibration.floor * scale["Factor"]
    factors = {f"{100 * level:g}": calibration.factors[level] for level in LEVELS}
    is_ensemble = len({view["ModelSha256"] for view in views}) > 1
    return {
        **{key: value for key, value in sidecar.items() if key not in _OF_THE_PREDICTION},
        "Description": f"Voxel-wise standard deviation of {len(views)} predictions"
        f" ({sidecar['Description']}); 0 outside the mask",
        "StandardDeviationOf": prediction.name,
        "Predictions": [dict(view) for view in views],
        "IntensityScale": {**scale, "Offset": 0.0},
        "Background": 0.0,
        "Intervals": {
            "Rule": "Inside the mask: from prediction - h to prediction + h, where"
            " h = Factors[percent] * (this volume + Floor)",
            "Example": f"90 %: h = {factors['90']:.6g} * (this volume + {floor:.6g})",
            "Factors": factors,
            "Floor": floor,
            "CalibrationPeople": calibration.num_people,
            "CalibrationVoxels": calibration.num_voxels,
            "Caution": _CAUTION + _ENSEMBLE * is_ensemble,
        },
    }


def read_deviation(prediction: Path) -> Volume:
    """The standard deviations that were written beside a prediction.

    Raises:
        DatasetError: If there are none.
        VolumeReadError: If they cannot be read.
    """
    path = deviation_path(prediction)
    if not path.is_file():
        raise DatasetError(
            f"{path.name}: is absent beside {prediction.name}; translate again with uncertainty"
        )
    return read_volume(path)
