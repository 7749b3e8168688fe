import hashlib
import json

import pytest

from medtranslate.errors import ConfigError
from medtranslate.manifest import load_signing_key, read_manifest, sign_outputs, take_snapshot


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
