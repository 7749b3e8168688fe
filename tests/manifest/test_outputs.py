import hashlib
import json

import pytest

from medtranslate.errors import ConfigError
from medtranslate.manifest import load_signing_key, read_manifest, sign_outputs, take_snapshot
from medtranslate.manifest.status import write_done, write_failed


@pytest.fixture
def key(tmp_path):
    return load_signing_key(tmp_path / "key.pem")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out" / "cache").mkdir(parents=True)
    (tmp_path / "out" / "cache" / "a").write_text("working")
    (tmp_path / "out" / "theirs.txt").write_text("not ours")
    return tmp_path / "out"


def signed(folder, key, name, text):
    before = take_snapshot(folder)
    (folder / name).write_text(text)
    return read_manifest(sign_outputs(folder, since=before, record={"command": name}, key=key))


def test_only_what_was_written_is_signed(folder, key):
    manifest = signed(folder, key, "ours.txt", "ours")
    assert manifest.holds
    assert list(manifest.files) == ["ours.txt"]
    assert manifest.files["ours.txt"].sha256 == hashlib.sha256(b"ours").hexdigest()
    assert manifest.made == ({"command": "ours.txt"},)


def test_an_earlier_entry_stays_as_it_was_recorded(folder, key):
    signed(folder, key, "first.txt", "first")
    (folder / "first.txt").write_text("changed by somebody")
    manifest = signed(folder, key, "second.txt", "second")
    assert manifest.files["first.txt"].sha256 == hashlib.sha256(b"first").hexdigest()
    assert [record["command"] for record in manifest.made] == ["first.txt", "second.txt"]


def test_entries_of_a_manifest_that_does_not_hold_go(folder, key):
    signed(folder, key, "first.txt", "first")
    data = json.loads((folder / "manifest.json").read_text())
    data["made"] = []
    (folder / "manifest.json").write_text(json.dumps(data))
    assert not read_manifest(folder / "manifest.json").holds
    assert list(signed(folder, key, "second.txt", "second").files) == ["second.txt"]


def begin_and_die(folder):
    """What a killed call leaves: two files that their status file lists, and one that failed."""
    files = [folder / "of_01.txt", folder / "of_02.txt"]
    for path in files:
        path.write_text(f"{path.name} as written")
    write_done(folder, "01", {}, files=files)
    write_failed(folder, "02", "no scan")


def test_what_a_killed_call_recorded_is_signed_by_the_next_as_it_was_written(folder, key):
    begin_and_die(folder)
    (folder / "of_02.txt").write_text("changed by somebody")
    (folder / "strangers.txt").write_text("put there by somebody")
    manifest = signed(folder, key, "ours.txt", "ours")

    names = ["of_01.txt", "of_02.txt", "ours.txt", "status/01.json", "status/02.json"]
    assert list(manifest.files) == names
    for name in names[:2]:
        written = hashlib.sha256(f"{name} as written".encode()).hexdigest()
        assert manifest.files[name].sha256 == written


def test_a_status_file_that_somebody_altered_vouches_for_nothing(folder, key):
    begin_and_die(folder)
    status = folder / "status" / "01.json"
    status.write_text(status.read_text().replace("of_02.txt", "theirs.txt"))

    assert list(signed(folder, key, "ours.txt", "ours").files) == ["ours.txt", "status/02.json"]


def test_what_changed_after_it_was_recorded_is_not_vouched_for(folder, key):
    before = take_snapshot(folder)
    begin_and_die(folder)
    (folder / "of_01.txt").write_text("changed by somebody")
    manifest = read_manifest(sign_outputs(folder, since=before, record={}, key=key))

    written = hashlib.sha256(b"of_01.txt as written").hexdigest()
    assert manifest.files["of_01.txt"].sha256 == written


def test_a_status_file_counts_for_more_than_an_earlier_manifest(folder, key):
    signed(folder, key, "of_01.txt", "by an earlier call")
    begin_and_die(folder)
    manifest = signed(folder, key, "ours.txt", "ours")

    written = hashlib.sha256(b"of_01.txt as written").hexdigest()
    assert manifest.files["of_01.txt"].sha256 == written


@pytest.mark.parametrize("name", ["../a", "/a", "b/../../a", "", "a\\b"])
def test_a_name_that_leads_out_is_refused(folder, key, name):
    signed(folder, key, "first.txt", "first")
    data = json.loads((folder / "manifest.json").read_text())
    data["files"] = {name: data["files"]["first.txt"]}
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match="outside the manifest"):
        read_manifest(folder / "manifest.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_a_damaged_manifest_is_refused_by_name(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match="manifest.json"):
        read_manifest(tmp_path / "manifest.json")
