"""The manifest itself: its schema, reading it, signing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue

from medtranslate.errors import ConfigError
from medtranslate.io.atomic import write_json
from medtranslate.io.documents import read_document
from medtranslate.manifest.files import FileName, FileRecord
from medtranslate.manifest.keys import is_signed, sign_content
from medtranslate.settings import Settings, validate_settings

MANIFEST_FILE = "manifest.json"
MANIFEST_FORMAT = "medtranslate-manifest-1"

_NOTE = "Research use only. Scans marked SYNTHETIC were not acquired"


class Manifest(Settings):
    """What lies in a folder, and what made it.

    Attributes:
        format: Of this document.
        note: Says to people that the scans are synthetic.
        made: One record a command: what ran, from which inputs, by which model, when.
        files: Name relative to the manifest's folder to what it was.
        public_key: Ed25519, base64.
        signature: Of everything else here, base64.
    """

    format: Literal["medtranslate-manifest-1"]
    note: str
    made: tuple[dict[str, JsonValue], ...]
    files: dict[FileName, FileRecord]
    public_key: str
    signature: str

    @property
    def holds(self) -> bool:
        """Whether the signature is that of this very content."""
        return is_signed(self.model_dump(mode="json"))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; whether its signature holds is for :attr:`Manifest.holds`.

    Raises:
        ConfigError: If it is absent, damaged, or names files outside its folder.
    """
    try:
        data = read_document(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable manifest ({error})") from error
    return validate_settings(Manifest, data, where=str(path))


def write_manifest(
    folder: Path,
    *,
    made: tuple[Mapping[str, Any], ...],
    files: Mapping[str, FileRecord],
    key: Ed25519PrivateKey,
) -> Path:
    """Sign and write ``manifest.json``.

    Args:
        folder: What the manifest is about.
        made: Plain JSON data, one record a command.
        files: By name relative to ``folder``.
        key: Signs.

    Raises:
        VolumeWriteError: If it cannot be written.
    """
    content: dict[str, Any] = {
        "format": MANIFEST_FORMAT,
        "note": _NOTE,
        "made": [dict(record) for record in made],
        "files": {name: files[name].model_dump(mode="json") for name in sorted(files)},
    }
    path = folder / MANIFEST_FILE
    write_json(path, sign_content(key, content))
    return path
