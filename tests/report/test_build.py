"""The page as a whole."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from medtranslate.report.build import build_report, choose_examples
from medtranslate.report.details import EvaluationDetails

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Text, tags and addresses of a page; fails on tags that do not close."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], [], [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            pytest.fail(f"</{tag}> closes something else")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


DETAILS = EvaluationDetails(
    title="T1w to T2w on held-out people",
    source_name="T1w",
    target_name="T2w",
    held_out=True,
    split={"training": "6 people", "split hash": "9f3c1e77"},
    cohort=[{"case": "case0", "sex": "F"}, {"case": "case1"}],
    how_made={"commit": "835324f"},
    command="medtranslate run pipelines/t1w_to_t2w.yaml --data cohort --out RUN",
    mask="given for each case",
    notes=["Left out: sub-09."],
)


@pytest.fixture(scope="module")
def page(make_board, pictures):
    return Page(build_report(make_board(), DETAILS, pictures))


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(page):
    assert page.open == []
    assert "link" not in page.tags
    assert all(address.startswith("data:image/") for address in page.addresses)


def test_no_style_or_picture_reaches_for_the_network(make_board, pictures):
    source = build_report(make_board(), DETAILS, pictures)

    found = set(
        re.findall(r"(?:https?:)?//[\w.]+[^\s\"'<)]*", re.sub(r"base64,[^\"]+", "", source))
    )
    assert found <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in source
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", source)


@pytest.mark.parametrize(
    "part",
    [
        "On 4 people the model never saw, cgan reaches",
        "4 people only",
        "Left out: sub-09.",
        "Model minus this",
        "95 % interval",
        "higher is better",
        "lower is better",
        "closer to 0",
        "4 of 4",
        "The patient's right is on the left",
        "not by hand",
        "6 people",
        "9f3c1e77",
        "given for each case",
        "σ 1.5 (11 voxels wide)",
        "835324f",
        "medtranslate run pipelines/t1w_to_t2w.yaml --data cohort --out RUN",
        "Not a medical device",
        "case2",
    ],
)
def test_the_page_says_what_its_reader_needs(page, part):
    assert part in " ".join(page.text.split())


def test_best_median_and_worst_are_shown_with_four_panels_and_the_worst_slice(page):
    assert page.tags.count("img") == 4 * 4 + 3 * 4  # and a browser for each of the three
    text = " ".join(page.text.split())
    for title in ("Best case3", "Median case2", "Worst case1", "the slice with the lowest PSNR"):
        assert title in text


def test_the_fingerprint_of_the_protocol_stands_on_the_page(make_board, pictures):
    board = make_board()

    assert board.protocol.fingerprint in build_report(board, DETAILS, pictures)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((20.0,), [("The only case", "case0")]),
        ((20.0, 22.0), [("Best", "case1"), ("Worst", "case0")]),
        (
            (20.0, 25.0, 22.0, 21.0),
            [("Best", "case1"), ("Median", "case3"), ("Worst", "case0")],
        ),
    ],
)
def test_examples_are_chosen_by_rule(make_board, levels, expected):
    assert choose_examples(make_board({"cgan": levels})) == expected


def test_text_from_outside_cannot_become_markup(make_board, pictures):
    bad = "<img src=x onerror=alert(1)>"
    board = make_board({bad: (20.0, 21.0), "copy": (9.0, 9.5)})
    details = EvaluationDetails(
        title=bad,
        source_name=bad,
        split={bad: bad},
        cohort=[{bad: bad}],
        how_made={bad: bad},
        command=bad,
        mask=bad,
        notes=[bad],
    )

    source = build_report(board, details, pictures)

    assert "<img src=x" not in source
    assert source.count("&lt;img src=x") > 10
    assert Page(source).open == []


def test_a_page_without_pictures_baselines_or_details_still_stands(make_board):
    page = Page(build_report(make_board({"cgan": (20.0,)}), EvaluationDetails(), {}))

    assert "img" not in page.tags
    assert "No baseline was scored" in page.text
    assert "One person only" in page.text


def test_ct_is_reported_in_hu(make_board, make_case_pictures):
    board = make_board({"cgan": (30.0, 31.0)}, is_ct=True)
    shown = {f"case{n}": make_case_pictures(f"case{n}") for n in range(2)}

    text = " ".join(Page(build_report(board, DETAILS, shown)).text.split())

    assert "MAE, HU" in text
    assert "−250 to 1000 HU" in text
    assert "data range 4095 HU" in text
