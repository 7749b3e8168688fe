"""What a folder of results holds, with the hash of each file, signed by who made it."""

from medtranslate.manifest.document import MANIFEST_FILE, Manifest, read_manifest
from medtranslate.manifest.files import FileRecord
from medtranslate.manifest.keys import describe_key, load_signing_key, public_text
from medtranslate.manifest.outputs import (
    Recorded,
    Snapshot,
    read_recorded,
    sign_outputs,
    take_snapshot,
)

__all__ = [
    "MANIFEST_FILE",
    "FileRecord",
    "Manifest",
    "Recorded",
    "Snapshot",
    "describe_key",
    "load_signing_key",
    "public_text",
    "read_manifest",
    "read_recorded",
    "sign_outputs",
    "take_snapshot",
]
