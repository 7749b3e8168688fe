"""Encryption between DICOM nodes: certificate files become what connections are wrapped in."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from medtranslate.errors import ConfigError

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = b"PRIVATE KEY-----"


@dataclass(frozen=True)
class TlsFiles:
    """Who a node is and whom it trusts; files in PEM.

    Attributes:
        certificate: Its certificate, and after it those that signed it.
        key: The private key of the certificate, without a password.
        authority: Certificates of those who sign the other nodes'; None if any node may connect
            and the system's authorities vouch for who is sent to.
    """

    certificate: Path
    key: Path
    authority: Path | None = None


def choose_tls_files(
    certificate: Path | None, key: Path | None, authority: Path | None
) -> TlsFiles | None:
    """The files that were asked for; None if none was.

    Raises:
        ConfigError: If there is no certificate, or no key for it.
    """
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, authority)
    if certificate is None and key is None and authority is None:
        return None
    absent = "--tls-cert" if certificate is None else "--tls-key"
    raise ConfigError(
        f"{absent}: is missing; TLS needs --tls-cert with --tls-key, and --tls-ca if other nodes"
        " must prove who they are"
    )


def make_receiving_context(files: TlsFiles) -> ssl.SSLContext:
    """What connections from other nodes are wrapped in: TLS 1.2 or newer.

    With an authority, a node must show a certificate that it signed.

    Raises:
        ConfigError: If a file cannot be used; names its option.
    """
    context = _LateHandshakeContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, files)
    if files.authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def make_sending_context(files: TlsFiles) -> ssl.SSLContext:
    """What a connection to another node is wrapped in: TLS 1.2 or newer.

    The node must show a certificate for the name or address it is reached by; this one shows its
    own if asked.

    Raises:
        ConfigError: If a file cannot be used; names its option.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, files)
    if files.authority is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


class _LateHandshakeContext(ssl.SSLContext):
    """Shakes hands when a connection is first read, in that connection's own thread.

    pynetdicom wraps a connection in the thread that accepts all of them, where a caller that says
    nothing would keep every other one waiting.
    """

    def wrap_socket(  # type: ignore[override]  # as pynetdicom calls it
        self, sock: socket.socket, *, server_side: bool
    ) -> ssl.SSLSocket:
        return super().wrap_socket(sock, server_side=server_side, do_handshake_on_connect=False)


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    _check("--tls-cert", files.certificate, _CERTIFICATE)
    _check("--tls-key", files.key, _PRIVATE_KEY)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"--tls-key {files.key}: is not the key of the certificate in --tls-cert"
                f" {files.certificate.name}. Give the two that were made together"
            ) from None
        raise ConfigError(
            f"--tls-cert {files.certificate}, --tls-key {files.key}: cannot be used"
            f" ({_describe(error)}). Make them again, in PEM"
        ) from None
    if files.authority is not None:
        _check("--tls-ca", files.authority, _CERTIFICATE)
        try:
            context.load_verify_locations(files.authority)
        except ssl.SSLError as error:
            raise ConfigError(
                f"--tls-ca {files.authority}: cannot be used ({_describe(error)}). Give the"
                " certificate of the authority in PEM"
            ) from None


def _check(option: str, path: Path, marker: bytes) -> None:
    """Refuse a file that lacks what it should hold; OpenSSL does not say which it means."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{option} {path}: cannot be read ({error.strerror or error}). Check path and"
            " permissions"
        ) from None
    if marker not in data:
        what = "certificate" if marker == _CERTIFICATE else "private key"
        raise ConfigError(f"{option} {path}: holds no {what}, expected a {what} in PEM")


def _refuse_password() -> NoReturn:
    raise ConfigError(
        "--tls-key: is locked by a password, and nobody is there to type it when the node starts."
        " Save it without one, readable by this user alone"
    )


def _describe(error: ssl.SSLError) -> str:
    return (error.reason or "not in PEM").lower().replace("_", " ")
