"""The secret from which a watermark's pattern is drawn: made on first use, never in an output."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from medtranslate.errors import ConfigError
from medtranslate.io.secret_file import read_secret, secret_path

_KEY_FILE = "watermark.key"
_NUM_BYTES = 32
_IDENTITY_BYTES = 8
_HEXADECIMAL = re.compile(rb"[0-9a-f]{%d}\s*" % (2 * _NUM_BYTES))


@dataclass(frozen=True)
class WatermarkKey:
    """What tells one's own watermarks from those of others.

    Attributes:
        secret: 32 random bytes; who has them can find the watermark, and take it away.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _NUM_BYTES:
            raise ValueError(f"secret has {len(self.secret)} bytes, expected {_NUM_BYTES}")

    @property
    def identity(self) -> str:
        """A name of the key that tells nothing of the secret: 16 hexadecimal digits."""
        person = b"mt-watermark-id"
        return blake2b(self.secret, digest_size=_IDENTITY_BYTES, person=person).hexdigest()


def find_watermark_key() -> Path:
    """Where this user's key lies; made if there is none.

    Raises:
        ConfigError: If it cannot be made or read, or others may read it.
    """
    path = secret_path(_KEY_FILE)
    read_secret(path, make=_make_secret)
    return path


def read_watermark_key(path: Path) -> WatermarkKey:
    """Read a key file.

    Raises:
        ConfigError: If it is absent, holds no key, or others may read it.
    """
    text = read_secret(path)
    if _HEXADECIMAL.fullmatch(text) is None:
        raise ConfigError(
            f"{path}: does not hold a watermark key ({2 * _NUM_BYTES} hexadecimal digits). Give the"
            f" file {_KEY_FILE} of who wrote the scan"
        )
    return WatermarkKey(bytes.fromhex(text.decode("ascii")))


def _make_secret() -> bytes:
    return f"{secrets.token_hex(_NUM_BYTES)}\n".encode("ascii")
