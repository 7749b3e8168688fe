"""What the sidecar of a scan says of its watermark: whose and how strong, never the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtranslate.watermark.embedding import STRENGTH_DB
from medtranslate.watermark.key import WatermarkKey

SIDECAR_KEY = "Watermark"
"""Key of a sidecar under which this stands."""


def describe_watermark(key: WatermarkKey) -> dict[str, Any]:
    """Plain data for sidecars and manifests."""
    return {"Key": key.identity, "StrengthDb": STRENGTH_DB}


def recorded_identity(sidecar: Mapping[str, Any]) -> str | None:
    """The identity of the key whose watermark a sidecar tells of; None if it tells of none."""
    told = sidecar.get(SIDECAR_KEY)
    return str(told.get("Key")) if isinstance(told, Mapping) else None
