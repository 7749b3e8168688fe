"""Runs compared person by person, and refused where that would not be fair."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

from medtranslate.errors import ConfigError, DatasetError
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, SLICE_MEASURES, CaseScores, SliceScores
from medtranslate.provenance import hash_json
from medtranslate.report.tables import write_tables
from medtranslate.workflows.compare import compare_runs

PEOPLE = ("d/p1", "d/p2", "d/p3", "d/p4")
FIRST = {"d/p1": 20.0, "d/p2": 22.0, "d/p3": 18.5, "d/p4": 25.0}
SECOND = {"d/p1": 21.0, "d/p2": 22.5, "d/p3": 18.0, "d/p4": 27.0}
SPLIT = {"d/p1": "test", "d/p2": "test", "d/p3": "test", "d/p4": "test", "d/p5": "train"}


def make_row(case, subject, psnr):
    values = dict.fromkeys(MEASURES, 0.02 * psnr) | {"psnr": psnr, "mae": 1 / psnr}
    one = SliceScores(0, 40, True, {name: values[name] for name in SLICE_MEASURES})
    return ScoredPrediction(case, subject, "model", CaseScores((one,), values))


def write_evaluation(folder, rows, *, protocol=None, is_ct=False, split=None, mask="found"):
    protocol = protocol or Protocol(interval_resamples=2000)
    board = Scoreboard(tuple(rows), "model", is_ct, protocol)
    words = dict(protocol.describe(is_ct=is_ct, mask=mask))
    rule = {"numbers": protocol.model_dump(mode="json"), "words": words}
    write_tables(folder, board, summary={"split": split or {}, **board.to_json()}, protocol=rule)


def write_run(folder, scores, *, split=SPLIT, **options):
    rows = [make_row(person.replace("/", "_"), person, psnr) for person, psnr in scores.items()]
    write_evaluation(folder / "evaluation", rows, **options)
    if split:
        data = {"subjects": split, "hash": hash_json(dict(sorted(split.items())))}
        (folder / "split.json").write_text(json.dumps(data))
    return folder


@pytest.fixture
def runs(tmp_path):
    return write_run(tmp_path / "one", FIRST), write_run(tmp_path / "two", SECOND)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def psnr_test(data, method="two"):
    return next(t for t in data["tests"] if (t["method"], t["measure"]) == (method, "psnr"))


def test_differences_are_the_later_run_minus_the_first(runs, tmp_path):
    found = psnr_test(compare_runs(runs, tmp_path / "out"))

    np.testing.assert_allclose(found["mean"], (1.0 + 0.5 - 0.5 + 2.0) / 4)
    assert (found["minus"], found["n"]) == ("one", 4)
    # |sum| of 1, 0.5, 0.5 and 2 reaches the observed 3 in 6 of 16 assignments of signs.
    assert found["sign_flip_p"] == pytest.approx(6 / 16)


def test_people_are_paired_by_name_not_by_row(runs, tmp_path):
    before = psnr_test(compare_runs(runs, tmp_path / "before"))
    table = runs[1] / "evaluation" / "volumes.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *rows[::-1]]) + "\n")

    assert psnr_test(compare_runs(runs, tmp_path / "after")) == before


def test_the_visits_of_a_person_are_averaged_first(runs, tmp_path):
    rows = [make_row(person.replace("/", "_"), person, SECOND[person]) for person in PEOPLE[1:]]
    rows += [make_row("p1_ses-1", "d/p1", 21.0), make_row("p1_ses-2", "d/p1", 31.0)]
    shutil.rmtree(runs[1] / "evaluation")
    write_evaluation(runs[1] / "evaluation", rows)

    data = compare_runs(runs, tmp_path / "out")

    assert data["people"]["d/p1"]["psnr"] == {"one": 20.0, "two": 26.0}
    np.testing.assert_allclose(psnr_test(data)["mean"], (6.0 + 0.5 - 0.5 + 2.0) / 4)
    assert data["n"] == 4


def test_the_files_hold_what_the_page_shows(runs, tmp_path):
    out = tmp_path / "out"
    data = compare_runs(runs, out)

    table = rows_of(out / "comparison.csv")
    row = next(r for r in table if (r["subject"], r["measure"]) == ("d/p4", "psnr"))
    assert (float(row["one"]), float(row["two"])) == (25.0, 27.0)
    assert len(table) == len(MEASURES) * 4
    assert len(rows_of(out / "statistics.csv")) == 3
    assert json.loads((out / "comparison.json").read_text()) == data
    page = (out / "comparison.html").read_text()
    assert "two minus one" in page
    assert data["sentence"] in page
    assert page.count("<svg") == 2
    assert "n = 4 people" in data["sentence"]


def test_three_runs_are_each_compared_with_the_first_in_one_family(runs, tmp_path):
    third = write_run(tmp_path / "three", {person: FIRST[person] + 1 for person in PEOPLE})

    data = compare_runs([*runs, third], tmp_path / "out")

    assert [(t["method"], t["minus"]) for t in data["tests"]] == [("two", "one")] * 3 + [
        ("three", "one")
    ] * 3
    assert psnr_test(data, "three")["sign_flip_p"] == pytest.approx(2 / 16)
    assert psnr_test(data, "three")["holm_p"] == pytest.approx(6 * 2 / 16)


def test_the_folder_of_an_evaluation_is_read_as_the_run_is(runs, tmp_path):
    of_runs = compare_runs(runs, tmp_path / "a")
    of_folders = compare_runs([run / "evaluation" for run in runs], tmp_path / "b")

    assert of_folders == of_runs


def test_an_evaluation_without_a_run_is_compared_with_a_note(runs, tmp_path):
    shutil.copytree(runs[1] / "evaluation", tmp_path / "elsewhere")

    data = compare_runs([runs[0], tmp_path / "elsewhere"], tmp_path / "out")

    assert any(
        "on whom these were trained" in note and "elsewhere" in note for note in data["notes"]
    )


def test_the_hash_that_a_summary_kept_is_compared(runs, tmp_path):
    kept = json.loads((runs[0] / "split.json").read_text())["hash"][:12]
    same, other = tmp_path / "same", tmp_path / "other"
    rows = [make_row(p.replace("/", "_"), p, SECOND[p]) for p in PEOPLE]
    write_evaluation(same, rows, split={"split hash": kept})
    write_evaluation(other, rows, split={"split hash": "0123456789ab"})

    assert compare_runs([runs[0], same], tmp_path / "out")["notes"] == []
    with pytest.raises(DatasetError, match="different splits .* and 0123456789ab"):
        compare_runs([runs[0], other], tmp_path / "out")


def test_different_splits_are_refused_with_the_people_who_differ(runs, tmp_path):
    moved = write_run(tmp_path / "moved", SECOND, split=SPLIT | {"d/p4": "train", "d/p6": "val"})

    with pytest.raises(
        DatasetError, match=r"differ: d/p4 \(test and train\), d/p6 \(absent and val\)\."
    ):
        compare_runs([runs[0], moved], tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_different_protocols_are_refused_with_what_differs(runs, tmp_path):
    other = write_run(
        tmp_path / "other", SECOND, protocol=Protocol(interval_resamples=2000, ssim_sigma=2.0)
    )

    with pytest.raises(ConfigError, match=r"one and other .* ssim_sigma \(1\.5 and 2\.0\)\. Score"):
        compare_runs([runs[0], other], tmp_path / "out")


def test_hounsfield_units_are_not_compared_with_scaled_ones(runs, tmp_path):
    ct = write_run(tmp_path / "ct", SECOND, is_ct=True)

    with pytest.raises(ConfigError, match="ct was scored in HU and one was not"):
        compare_runs([runs[0], ct], tmp_path / "out")


@pytest.mark.parametrize("missing_in_first", [True, False])
def test_a_person_who_is_missing_in_one_run_is_named(runs, tmp_path, missing_in_first):
    fewer = write_run(tmp_path / "fewer", {p: SECOND[p] for p in PEOPLE if p != "d/p3"})
    order = [fewer, runs[0]] if missing_in_first else [runs[0], fewer]

    with pytest.raises(DatasetError, match="d/p3 scored in one, but not in fewer"):
        compare_runs(order, tmp_path / "out")


def test_runs_of_one_name_and_one_run_alone_are_refused(runs, tmp_path):
    twin = tmp_path / "elsewhere" / "one"
    shutil.copytree(runs[0], twin)

    with pytest.raises(ConfigError, match="2 runs are called 'one'"):
        compare_runs([runs[0], twin], tmp_path / "out")
    with pytest.raises(ConfigError, match="give two or more"):
        compare_runs([runs[0]], tmp_path / "out")


def test_masks_that_come_from_elsewhere_are_noted(runs, tmp_path):
    other = write_run(tmp_path / "other", SECOND, mask="given for each case")

    notes = compare_runs([runs[0], other], tmp_path / "out")["notes"]

    assert any("one: found; other: given for each case" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("summary.json", None, "holds no scores"),
        ("summary.json", "[]", "holds list, expected an object"),
        ("summary.json", "{}", "lacks what a comparison needs"),
        ("protocol.json", "{", "cannot be read as JSON"),
        ("protocol.json", '{"numbers": 3, "words": {}}', "no table of settings"),
        ("volumes.csv", None, "cannot be read"),
        ("volumes.csv", "case,psnr\nd_p1,oops\n", "not a table of scores"),
        ("volumes.csv", f"case,{','.join(MEASURES)}\nx{',1' * len(MEASURES)}\n", "other cases"),
        ("../split.json", '{"hash": "a"}', "not a split"),
    ],
)
def test_files_that_cannot_be_used_are_named(runs, tmp_path, name, text, words):
    path = runs[1] / "evaluation" / name
    path.unlink()
    if text is not None:
        path.write_text(text)

    with pytest.raises((ConfigError, DatasetError), match=words):
        compare_runs(runs, tmp_path / "out")


def test_a_case_that_is_listed_twice_is_refused(runs, tmp_path):
    table = runs[1] / "evaluation" / "volumes.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")

    with pytest.raises(DatasetError, match="other cases than summary.json"):
        compare_runs(runs, tmp_path / "out")


def test_an_infinite_score_is_a_gap_and_not_tested(runs, tmp_path):
    perfect = write_run(tmp_path / "perfect", SECOND | {"d/p2": float("inf")})

    found = psnr_test(compare_runs([runs[0], perfect], tmp_path / "out"), "perfect")

    assert (found["mean"], found["sign_flip_p"]) == ("inf", None)


@pytest.mark.parametrize("score", ["nan", "1e308", "-1e31", "", "many"])
def test_a_score_that_no_measure_gives_is_refused_and_nothing_written(runs, tmp_path, score):
    table = runs[1] / "evaluation" / "volumes.csv"
    table.write_text(table.read_text().replace("21.0", score))

    with pytest.raises(DatasetError, match=r"volumes.csv: is not a table of scores"):
        compare_runs(runs, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_runs_without_anybody_are_refused(runs, tmp_path):
    for folder in (run / "evaluation" for run in runs):
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps(summary | {"per_case": []}))
        table = folder / "volumes.csv"
        table.write_text(table.read_text().partition("\n")[0] + "\n")
    with pytest.raises(DatasetError, match="holds no scores"):
        compare_runs(runs, tmp_path / "out")


def test_a_protocol_that_would_draw_for_years_is_refused(runs, tmp_path):
    path = runs[0] / "evaluation" / "protocol.json"
    path.write_text(path.read_text().replace("2000", "2000000000000"))
    with pytest.raises(ConfigError, match="interval_resamples"):
        compare_runs(runs, tmp_path / "out")


def test_words_of_a_protocol_that_are_no_text_do_no_harm(runs, tmp_path):
    path = runs[0] / "evaluation" / "protocol.json"
    rule = json.loads(path.read_text())
    path.write_text(json.dumps(rule | {"words": {"Mask": ["<i>", {}]}}))
    compare_runs(runs, tmp_path / "out")
    assert "<i>" not in (tmp_path / "out" / "comparison.html").read_text()
