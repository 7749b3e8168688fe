"""MONAI's own programs accept the bundle, and running it gives what ``translate`` gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from monai.bundle import run, verify_metadata, verify_net_in_out

from medtranslate.io import read_volume
from medtranslate.io.documents import read_document
from medtranslate.workflows.export.exporting import export_model
from medtranslate.workflows.translate import translate

TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {"num_channels": {"type": "integer"}, "value_range": {"type": "array"}},
}
TENSORS = {"type": "object", "minProperties": 1, "additionalProperties": TENSOR}
TEXTS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task",
         "description", "authors", "copyright")  # fmt: skip
SPECIFICATION = {
    "type": "object",
    "required": [*TEXTS, "required_packages_version", "network_data_format"],
    "properties": {
        **{name: {"type": "string", "minLength": 1} for name in TEXTS},
        "required_packages_version": {"type": "object"},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": TENSORS, "outputs": TENSORS},
        },
    },
}
"""What MONAI's specification of bundles demands of ``metadata.json``."""


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    """The bundle of a model."""
    out = tmp_path_factory.mktemp("export") / "bundle"
    export_model(trained, "monai-bundle", out)
    return out


@pytest.mark.filterwarnings("ignore:No hash value provided:UserWarning")
def test_monai_verifies_the_metadata_offline(bundle, tmp_path) -> None:
    pytest.importorskip("jsonschema", reason="the extra 'dev' brings jsonschema")
    (tmp_path / "schema.json").write_text(json.dumps(SPECIFICATION))
    data = read_document(bundle / "configs" / "metadata.json")
    (tmp_path / "broken.json").write_text(json.dumps(data | {"network_data_format": {}}))

    def verify(path):
        verify_metadata(meta_file=str(path), filepath=str(tmp_path / "schema.json"))

    verify(bundle / "configs" / "metadata.json")
    with pytest.raises(ValueError, match="Failed validating"):
        verify(tmp_path / "broken.json")


def test_monai_finds_the_network_as_the_metadata_describe_it(bundle, capsys) -> None:
    files = {
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "config_file": str(bundle / "configs" / "inference.json"),
        "bundle_root": str(bundle),
    }

    verify_net_in_out("network_def", device="cpu", n=2, **files)

    with pytest.raises(ValueError, match="doesn't match"):
        verify_net_in_out(
            "network_def", device="cpu", n=2, **files,
            **{"_meta_#network_data_format#outputs#pred#num_channels": 3},
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")
def test_running_the_bundle_gives_the_volume_of_translate(
    bundle, trained, cohort, tmp_path
) -> None:
    source = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"

    run(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        bundle_root=str(bundle),
        dataset_dir=str(source),
        output_dir=str(tmp_path / "bundle.nii.gz"),
    )
    translate(trained, [source], tmp_path / "model.nii.gz")

    found, expected = (read_volume(tmp_path / f"{n}.nii.gz") for n in ("bundle", "model"))
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_array_equal(found.geometry.affine, expected.geometry.affine)


def test_the_metadata_tell_data_and_licences(bundle) -> None:
    data = read_document(bundle / "configs" / "metadata.json")

    assert data["data_source"] == "toy (not known)"
    assert data["copyright"] == "not known"
    assert data["required_packages_version"] == {"medtranslate": data["version"]}
    assert not list(bundle.rglob("*.pt"))
