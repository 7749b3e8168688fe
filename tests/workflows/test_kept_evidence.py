"""Who was scored is not scored again, unless something that the scores depend on has changed."""

import json
import shutil

import pytest

from medtranslate.errors import ConfigError, DatasetError
from medtranslate.workflows import validate as validate_module
from medtranslate.workflows.kept_evidence import EVIDENCE_FOLDER
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validation_choices import ValidationChoices
from medtranslate.workflows.verify import verify

PLAIN = ValidationChoices(protocols=("monai",))


def contents(folder):
    """What a validation says; its own hashes and times stand in the manifest."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and path.name != "manifest.json"
    }


@pytest.fixture
def scored(monkeypatch):
    """Names of the cases that are made ready to be scored."""
    names, make = [], validate_module._scored_case

    def note(translator, case, *others):
        names.append(case.name)
        return make(translator, case, *others)

    monkeypatch.setattr(validate_module, "_scored_case", note)
    return names


@pytest.mark.parametrize(
    "choices",
    [PLAIN, ValidationChoices(protocols=(), audit=True), ValidationChoices(uncertainty=True)],
    ids=["plain", "audit", "uncertainty"],
)
def test_a_second_call_scores_nobody_and_says_the_same(choices, trained, cohort, tmp_path, scored):
    validate(trained, [cohort], tmp_path / "out", choices=choices)
    before = contents(tmp_path / "out")
    assert scored == ["toy_04", "toy_05"]

    validate(trained, [cohort], tmp_path / "out", choices=choices)

    assert scored == ["toy_04", "toy_05"]
    assert contents(tmp_path / "out") == before
    assert verify(tmp_path / "out").holds


def test_what_was_interrupted_goes_on_with_the_rest(trained, cohort, tmp_path, monkeypatch):
    make, names = validate_module._scored_case, []

    def stop_at_the_second(translator, case, *others):
        names.append(case.name)
        if names == ["toy_04", "toy_05"]:
            raise KeyboardInterrupt
        return make(translator, case, *others)

    monkeypatch.setattr(validate_module, "_scored_case", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        validate(trained, [cohort], tmp_path / "out", choices=PLAIN)
    assert not (tmp_path / "out" / "summary.json").exists()

    validate(trained, [cohort], tmp_path / "out", choices=PLAIN)
    validate(trained, [cohort], tmp_path / "whole", choices=PLAIN)

    assert names == ["toy_04", "toy_05", "toy_05", "toy_04", "toy_05"]
    assert (tmp_path / "out" / "volumes.csv").read_bytes() == (
        tmp_path / "whole" / "volumes.csv"
    ).read_bytes()
    assert verify(tmp_path / "out").holds


@pytest.fixture
def dataset(cohort, tmp_path):
    """A copy of the people, to change."""
    shutil.copytree(cohort, tmp_path / "toy")
    return tmp_path / "toy"


def test_who_could_not_be_scored_is_tried_again(trained, dataset, tmp_path, scored):
    target = dataset / "sub-05" / "anat" / "sub-05_T2w.nii.gz"
    whole = target.read_bytes()
    target.write_bytes(b"no scan")
    assert validate(trained, [dataset], tmp_path / "out", choices=PLAIN).scored == ("toy/04",)
    status = json.loads((tmp_path / "out" / "status" / "toy_05.json").read_text())
    assert status["state"] == "failed"
    assert "sub-05" not in status["why"]

    target.write_bytes(whole)
    result = validate(trained, [dataset], tmp_path / "out", choices=PLAIN)

    assert result.scored == ("toy/04", "toy/05")
    assert scored == ["toy_04", "toy_05", "toy_05"]


def change_target(dataset, out):
    other = dataset / "sub-04" / "anat" / "sub-04_T2w.nii.gz"
    shutil.copy(other, dataset / "sub-05" / "anat" / "sub-05_T2w.nii.gz")


def damage_evidence(dataset, out):
    path = out / EVIDENCE_FOLDER / "toy_05.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def forge_status(dataset, out):
    path = out / "status" / "toy_05.json"
    path.write_text(path.read_text().replace('"state": "done"', '"state":  "done"') + " ")
    data = json.loads(path.read_text())
    data["record"]["forged"] = True
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("change", [change_target, damage_evidence, forge_status])
def test_whose_evidence_no_longer_fits_is_scored_again(change, trained, dataset, tmp_path, scored):
    validate(trained, [dataset], tmp_path / "out", choices=PLAIN)
    change(dataset, tmp_path / "out")

    validate(trained, [dataset], tmp_path / "out", choices=PLAIN)

    assert scored == ["toy_04", "toy_05", "toy_05"]
    assert verify(tmp_path / "out").holds


def test_what_the_participants_table_says_is_not_kept_and_always_up_to_date(
    trained, dataset, tmp_path, scored
):
    rows = ["participant_id\tsex\tcomment", "sub-04\tF\tZaphod", "sub-05\tM\t"]
    (dataset / "participants.tsv").write_text("\n".join(rows) + "\n")
    validate(trained, [dataset], tmp_path / "out", choices=PLAIN)
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"Zaphod" not in path.read_bytes(), path

    (dataset / "participants.tsv").write_text("\n".join([*rows[:-1], "sub-05\tO\t"]) + "\n")
    result = validate(trained, [dataset], tmp_path / "out", choices=PLAIN)

    assert {row["group"] for row in result.summary["subgroups"]["groups"]} == {"F", "O"}
    assert scored == ["toy_04", "toy_05"]


def test_other_choices_score_everybody_again(trained, cohort, tmp_path, scored):
    validate(trained, [cohort], tmp_path / "out", choices=PLAIN)

    validate(trained, [cohort], tmp_path / "out", choices=ValidationChoices(protocols=()))

    assert scored == ["toy_04", "toy_05"] * 2


def test_two_validations_do_not_write_into_one_folder(trained, cohort, tmp_path, monkeypatch):
    def begin_another(*_, **__):
        with pytest.raises(ConfigError, match="is writing into this folder"):
            validate(trained, [cohort], tmp_path / "out", choices=PLAIN)
        raise DatasetError("tried")

    monkeypatch.setattr(validate_module, "predict_cases", begin_another)

    with pytest.raises(DatasetError, match="tried"):
        validate(trained, [cohort], tmp_path / "out", choices=PLAIN)
