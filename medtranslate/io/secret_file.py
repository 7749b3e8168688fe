"""A file that holds a secret: made once, kept where only its owner reads it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import typer

from medtranslate.errors import ConfigError

_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret_path(name: str) -> Path:
    """Where this user's secret of a name lies: the folder that the system keeps settings in."""
    return Path(typer.get_app_dir("medtranslate")) / name


def read_secret(path: Path, *, make: Callable[[], bytes] | None = None) -> bytes:
    """Read a secret.

    Args:
        path: Its file.
        make: Gives a new secret, which is written if there is none; None where it must be there.

    Raises:
        ConfigError: If it is absent, cannot be made or read, or others may read it.
    """
    try:
        if make is not None and not path.exists():
            _write_once(path, make())
        if path.stat().st_mode & _READABLE_BY_OTHERS:
            raise ConfigError(
                f"{path}: other users may read this key, so it proves nothing. Take their rights"
                f" away (chmod 600 {path}), or remove it to get a new one"
            )
        return path.read_bytes()
    except OSError as error:
        advice = (
            "Give where it lies"
            if make is None
            else "Set XDG_CONFIG_HOME to a folder that can be written"
        )
        raise ConfigError(
            f"{path}: this key cannot be made or read ({error.strerror or error}). {advice}"
        ) from error


def _write_once(path: Path, secret: bytes) -> None:
    """Write under the final name at once, so that two first uses share one secret."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
