from medtranslate.report.checklist import BLANK, CLAIM_ITEMS, claim_checklist
from medtranslate.report.details import EvaluationDetails
from medtranslate.report.sections import Section

MADE = {
    "pipeline": "t1w_to_t2w",
    "method": "cgan",
    "model": "0123456789ab",
    "trained for": "20m",
    "commit": "835324f",
    "software": "torch 2.13.0",
}
DETAILS = EvaluationDetails(
    source_name="T1w",
    target_name="T2w",
    held_out=True,
    cohort=[{"case": "a", "dataset": "open_ms_cross"}],
    split={"training": "6 people"},
    how_made=MADE,
    notes=["Left out: sub-09."],
)


def answers(section):
    return {int(row[0]): row[3] for row in section.tables[0].rows}


def test_all_44_items_are_listed_in_order(make_board):
    rows = claim_checklist(make_board(), DETAILS, []).tables[0].rows

    assert [int(row[0]) for row in rows] == list(range(1, 45))
    assert len(CLAIM_ITEMS) == 44


def test_what_the_run_knows_is_filled_in(make_board):
    board = make_board()
    known = answers(claim_checklist(board, DETAILS, [Section("Where it breaks", "")]))

    assert "cgan" in known[1]
    assert "open_ms_cross" in known[7]
    assert "6 people" in known[19]
    assert known[23] == "torch 2.13.0"
    assert "bootstrap over people" in known[29]
    assert "Where it breaks" in known[30]
    assert "4 people" in known[35]
    assert "sub-09" in known[35]
    assert board.protocol.fingerprint in known[42]
    assert "0123456789ab" in known[43]


def test_what_only_people_know_stays_visibly_blank(make_board):
    known = answers(claim_checklist(make_board(), DETAILS, []))

    assert {known[number] for number in (3, 4, 5, 8, 11, 13, 33, 34, 40, 41, 44)} == {BLANK}


def test_an_evaluation_of_foreign_scans_claims_nothing_about_their_model(make_board):
    known = answers(claim_checklist(make_board(), EvaluationDetails(), []))

    assert {known[number] for number in (1, 7, 19, 20, 22, 25, 26, 30, 32, 43)} == {BLANK}
    assert known[28] != BLANK


def test_the_number_of_filled_items_is_told(make_board):
    section = claim_checklist(make_board(), DETAILS, [])
    filled = sum(answer != BLANK for answer in answers(section).values())

    assert section.lead.startswith(f"{filled} of 44")
