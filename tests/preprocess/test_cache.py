import logging
import os
import shutil

import numpy as np
import pytest
import torch

from medtranslate.preprocess import cache as cache_module
from medtranslate.preprocess.cache import PreparedArrays, PreparedCache, load_or_prepare
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.settings import PreprocessSettings

SETTINGS = PreprocessSettings(crop_margin_mm=2.0)


@pytest.fixture
def times_prepared(monkeypatch):
    """Names of the cases that were really prepared."""
    names = []

    def counting(settings, *, name, **files):
        names.append(name)
        return prepare(settings, name=name, **files)

    monkeypatch.setattr(cache_module, "prepare", counting)
    return names


def assert_equal(first: PreparedArrays, second: PreparedArrays):
    assert set(first.tensors()) == set(second.tensors())
    for role, image in first.tensors().items():
        torch.testing.assert_close(image, second.tensors()[role], rtol=0, atol=0)
        assert type(image) is torch.Tensor
    np.testing.assert_array_equal(first.affine, second.affine)
    assert first.source_scale == second.source_scale
    assert first.target_scale == second.target_scale
    assert first.registration == second.registration
    assert first.fingerprint == second.fingerprint


def test_what_comes_from_the_cache_is_what_was_prepared(
    make_scan, write_scan, tmp_path, times_prepared
):
    source, volume = make_scan(orientation="LPS")
    target = write_scan("target", 900 - volume.voxels, volume.geometry.affine)
    files = {"name": "x", "source": source, "target": target}
    fresh = load_or_prepare(SETTINGS, **files)
    kept = load_or_prepare(SETTINGS, **files, cache=tmp_path / "cache")
    found = load_or_prepare(SETTINGS, **files, cache=tmp_path / "cache")
    assert len(times_prepared) == 2
    assert_equal(fresh, kept)
    assert_equal(fresh, found)


def test_further_regions_come_from_the_cache_too(make_scan, write_scan, tmp_path, times_prepared):
    source, volume = make_scan()
    label = write_scan("label", np.rint(volume.voxels > 0) * 3, volume.geometry.affine)
    settings = PreprocessSettings(further_regions={"inner": (3,)}, crop_margin_mm=2.0)
    files = {"name": "x", "source": source, "label": label}

    kept, found = (load_or_prepare(settings, **files, cache=tmp_path / "cache") for _ in range(2))

    assert len(times_prepared) == 1
    assert set(found.further) == {"label-inner"}
    assert_equal(kept, found)


def test_registration_comes_from_the_cache_too(make_scan, tmp_path):
    source, _ = make_scan()
    target, _ = make_scan("target", spacing=(1.2, 1.5, 2.4))
    settings = PreprocessSettings(align="rigid")
    cache = PreparedCache(tmp_path / "cache")
    first = cache.load_or_prepare(settings, name="x", source=source, target=target)
    assert first.registration is not None
    again = cache.load_or_prepare(settings, name="x", source=source, target=target)
    assert_equal(first, again)


def test_a_renamed_touched_or_recompressed_file_is_found(
    make_scan, write_scan, tmp_path, times_prepared
):
    source, volume = make_scan()
    cache = PreparedCache(tmp_path / "cache")
    cache.load_or_prepare(SETTINGS, name="first", source=source)
    renamed = tmp_path / "elsewhere.nii.gz"
    shutil.move(source, renamed)
    os.utime(renamed, (1, 1))
    cache.load_or_prepare(SETTINGS, name="second", source=renamed)
    unpacked = tmp_path / "unpacked.nii"
    from medtranslate.io import write_volume

    write_volume(unpacked, volume)
    cache.load_or_prepare(SETTINGS, name="third", source=unpacked)
    assert times_prepared == ["first"]


def test_a_changed_voxel_is_missed_though_name_size_and_date_stay(
    make_scan, write_scan, tmp_path, times_prepared
):
    source, volume = make_scan()
    before = source.stat()
    cache = PreparedCache(tmp_path / "cache")
    first = cache.load_or_prepare(SETTINGS, name="x", source=source)
    changed = volume.voxels.copy()
    changed[11, 9, 6] += 1
    write_scan("source", changed, volume.geometry.affine)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = cache.load_or_prepare(SETTINGS, name="x", source=source)
    assert len(times_prepared) == 2
    assert first.fingerprint["inputs"] != second.fingerprint["inputs"]
    assert not torch.equal(first.source, second.source)


def test_a_moved_grid_other_settings_or_a_target_are_missed(
    make_scan, write_scan, tmp_path, times_prepared
):
    source, volume = make_scan()
    cache = PreparedCache(tmp_path / "cache")
    shifted = volume.geometry.affine.copy()
    shifted[0, 3] += 0.5
    moved = write_scan("moved", volume.voxels, shifted)
    cache.load_or_prepare(SETTINGS, name="plain", source=source)
    cache.load_or_prepare(SETTINGS, name="moved", source=moved)
    cache.load_or_prepare(PreprocessSettings(), name="settings", source=source)
    cache.load_or_prepare(SETTINGS, name="target", source=source, target=source)
    assert times_prepared == ["plain", "moved", "settings", "target"]


def test_another_version_of_a_library_is_missed(make_scan, tmp_path, times_prepared, monkeypatch):
    source, _ = make_scan()
    cache = PreparedCache(tmp_path / "cache")
    cache.load_or_prepare(SETTINGS, name="x", source=source)
    monkeypatch.setattr(cache_module, "used_versions", lambda: {"monai": "0.0"})
    cache.load_or_prepare(SETTINGS, name="x", source=source)
    assert len(times_prepared) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-5],
        lambda data: data[:-5] + bytes([data[-5] ^ 64]) + data[-4:],
        lambda data: b"",
        lambda data: b"\x00" * len(data),
    ],
)
def test_a_damaged_entry_is_made_again(make_scan, tmp_path, times_prepared, damage, caplog):
    source, _ = make_scan()
    cache = PreparedCache(tmp_path / "cache")
    cache.load_or_prepare(SETTINGS, name="x", source=source)
    (entry,) = (tmp_path / "cache").glob("*.safetensors")
    entry.write_bytes(damage(entry.read_bytes()))
    with caplog.at_level(logging.WARNING):
        second = cache.load_or_prepare(SETTINGS, name="x", source=source)
    assert len(times_prepared) == 2
    assert "is damaged" in caplog.text
    assert_equal(load_or_prepare(SETTINGS, name="x", source=source), second)


def test_the_folder_holds_safetensors_and_json_only(make_scan, tmp_path):
    source, _ = make_scan()
    load_or_prepare(SETTINGS, name="x", source=source, cache=tmp_path / "cache")
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    assert not any(path.read_bytes().startswith(b"\x80") for path in files)
