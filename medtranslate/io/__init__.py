"""Scans on disk: one way to read them, one way to write them, and their names."""

from medtranslate.io.naming import BidsName, parse_bids_name, prediction_name
from medtranslate.io.reading import is_scan, read_header, read_mask, read_volume
from medtranslate.io.scan import MAX_VOXELS, ScanHeader
from medtranslate.io.suffixes import SCAN_SUFFIXES, scan_suffix
from medtranslate.io.writing import sidecar_path, write_volume

__all__ = [
    "MAX_VOXELS",
    "SCAN_SUFFIXES",
    "BidsName",
    "ScanHeader",
    "is_scan",
    "parse_bids_name",
    "prediction_name",
    "read_header",
    "read_mask",
    "read_volume",
    "scan_suffix",
    "sidecar_path",
    "write_volume",
]
