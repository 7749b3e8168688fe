"""Listen: a DICOM node that receives series and sends their synthetic ones on."""

from __future__ import annotations

import logging
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medtranslate.data.cases import Case
from medtranslate.errors import ConfigError, MedTranslateError, MissingExtraError
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.translate_series import translate_series

try:
    from medtranslate.io.dicom.connections import MAX_INSTANCE_BYTES
    from medtranslate.io.dicom.network import Address, receive, send_files
    from medtranslate.io.dicom.tls import TlsFiles, make_receiving_context, make_sending_context
    from medtranslate.workflows.spool import Spool, SpooledSeries
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "pynetdicom", "dicom") from error

_POLL_SECONDS = 0.2
_ATTEMPTS = 3
_RETRY_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listening:
    """What came of a time of listening.

    Attributes:
        num_sent: Series whose synthetic ones were sent on.
        num_failed: Series that were not.
    """

    num_sent: int
    num_failed: int


@dataclass(frozen=True)
class Route:
    """Where series come in, where synthetic ones go, and how they are named.

    Attributes:
        host: Address to listen at.
        port: TCP port; 0 for a free one.
        send_to: Who gets the synthetic series, as ``[TITLE@]HOST:PORT``.
        identity: Whether patient and study are named as in the source.
        spool_bytes: Most that is kept on disk of what comes in; beyond it the sender is told so.
        quiet_seconds: A series is complete when nothing came for so long.
        callers: Titles of the nodes that may send; any if empty.
        require_title: Whether senders must know this node's own title.
        tls: Encrypts what comes in and what goes out; nothing is encrypted if None.
        send_plain: Whether what goes out is not encrypted all the same.
    """

    host: str
    port: int
    send_to: str
    identity: Literal["pseudonym", "keep"] = "pseudonym"
    spool_bytes: int = 4 << 30
    quiet_seconds: float = 30.0
    callers: tuple[str, ...] = ()
    require_title: bool = False
    tls: TlsFiles | None = None
    send_plain: bool = False


@dataclass(frozen=True)
class _Receiver:
    """Who gets the synthetic series, and what the connection is wrapped in."""

    address: Address
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, route: Route) -> _Receiver:
        if route.send_plain and route.tls is None:
            raise ConfigError(
                "--send-plain: nothing is encrypted anyway; give --tls-cert and --tls-key, or leave"
                " it out"
            )
        wanted = None if route.send_plain else route.tls
        context = None if wanted is None else make_sending_context(wanted)
        return cls(Address.parse(route.send_to), context)


def listen(
    model: Path,
    route: Route,
    *,
    uncertainty: bool = False,
    tell: Callable[[str], None],
    stop: threading.Event | None = None,
) -> Listening:
    """Receive, translate and send on until interrupted.

    A series that cannot be translated or sent is told and logged without a word on whose it is,
    and forgotten; it never ends the listening. Nothing stays on disk.

    Args:
        model: Run folder or its ``model/``.
        route: From where to where.
        uncertainty: Also send the standard deviations.
        tell: Receives a line at each event.
        stop: Ends the listening when it is set.

    Raises:
        CheckpointError: If the model cannot be used.
        ConfigError: If an address or a title is none, the port cannot be listened at, or a file of
            ``route.tls`` cannot be used.
    """
    receiver = _Receiver.of(route)
    tls = None if route.tls is None else make_receiving_context(route.tls)
    translator = load_chosen_translator(model, uncertainty=uncertainty)
    stop = stop or threading.Event()
    counts = [0, 0]
    with tempfile.TemporaryDirectory(prefix="medtranslate-") as folder:
        spool = Spool(
            Path(folder),
            max_bytes=route.spool_bytes,
            quiet_seconds=route.quiet_seconds,
            clock=time.monotonic,
        )
        with receive(
            route.host,
            route.port,
            store=spool.store,
            closed=spool.close,
            callers=route.callers,
            require_title=route.require_title,
            tls=tls,
            max_bytes=min(MAX_INSTANCE_BYTES, route.spool_bytes),
        ) as port:
            how = "" if tls is None else " with TLS"
            tell(f"listening at {route.host}:{port}{how}; stop with Ctrl-C")
            try:
                while not stop.wait(_POLL_SECONDS):
                    if (series := spool.take()) is not None:
                        sent = _pass_on(translator, series, route.identity, receiver, tell)
                        counts[0 if sent else 1] += 1
                        spool.remove(series)
            except KeyboardInterrupt:
                tell("stopped")
    return Listening(*counts)


def _pass_on(
    translator: Translator,
    series: SpooledSeries,
    identity: Literal["pseudonym", "keep"],
    receiver: _Receiver,
    tell: Callable[[str], None],
) -> bool:
    """Translate one series and send the result on; nothing of the result stays on disk."""
    label = f"series {series.number} ({series.num_instances} instances)"
    try:
        with tempfile.TemporaryDirectory(prefix="medtranslate-") as out:
            case = Case(name=f"series-{series.number}", dataset="", subject="", session=None,
                        source=series.folder)  # fmt: skip
            scan = translate_series(translator, case, Path(out), identity=identity, regions={})
            paths = sorted(scan.output.rglob("*.dcm")) if scan.output else []
            _send(paths, receiver)
    except MedTranslateError as error:
        tell(f"{label}: failed: {error}")
        return False
    except Exception as error:  # noqa: BLE001 - one bad series must never end the listening
        # Its text might quote what stands in the file.
        _log.error("%s: unexpected %s", label, type(error).__name__)
        tell(f"{label}: failed: unexpected {type(error).__name__}")
        return False
    tell(f"{label}: sent {len(paths)} synthetic instances")
    return True


def _send(paths: list[Path], receiver: _Receiver) -> None:
    """Send, and try again a little later if the other side is not there."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return send_files(paths, receiver.address, tls=receiver.tls)
        except MedTranslateError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_RETRY_SECONDS)
    return None
