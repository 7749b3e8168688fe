"""The Ed25519 key that signs manifests: made on first use, kept where only its owner reads it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medtranslate.errors import ConfigError
from medtranslate.io.secret_file import read_secret, secret_path
from medtranslate.provenance import hash_bytes

_KEY_FILE = "signing-key.pem"
_SHOWN_DIGITS = 16


def load_signing_key(path: Path | None = None) -> Ed25519PrivateKey:
    """This user's key; made if there is none.

    Args:
        path: The key file; the user's own if None.

    Raises:
        ConfigError: If it cannot be made or read, or others may read it.
    """
    path = secret_path(_KEY_FILE) if path is None else path
    text = read_secret(path, make=_make_key)
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: does not hold a signing key ({error}). Remove it to get a new one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is not an Ed25519 key. Remove it to get a new one")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public part of a key, as 44 letters of base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")


def describe_key(public: str) -> str:
    """A short name of a public key: the start of its SHA-256."""
    return hash_bytes(public.encode("ascii", errors="replace"))[:_SHOWN_DIGITS]


def sign_content(key: Ed25519PrivateKey, content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON data with ``public_key`` and the ``signature`` of everything else, as base64."""
    named = {**content, "public_key": public_text(key)}
    signature = base64.b64encode(key.sign(_canonical(named))).decode("ascii")
    return named | {"signature": signature}


def is_signed(content: Mapping[str, Any]) -> bool:
    """Whether the signature is that of this very content, by the key that it names."""
    try:
        key = Ed25519PublicKey.from_public_bytes(
            base64.b64decode(content["public_key"], validate=True)
        )
        signature = base64.b64decode(content["signature"], validate=True)
        key.verify(signature, _canonical({k: v for k, v in content.items() if k != "signature"}))
    except (KeyError, TypeError, ValueError, InvalidSignature):
        return False
    return True


def _canonical(content: Mapping[str, Any]) -> bytes:
    """The one way to write this content down; what is signed."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _make_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
