"""What a derivative dataset says of the dataset it was made from."""

from __future__ import annotations

import json

import pytest

from medtranslate.errors import DatasetError
from medtranslate.workflows.origin import Origin


@pytest.fixture
def dataset(tmp_path):
    """A BIDS dataset below a folder that is called after a person."""
    root = tmp_path / "Jane Doe" / "toy"
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text("{}")
    return root


@pytest.mark.parametrize(
    ("place", "link"),
    [
        ("toy/derivatives/medtranslate", "../.."),
        ("results", "../toy"),
        ("results/medtranslate", "../../toy"),
        ("../elsewhere/results", None),
    ],
)
def test_the_way_back_names_no_folder_but_the_dataset_s_own(dataset, place, link) -> None:
    origin = Origin.of(dataset, dataset.parent / place)
    scan = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"

    assert origin.link == link
    assert origin.uri_of(scan) == (link and "bids:raw:sub-01/anat/sub-01_T1w.nii.gz")
    assert "Jane" not in json.dumps(origin.to_json())
    assert origin.to_json() == (
        {"SourceDatasets": [{"URL": link}], "DatasetLinks": {"raw": link}} if link else {}
    )


@pytest.mark.parametrize(
    ("told", "doi"),
    [
        ("doi:10.18112/openneuro.ds000001.v1.0.0", "10.18112/openneuro.ds000001.v1.0.0"),
        ("https://doi.org/10.1000/a_b", "10.1000/a_b"),
        ("scans of Jane Doe", None),
        ("10.1000/Jane Doe", None),
    ],
)
def test_a_doi_is_told_and_any_other_text_is_not(dataset, tmp_path, told, doi) -> None:
    (dataset / "dataset_description.json").write_text(json.dumps({"DatasetDOI": told}))

    data = Origin.of(dataset, tmp_path / "far" / "away").to_json()

    assert data == ({} if doi is None else {"SourceDatasets": [{"DOI": f"doi:{doi}"}]})


def test_a_folder_without_description_is_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match="holds no dataset_description.json"):
        Origin.of(tmp_path, tmp_path / "out")
