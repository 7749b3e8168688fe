"""DICOM over the network: send a series to a node, and be a node that receives."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from medtranslate.errors import ConfigError, VolumeWriteError
from medtranslate.io.dicom.connections import MAX_INSTANCE_BYTES, bound_connections, unheard
from medtranslate.io.dicom.headers import quiet, read_dataset, text

TITLE = "MEDTRANSLATE"
"""What this node calls itself."""

_RECEIVED = (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
)
_SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless,
]  # fmt: skip
_SUCCESS, _OUT_OF_RESOURCES, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
_MAX_ASSOCIATIONS = 4
_PATIENCE_SECONDS = 30.0
_CERTIFICATES = (
    ", and that each side's certificate is signed by whom the other trusts and the receiver's names"
    " this host"
)
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
_ADDRESS = re.compile(
    r"(?:(?P<title>[^@:\s][^@:]{0,15})@)?(?P<host>[A-Za-z0-9.-]+):(?P<port>\d{1,5})"
)


@dataclass(frozen=True)
class Address:
    """A DICOM node.

    Attributes:
        host: Name or IP address.
        port: TCP port.
        title: Its application entity title.
    """

    host: str
    port: int
    title: str = "ANY-SCP"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT`` or ``TITLE@HOST:PORT``.

        Raises:
            ConfigError: If it is neither.

        Example:
            >>> Address.parse("PACS@10.0.0.5:104")
            Address(host='10.0.0.5', port=104, title='PACS')
        """
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 2**16:
            raise ConfigError(f"{text}: is no DICOM address, expected HOST:PORT or TITLE@HOST:PORT")
        return cls(found["host"], int(found["port"]), found["title"] or cls.title)


@dataclass(frozen=True)
class Arrival:
    """One instance that came in.

    Attributes:
        data: The whole file.
        series_uid: Which series it says it belongs to.
        sop_uid: Which instance it says it is.
        association: Number of the connection it came through.
    """

    data: bytes
    series_uid: str
    sop_uid: str
    association: int


def send_files(
    paths: Sequence[Path], address: Address, *, tls: ssl.SSLContext | None = None
) -> None:
    """Send files to a node, all over one connection.

    Args:
        paths: DICOM files.
        address: The node.
        tls: What the connection is wrapped in; nothing is encrypted if None.

    Raises:
        VolumeWriteError: If the node cannot be reached, or does not take every one.
    """
    with quiet():
        datasets = [dcmread(path) for path in paths]
        node = AE(ae_title=TITLE)
        node.connection_timeout = _PATIENCE_SECONDS
        kinds = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in datasets}
        for kind, syntax in sorted(kinds):
            node.add_requested_context(kind, syntax)
        link = node.associate(
            address.host,
            address.port,
            ae_title=address.title,
            tls_args=None if tls is None else (tls, address.host),
        )
        if not link.is_established:
            raise VolumeWriteError(
                f"{address.host}:{address.port}: takes no {'TLS ' if tls else ''}connection from"
                f" {TITLE} as {address.title}. Check host, port and title, that this node is known"
                f" there{_CERTIFICATES if tls else ', and that it wants no TLS'}"
            )
        try:
            taken = sum(_is_stored(link.send_c_store(one)) for one in datasets)
        except (ValueError, RuntimeError):  # a kind of object the node did not agree to
            taken = 0
        finally:
            link.release()
    if taken != len(datasets):
        raise VolumeWriteError(
            f"{address.host}:{address.port}: took {taken} of {len(datasets)} instances. Look into"
            " its log for the reason"
        )


@contextlib.contextmanager
def receive(
    host: str,
    port: int,
    *,
    store: Callable[[Arrival], bool],
    closed: Callable[[int], None],
    callers: Sequence[str] = (),
    require_title: bool = False,
    tls: ssl.SSLContext | None = None,
    max_bytes: int = MAX_INSTANCE_BYTES,
) -> Iterator[int]:
    """Be a node that answers C-ECHO and C-STORE while the block lasts.

    Args:
        host: Address to listen at.
        port: TCP port; 0 for a free one.
        store: Keeps what arrives; False if there is no room. Called from other threads.
        closed: Told the number of a connection that has ended.
        callers: Titles of the nodes that may connect; any if empty. A title is not proved.
        require_title: Whether callers must know this node's own title.
        tls: What connections are wrapped in; nothing is encrypted if None.
        max_bytes: Largest instance; a connection that brings a larger one is closed.

    Yields:
        The port.

    Raises:
        ConfigError: If the port cannot be listened at, or a title is none.
    """
    node = AE(ae_title=TITLE)
    node.require_called_aet = require_title
    node.require_calling_aet = [_check_title(title) for title in callers]
    node.maximum_associations = _MAX_ASSOCIATIONS
    node.network_timeout = node.dimse_timeout = node.acse_timeout = _PATIENCE_SECONDS
    node.add_supported_context(Verification)
    for kind in _RECEIVED:
        node.add_supported_context(kind, _SYNTAXES)
    handlers = [
        *bound_connections(max_bytes, patience_seconds=_PATIENCE_SECONDS),
        (evt.EVT_C_STORE, lambda event: _take(event, store)),
        (evt.EVT_CONN_CLOSE, lambda event: closed(id(event.assoc))),
    ]
    try:
        server = node.start_server(
            (host, port), block=False, evt_handlers=handlers, ssl_context=tls
        )
    except OSError as error:
        raise ConfigError(
            f"{host}:{port}: cannot be listened at ({error.strerror or error}). Choose another"
            " --port or --host"
        ) from None
    if server is None:  # only a blocking server is None
        raise ConfigError(f"{host}:{port}: cannot be listened at")
    try:
        with unheard():
            yield int(server.server_address[1])
    finally:
        node.shutdown()


def _check_title(title: str) -> str:
    if not _TITLE.fullmatch(title) or not title.strip():
        raise ConfigError(f"{title!r}: is no DICOM title, expected 1 to 16 printable characters")
    return title.strip()


def _is_stored(status: object) -> bool:
    """Whether an answer says success or only warns, for example that a value was coerced."""
    code = getattr(status, "Status", None)
    return code is not None and (code == _SUCCESS or code >> 12 == 0xB)


def _take(event: evt.Event, store: Callable[[Arrival], bool]) -> int:
    """Answer one C-STORE; pixels and names are not looked at, only which series it is of."""
    with quiet():
        try:
            data = event.encoded_dataset()
            header = read_dataset(BytesIO(data), tags=["SeriesInstanceUID", "SOPInstanceUID"])
        except Exception:  # noqa: BLE001 - whatever a stranger sends must not stop the node
            return _NOT_UNDERSTOOD
        if header is None:
            return _NOT_UNDERSTOOD
        uids = text(header, "SeriesInstanceUID"), text(header, "SOPInstanceUID")
        if not all(UID(uid).is_valid for uid in uids):
            return _NOT_UNDERSTOOD
    kept = store(Arrival(data, *uids, association=id(event.assoc)))
    return _SUCCESS if kept else _OUT_OF_RESOURCES
