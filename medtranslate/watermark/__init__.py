"""A keyed, invisible pattern in the voxels of a synthetic scan, and how it is found again."""

from medtranslate.watermark.detection import NEEDED_SCORE, Detection, find_watermark
from medtranslate.watermark.embedding import STRENGTH_DB, add_watermark
from medtranslate.watermark.key import WatermarkKey, find_watermark_key, read_watermark_key
from medtranslate.watermark.record import SIDECAR_KEY, describe_watermark, recorded_identity

__all__ = [
    "NEEDED_SCORE",
    "SIDECAR_KEY",
    "STRENGTH_DB",
    "Detection",
    "WatermarkKey",
    "add_watermark",
    "describe_watermark",
    "find_watermark",
    "find_watermark_key",
    "read_watermark_key",
    "recorded_identity",
]
