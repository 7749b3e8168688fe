"""DICOM over TLS on loopback, with certificates made here."""

import contextlib
import gc
import logging
import socket
import ssl
import threading
import time
import warnings

import pytest

from medtranslate.errors import ConfigError, VolumeWriteError
from medtranslate.io.dicom import network
from medtranslate.io.dicom.network import Address, receive, send_files
from medtranslate.io.dicom.tls import (
    TlsFiles,
    choose_tls_files,
    make_receiving_context,
    make_sending_context,
)
from medtranslate.io.dicom.writing import write_datasets

from ...certificates import Authority

# pynetdicom leaves the closing of a connection that the other side has cut to Python.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def left_to_python():
    """What pynetdicom leaves open is closed here, not in a later test that takes it for a fault."""
    yield
    gc.collect()


@pytest.fixture
def impatient(monkeypatch, caplog):
    """Connections that fail are over before the next test, in which such warnings are errors."""
    monkeypatch.setattr(network, "_PATIENCE_SECONDS", 1.0)
    caplog.set_level(logging.CRITICAL, "pynetdicom")  # its records keep what failed alive
    yield
    while any("orThread@" in thread.name for thread in threading.enumerate()):
        time.sleep(0.02)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "hospital")


@pytest.fixture
def other(tmp_path):
    return Authority(tmp_path / "elsewhere")


@pytest.fixture
def paths(derived, tmp_path):
    return write_datasets(tmp_path / "series", derived.datasets[:2])


@contextlib.contextmanager
def listening(files):
    """A node with TLS; what it got, and its address."""
    arrivals = []
    tls = make_receiving_context(files)
    with receive(
        "127.0.0.1", 0, store=lambda one: arrivals.append(one) or True, closed=lambda _: None,
        tls=tls,
    ) as port:  # fmt: skip
        yield Address("127.0.0.1", port), arrivals


def test_both_sides_prove_who_they_are_and_the_traffic_is_no_plain_text(authority, paths):
    node, sender = authority.node("node"), authority.node("sender")
    with listening(node) as (address, arrivals):
        send_files(paths, address, tls=make_sending_context(sender))
        assert len(arrivals) == 2
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = make_sending_context(sender)
            context.maximum_version = version
            send_files(paths, address, tls=context)
        assert len(arrivals) == 6


@pytest.mark.usefixtures("impatient")
def test_who_has_no_certificate_of_the_authority_or_speaks_plain_is_refused(
    authority, other, paths
):
    stranger = other.node("stranger")
    trusting = TlsFiles(stranger.certificate, stranger.key, authority.path)
    with listening(authority.node("node")) as (address, arrivals):
        for tls in (None, make_sending_context(trusting)):
            with pytest.raises(VolumeWriteError, match="connection from MEDTRANSLATE"):
                send_files(paths, address, tls=tls)
        assert arrivals == []


def test_without_an_authority_any_node_may_send_encrypted(authority, other, paths):
    node = authority.node("node")
    stranger = other.node("stranger")
    trusting = TlsFiles(stranger.certificate, stranger.key, authority.path)
    with listening(TlsFiles(node.certificate, node.key)) as (address, arrivals):
        send_files(paths, address, tls=make_sending_context(trusting))
        assert len(arrivals) == 2


@pytest.mark.usefixtures("impatient")
def test_a_receiver_of_another_authority_name_or_without_tls_gets_nothing(authority, other, paths):
    tls = make_sending_context(authority.node("sender"))
    for node in (other.node("node"), authority.node("far", host="10.9.8.7")):
        files = TlsFiles(node.certificate, node.key)
        with (
            listening(files) as (address, arrivals),
            pytest.raises(VolumeWriteError, match="takes no TLS connection.*certificate"),
        ):
            send_files(paths, address, tls=tls)
        assert arrivals == []
    with (
        receive("127.0.0.1", 0, store=lambda _: True, closed=lambda _: None) as port,
        pytest.raises(VolumeWriteError, match="takes no TLS connection"),
    ):
        send_files(paths, Address("127.0.0.1", port), tls=tls)


@pytest.mark.usefixtures("impatient")
def test_tls_before_1_2_is_refused(authority):
    with listening(authority.node("node")) as (address, _):
        context = make_sending_context(authority.node("sender"))
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):  # that these versions are old
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection((address.host, address.port)) as plain,
            pytest.raises(ssl.SSLError, match="(?i)version"),
        ):
            context.wrap_socket(plain, server_hostname=address.host)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("encrypted", [True, False])
def test_callers_that_fall_silent_keep_nobody_waiting_and_are_hung_up_on(
    authority, paths, encrypted
):
    node, sender = authority.node("node"), authority.node("sender")
    arrivals = []
    with receive(
        "127.0.0.1", 0, store=lambda one: arrivals.append(one) or True, closed=lambda _: None,
        tls=make_receiving_context(node) if encrypted else None,
    ) as port:  # fmt: skip
        callers = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3)]
        for caller, start in zip(callers, (b"", b"\x16\x03\x01", b"\x01\x00\x00"), strict=True):
            caller.sendall(start)
        tls = make_sending_context(sender) if encrypted else None
        send_files(paths, Address("127.0.0.1", port), tls=tls)
        assert len(arrivals) == len(paths)
        for caller in callers:
            with caller, contextlib.suppress(ConnectionResetError):
                while caller.recv(100):
                    pass


def spoil(path, data=b"nothing of the kind"):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("make", [make_receiving_context, make_sending_context])
def test_files_that_cannot_be_used_are_told_by_their_option(authority, tmp_path, make):
    good, second = authority.node("good"), authority.node("second")
    locked = authority.node("locked", password=b"x")
    absent, junk = tmp_path / "absent.pem", spoil(tmp_path / "junk.pem")
    broken = spoil(tmp_path / "broken.pem", good.certificate.read_bytes()[:200])
    for files, told in (
        (TlsFiles(absent, good.key), "--tls-cert .*absent.pem: cannot be read"),
        (TlsFiles(good.certificate, absent), "--tls-key .*absent.pem: cannot be read"),
        (TlsFiles(good.certificate, good.key, absent), "--tls-ca .*absent.pem: cannot be read"),
        (TlsFiles(junk, good.key), "--tls-cert .*junk.pem: holds no certificate"),
        (TlsFiles(good.certificate, junk), "--tls-key .*junk.pem: holds no private key"),
        (TlsFiles(good.certificate, good.key, junk), "--tls-ca .*junk.pem: holds no certificate"),
        (TlsFiles(broken, good.key), "--tls-cert .*cannot be used"),
        (TlsFiles(good.certificate, good.key, broken), "--tls-ca .*cannot be used"),
        (TlsFiles(good.certificate, second.key), "is not the key of the certificate"),
        (TlsFiles(locked.certificate, locked.key), "locked by a password"),
    ):
        with pytest.raises(ConfigError, match=told):
            make(files)


def test_a_certificate_needs_its_key(tmp_path):
    one = tmp_path / "a"
    assert choose_tls_files(None, None, None) is None
    assert choose_tls_files(one, one, None) == TlsFiles(one, one)
    for given, told in (((one, None, None), "--tls-key"), ((None, one, None), "--tls-cert"),
                        ((None, None, one), "--tls-cert")):  # fmt: skip
        with pytest.raises(ConfigError, match=f"{told}: is missing"):
            choose_tls_files(*given)
