"""A node that receives series and sends synthetic ones on, with a peer of pynetdicom's own."""

import json
import re
import subprocess
import sys
import threading
import urllib.request
from io import BytesIO

import pytest
from pydicom import dcmread

from medtranslate.errors import ConfigError, VolumeWriteError
from medtranslate.io import read_volume
from medtranslate.io.dicom import network
from medtranslate.io.dicom.network import Address, receive, send_files
from medtranslate.io.dicom.tls import make_receiving_context, make_sending_context
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.workflows import listen as module
from medtranslate.workflows.listen import Route, listen

from ..certificates import Authority


@pytest.fixture
def tls():
    """Whose certificates encrypt the traffic; a test says so."""
    return


@pytest.fixture
def archive(tls):
    """A node that keeps what it is sent."""
    arrivals = []
    with receive(
        "127.0.0.1", 0, store=lambda one: arrivals.append(one) or True, closed=lambda _: None,
        tls=None if tls is None else make_receiving_context(tls),
    ) as port:  # fmt: skip
        yield Address("127.0.0.1", port), arrivals


@pytest.fixture
def node(trained, archive, tls, monkeypatch):
    """A listening node: its address, what it tells, and how to wait for a line."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.05)
    lines, stop, changed = [], threading.Event(), threading.Condition()

    def tell(text):
        with changed:
            lines.append(text)
            changed.notify_all()

    route = Route(
        "127.0.0.1",
        0,
        f"127.0.0.1:{archive[0].port}",
        identity="keep",
        quiet_seconds=0.5,
        tls=tls,
    )
    thread = threading.Thread(
        target=listen, args=(trained, route), kwargs={"tell": tell, "stop": stop}
    )
    thread.start()

    def wait(count):
        with changed:
            assert changed.wait_for(lambda: len(lines) >= count, timeout=60), lines
        return lines

    port = int(re.search(r":(\d+)( with TLS)?;", wait(1)[0])[1])
    yield Address("127.0.0.1", port), wait
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_bad_series_is_told_and_the_next_one_is_translated_and_sent(
    node, archive, cohort, make_sources, tmp_path
):
    volume = read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
    sources = make_sources(volume)
    good = write_datasets(tmp_path / "good", sources)
    for one in (bad := make_sources(volume)):
        one.SeriesInstanceUID, one.SOPInstanceUID = "1.2.3.9", f"{one.SOPInstanceUID}.9"
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    broken = write_datasets(tmp_path / "bad", [*bad[:5], *bad[7:]])

    address, wait = node
    send_files(broken, address)
    failure = wait(2)[1]
    send_files(good, address)
    success = wait(3)[2]

    assert "failed" in failure
    assert "Quillfeather" not in failure
    assert success == f"series 2 ({len(good)} instances): sent {len(good)} synthetic instances"
    received = [dcmread_bytes(one.data) for one in archive[1]]
    assert {one.StudyInstanceUID for one in received} == {sources[0].StudyInstanceUID}
    assert {one.SyntheticData for one in received} == {"YES"}
    assert len(received) == len(good)


class TestEncrypted:
    """The same node with certificates."""

    @pytest.fixture
    def tls(self, tmp_path):
        return Authority(tmp_path / "hospital").node("node")

    def test_what_comes_in_and_what_goes_out_is_encrypted(
        self, node, archive, cohort, make_sources, tmp_path, tls
    ):
        address, wait = node
        volume = read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
        paths = write_datasets(tmp_path / "series", make_sources(volume))

        send_files(paths, address, tls=make_sending_context(tls))

        lines = wait(2)
        assert "with TLS" in lines[0]
        assert lines[1].endswith(f"sent {len(paths)} synthetic instances")
        assert len(archive[1]) == len(paths)


def test_plain_sending_is_asked_for_only_where_something_is_encrypted(trained):
    with pytest.raises(ConfigError, match="--send-plain: nothing is encrypted anyway"):
        listen(trained, Route("127.0.0.1", 0, "pacs:104", send_plain=True), tell=print)


def dcmread_bytes(data):
    return dcmread(BytesIO(data))


def test_a_node_that_is_not_there_or_has_no_room_is_an_error(derived, tmp_path):
    paths = write_datasets(tmp_path / "s", derived.datasets)
    with receive("127.0.0.1", 0, store=lambda _: False, closed=lambda _: None) as port:
        with pytest.raises(VolumeWriteError, match="took 0 of 7 instances"):
            send_files(paths, Address("127.0.0.1", port))
        with (
            pytest.raises(ConfigError, match="cannot be listened at"),
            receive("127.0.0.1", port, store=lambda _: True, closed=lambda _: None),
        ):
            pass
    with pytest.raises(VolumeWriteError, match="takes no connection"):
        send_files(paths, Address("127.0.0.1", port))


def send_as(caller, called, paths, port, monkeypatch):
    monkeypatch.setattr(network, "TITLE", caller)
    send_files(paths, Address("127.0.0.1", port, called))


def test_only_titles_that_are_allowed_may_send(derived, tmp_path, monkeypatch):
    paths = write_datasets(tmp_path / "s", derived.datasets)
    with receive("127.0.0.1", 0, store=lambda _: True, closed=lambda _: None,
                 callers=["PACS", "CT 1"], require_title=True) as port:  # fmt: skip
        send_as("CT 1", "MEDTRANSLATE", paths, port, monkeypatch)
        send_as("PACS", "MEDTRANSLATE", paths, port, monkeypatch)
        for caller, called in (("OTHER", "MEDTRANSLATE"), ("PACS", "ANY-SCP")):
            with pytest.raises(VolumeWriteError, match="takes no connection"):
                send_as(caller, called, paths, port, monkeypatch)


@pytest.mark.parametrize("title", ["", "   ", "x" * 17, "a\\b", "a\nb"])
def test_a_title_that_is_none_is_refused(title):
    nothing = {"store": lambda _: True, "closed": lambda _: None}
    with (
        pytest.raises(ConfigError, match="no DICOM title"),
        receive("127.0.0.1", 0, callers=[title], **nothing),
    ):
        pass


@pytest.mark.parametrize("text", ["pacs", "pacs:0", "pacs:99999", "a b@", "x@y@z:1", ":104"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        Address.parse(text)


@pytest.mark.clinic
def test_an_archive_sends_a_series_and_gets_the_synthetic_one_back(
    trained, orthanc, cohort, make_sources, tmp_path
):
    dicom, url = orthanc
    sources = make_sources(read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"))
    send_files(write_datasets(tmp_path / "in", sources), Address("127.0.0.1", dicom, "ORTHANC"))
    command = [sys.executable, "-m", "medtranslate", "listen", "--model", str(trained), "--port",
               "0", "--send-to", f"ORTHANC@127.0.0.1:{dicom}", "--identity", "keep"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+);", process.stderr.readline())[1])
        ask(
            f"{url}/modalities/us",
            {"AET": "MEDTRANSLATE", "Host": "127.0.0.1", "Port": port},
            "PUT",
        )
        query = {"Level": "Series", "Query": {"SeriesInstanceUID": sources[0].SeriesInstanceUID}}
        ask(f"{url}/modalities/us/store", ask(f"{url}/tools/find", query))
        told = process.stderr.readline()
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()

    assert told == f"series 1 ({len(sources)} instances): sent {len(sources)} synthetic instances\n"
    query = {"Level": "Series", "Query": {"SeriesDescription": "[SYNTHETIC]*", "PatientID": "PID*"}}
    (name,) = ask(f"{url}/tools/find", query)
    assert len(ask(f"{url}/series/{name}")["Instances"]) == len(sources)


def ask(url, data=None, method=None):
    """The answer of a page, as JSON where it is any."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")
