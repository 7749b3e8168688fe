"""The Ed25519 key that signs manifests: made on first use, kept where only its owner reads it."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import stat
from pathlib import Path

import typer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medtranslate.errors import ConfigError
from medtranslate.provenance import hash_bytes

_KEY_FILE = "signing-key.pem"
_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SHOWN_DIGITS = 16


def find_key_path() -> Path:
    """Where this user's key lies: the folder that the system keeps settings in."""
    return Path(typer.get_app_dir("medtranslate")) / _KEY_FILE


def load_signing_key(path: Path | None = None) -> Ed25519PrivateKey:
    """This user's key; made if there is none.

    Args:
        path: The key file; the user's own if None.

    Raises:
        ConfigError: If it cannot be made or read, or others may read it.
    """
    path = find_key_path() if path is None else path
    try:
        if not path.exists():
            _make_key(path)
        if path.stat().st_mode & _READABLE_BY_OTHERS:
            raise ConfigError(
                f"{path}: other users may read this signing key, so it proves nothing. Take their"
                f" rights away (chmod 600 {path}), or remove it to get a new one"
            )
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(
            f"{path}: the key that signs results cannot be made or read"
            f" ({error.strerror or error}). Set XDG_CONFIG_HOME to a folder that can be written"
        ) from error
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


def sign(key: Ed25519PrivateKey, message: bytes) -> str:
    """A signature, as base64."""
    return base64.b64encode(key.sign(message)).decode("ascii")


def is_signed(public: str, signature: str, message: bytes) -> bool:
    """Whether ``signature`` of ``message`` was made with the private part of ``public``."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message)
    except (ValueError, InvalidSignature):
        return False
    return True


def _make_key(path: Path) -> None:
    """Write a new key under its final name at once, so that two first uses share one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
