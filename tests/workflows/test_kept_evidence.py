"""Who was scored is not scored again, unless something that the scores depend on has changed."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from medtranslate.checkpoint import load_model, save_model
from medtranslate.errors import ConfigError, DatasetError, VolumeWriteError
from medtranslate.io import read_volume, write_volume
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume
from medtranslate.workflows import kept_evidence, scoring_plan
from medtranslate.workflows import validate as validate_module
from medtranslate.workflows.analyses.regions import RegionAnalysis
from medtranslate.workflows.analyses.retranslation import Retranslation
from medtranslate.workflows.analyses.stress import StressAnalysis
from medtranslate.workflows.analyses.subgroups import Subgroups
from medtranslate.workflows.kept_evidence import EVIDENCE_FOLDER
from medtranslate.workflows.train import INPUTS_KEY
from medtranslate.workflows.validate_cohort import validate_cohort
from medtranslate.workflows.validation_choices import ValidationChoices
from medtranslate.workflows.verify import verify

PLAIN = ValidationChoices(protocols=("monai",))


def validate(model, datasets, out, **options):
    return validate_cohort(model, datasets, out, **options).validation


def contents(folder):
    """What a validation says; its own hashes and times stand in the manifest."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and path.name != "manifest.json"
    }


@pytest.fixture(autouse=True)
def few_analyses(request, monkeypatch):
    """All of them where what they gather is looked at, elsewhere those that other tests need."""

    def choose(*, participants, audit, **_):
        tried = [] if audit is None else [StressAnalysis(audit)]
        return [Subgroups(participants), RegionAnalysis(), *tried]

    if "choices" not in request.fixturenames:
        monkeypatch.setattr(scoring_plan, "choose_analyses", choose)


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


def name_label(dataset, name):
    table = dataset / "derivatives" / "truth" / "sub-05" / "anat" / "sub-05_dseg.tsv"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(f"index\tname\n1\t{name}\n")


@pytest.fixture
def labelled(dataset):
    """One of the people has a segmentation of one label."""
    scan = read_volume(dataset / "sub-05" / "anat" / "sub-05_T1w.nii.gz")
    labels = np.zeros_like(scan.array, dtype=np.uint8)
    labels[:, 8:11, 10:14, 6:9] = 1
    name_label(dataset, "bone")
    folder = dataset / "derivatives" / "truth" / "sub-05" / "anat"
    write_volume(folder / "sub-05_dseg.nii.gz", Volume(labels, scan.geometry))
    return dataset


def test_another_name_of_a_label_scores_its_person_again(labelled, trained, tmp_path, scored):
    validate(trained, [labelled], tmp_path / "out", choices=PLAIN)
    assert "bone" in (tmp_path / "out" / "regions.csv").read_text()
    name_label(labelled, "liver")

    validate(trained, [labelled], tmp_path / "out", choices=PLAIN)

    assert scored == ["toy_04", "toy_05", "toy_05"]
    regions = (tmp_path / "out" / "regions.csv").read_text()
    assert "liver" in regions
    assert "bone" not in regions


def test_whose_visits_are_one_persons_after_all_is_counted_once(
    trained, strangers, tmp_path, scored
):
    """Both tables give the cases the same names."""

    def write(rows):
        lines = ["subject,session,contrast,path"]
        for subject, session, stranger in rows:
            for contrast in ("T1w", "T2w"):
                scan = strangers / f"sub-{stranger}" / "anat" / f"sub-{stranger}_{contrast}.nii.gz"
                lines.append(f"{subject},{session},{contrast},{scan}")
        (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "t.csv"

    two = write([("01_ses-a", "", "x1"), ("01_ses-b", "", "x2")])
    assert validate(trained, [two], tmp_path / "out", choices=PLAIN).summary["n"] == 2

    one = write([("01", "a", "x1"), ("01", "b", "x2")])
    result = validate(trained, [one], tmp_path / "out", choices=PLAIN)

    assert result.summary["n"] == 1
    assert result.scored == ("t/01",)
    assert len(scored) == 4


def test_who_was_trained_on_is_not_found_scored(trained, cohort, tmp_path):
    """Scored on demand, under another name, and then no longer asked for."""
    scan = read_volume(cohort / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    model = load_model(trained)
    inputs = {hash_volume(scan.voxels, scan.geometry.affine): "toy/01"}
    save_model(
        tmp_path / "model",
        weights=model.weights,
        config=model.config | {INPUTS_KEY: inputs},
        scale=model.scale,
        provenance=model.provenance,
        card="",
    )
    for person in ("sub-01", "sub-04"):
        shutil.copytree(cohort / person, tmp_path / "renamed" / person)
    data, out = [tmp_path / "renamed"], tmp_path / "out"
    asked = replace(PLAIN, even_though_seen=True)
    assert validate(tmp_path, data, out, choices=asked).scored == ("renamed/01", "renamed/04")

    result = validate(tmp_path, data, out, choices=PLAIN)

    assert result.scored == ("renamed/04",)
    [(case, why)] = result.unscored
    assert case == "renamed_01"
    assert "trained on this very scan" in why


def test_a_disk_that_was_full_leaves_no_note(trained, strangers, tmp_path, monkeypatch):
    """What is no matter of the source ends the command, and is not kept."""
    choices = ValidationChoices(protocols=(), audit=True)
    translate = Retranslation.translate

    def fail(self, *_):
        raise VolumeWriteError("no space left on device")

    monkeypatch.setattr(Retranslation, "translate", fail)
    with pytest.raises(VolumeWriteError, match="no space left"):
        validate(trained, [strangers], tmp_path / "out", choices=choices)
    monkeypatch.setattr(Retranslation, "translate", translate)

    result = validate(trained, [strangers], tmp_path / "out", choices=choices)

    assert result.unscored == ()
    assert "no space left" not in (tmp_path / "out" / "report.html").read_text()


def test_no_file_of_a_person_is_named(trained, dataset, tmp_path):
    folder = dataset / "derivatives" / "JohnDoe" / "sub-04" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-04_label-lesion_mask.nii.gz").write_bytes(b"no scan")

    [(case, _)] = validate(trained, [dataset], tmp_path / "out", choices=PLAIN).unscored

    assert case == "toy_04"
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"JohnDoe" not in path.read_bytes(), path


def test_a_defect_that_one_person_meets_costs_nobody_else_his_scores(
    trained, cohort, tmp_path, monkeypatch
):
    add = RegionAnalysis.add

    def meet(self, case, *others):
        if case.name == "toy_05":
            raise ZeroDivisionError("John Doe")
        add(self, case, *others)

    monkeypatch.setattr(RegionAnalysis, "add", meet)

    result = validate(trained, [cohort], tmp_path / "out", choices=PLAIN)

    assert result.scored == ("toy/04",)
    [(_, why)] = result.unscored
    assert why.startswith("unexpected ZeroDivisionError in ")
    assert "John" not in why


def test_progress_reaches_its_end_and_says_who_was_scored_before(trained, cohort, tmp_path):
    for told in ("", "2 scored before"):
        heard = []
        progress = SimpleNamespace(
            stage=lambda name, total, heard=heard: heard.append((name, total)),
            update=lambda done, note="", heard=heard: heard.append((done, note)),
        )
        validate(trained, [cohort], tmp_path / "out", choices=PLAIN, progress=progress)

        rest = heard[heard.index(("score", 2)) + 1 :]
        assert rest[-1][0] == 2
        assert (told in [note for _, note in rest]) is True


def test_evidence_may_be_deleted(trained, cohort, tmp_path, scored):
    validate(trained, [cohort], tmp_path / "out", choices=PLAIN)
    shutil.rmtree(tmp_path / "out" / EVIDENCE_FOLDER)
    assert verify(tmp_path / "out").holds

    validate(trained, [cohort], tmp_path / "out", choices=PLAIN)

    assert scored == ["toy_04", "toy_05"] * 2


def test_other_code_scores_everybody_again(trained, cohort, tmp_path, scored, monkeypatch):
    validate(trained, [cohort], tmp_path / "out", choices=PLAIN)
    monkeypatch.setattr(kept_evidence, "_hash_code", lambda: "another")

    validate(trained, [cohort], tmp_path / "out", choices=PLAIN)

    assert scored == ["toy_04", "toy_05"] * 2


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
