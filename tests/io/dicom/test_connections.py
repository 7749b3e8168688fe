"""A connection that sends without end is closed before it fills the memory; others go on."""

import gc
import logging
import socket
import struct
import time
from logging.handlers import BufferingHandler

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom import AE

from medtranslate.io.dicom.network import Address, receive, send_files

MAX_BYTES = 100_000

# pynetdicom leaves a socket whose other side is gone to be closed when it is forgotten.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*socket.socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def node():
    """A node that takes instances of at most a hundred kilobytes: port, arrivals, closed ones."""
    arrivals, closed = [], []
    with receive("127.0.0.1", 0, store=lambda one: arrivals.append(one) or True,
                 closed=closed.append, max_bytes=MAX_BYTES) as port:  # fmt: skip
        yield port, arrivals, closed
    gc.collect()


def is_closed(link: socket.socket) -> bool:
    """Whether the other side ends the connection within some seconds."""
    link.settimeout(10)
    try:
        while link.recv(4096):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(("kind", "length"), [(1, 2**32 - 1), (4, 2 << 20), (7, 2**31)])
def test_a_unit_that_claims_to_be_huge_closes_its_connection_unread(node, kind, length):
    port, _, closed = node
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(struct.pack(">BBL", kind, 0, length))
        assert is_closed(link)
    deadline = time.monotonic() + 10
    while not closed and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(closed) == 1


@pytest.fixture
def slices(write_series):
    """Files of a sound series."""
    return sorted(write_series().iterdir())


def test_an_instance_larger_than_is_taken_closes_its_connection_and_the_next_one_is_served(
    node, slices
):
    port, arrivals, _ = node
    sender = AE()
    sender.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    link = sender.associate("127.0.0.1", port)
    large = dcmread(slices[0])
    large.add_new(0x00091010, "OB", bytes(3 * MAX_BYTES))
    assert not hasattr(link.send_c_store(large), "Status")
    link.abort()

    send_files(slices * 5, Address("127.0.0.1", port))  # together more than one may have

    assert len(arrivals) == 5 * len(slices)
    assert sum(len(one.data) for one in arrivals) > MAX_BYTES / 5


def test_a_deflated_bomb_is_not_understood(node, slices):
    port, arrivals, _ = node
    sender = AE()
    sender.add_requested_context(CTImageStorage, DeflatedExplicitVRLittleEndian)
    link = sender.associate("127.0.0.1", port)
    bomb = dcmread(slices[0])
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    bomb.add_new(0x00091010, "OB", bytes(80 << 20))
    try:
        assert link.send_c_store(bomb).Status == 0xC000
    finally:
        link.release()
    assert arrivals == []


@pytest.fixture
def log():
    """What reaches the log of a program; pytest's own hears what does not."""
    handler = BufferingHandler(1000)
    logging.root.addHandler(handler)
    yield handler.buffer
    logging.root.removeHandler(handler)


def test_what_is_wrong_with_a_stranger_stays_out_of_the_log(node, log):
    port, _, _ = node
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert is_closed(link)
    assert log == []
