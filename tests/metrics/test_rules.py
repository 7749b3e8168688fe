"""Rules as values: what they say, what they hash to, and how their names are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtranslate.errors import ConfigError
from medtranslate.metrics.rules import PROTOCOL_NAMES, RULES, Rule, resolve_rules

SCORING_PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "scoring.md"

OTHER_NUMBERS = {
    "name": "other",
    "scans": "MR",
    "measures": ("psnr",),
    "scale": "range",
    "percentiles": (1.0, 99.0),
    "clip_hu": (-1000.0, 3000.0),
    "data_range": 2.0,
    "region": "whole",
    "background_hu": 0.0,
    "error_over": "slices",
    "ssim": None,
    "axis": "coronal",
    "min_mask_fraction": 0.5,
}


def test_the_table_holds_every_name_that_the_command_line_takes() -> None:
    assert ("medtranslate", *RULES) == PROTOCOL_NAMES
    assert all(rule.name == name for name, rule in RULES.items())


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rule_survives_being_written_as_plain_data(rule: Rule) -> None:
    again = Rule.model_validate_json(rule.model_dump_json())

    assert again == rule
    assert again.fingerprint == rule.fingerprint


def test_no_two_rules_share_a_hash() -> None:
    hashes = {rule.fingerprint for rule in RULES.values()}

    assert len(hashes) == len(RULES)
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in hashes)


@pytest.mark.parametrize("field", sorted(set(Rule.model_fields) - {"source"}))
def test_every_number_of_a_rule_moves_its_hash(field: str) -> None:
    rule = RULES["synthrad2023"]
    changed = rule.model_copy(update={field: OTHER_NUMBERS[field]})

    assert getattr(changed, field) != getattr(rule, field)
    assert changed.fingerprint != rule.fingerprint


def test_the_wording_of_the_source_does_not_move_the_hash() -> None:
    rule = RULES["monai"]

    assert rule.model_copy(update={"source": "somebody"}).fingerprint == rule.fingerprint


@pytest.mark.parametrize(
    ("name", "is_ct", "applies"),
    [
        ("synthrad2023", True, True),
        ("synthrad2023", False, False),
        ("brasyn", True, False),
        ("brasyn", False, True),
        ("monai", True, True),
        ("monai", False, True),
    ],
)
def test_rules_know_which_scans_they_are_for(name: str, is_ct: bool, applies: bool) -> None:
    assert RULES[name].applies_to(is_ct=is_ct) is applies


@pytest.mark.parametrize(
    ("name", "topic", "words"),
    [
        ("synthrad2023", "Intensity", "clipped to −1024 to 3000 HU"),
        ("synthrad2023", "Data range", "4024"),
        ("synthrad2023", "Region", "set to -1024 HU outside"),
        ("synthrad2023", "SSIM", "3-D, uniform window 7 voxels wide, sample covariance"),
        ("synthrad2025", "SSIM", "5 scales (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)"),
        ("synthrad2025-published-code", "Data range", "4024"),
        ("ganslate", "Data range", "reference maximum"),
        ("ganslate", "SSIM", "mean over the axial slices: all, empty ones too"),
        ("ganslate", "MAE", "over the volume"),
        ("own-maximum", "PSNR", "at least 1 % of their voxels"),
        ("brasyn", "Intensity", "own 0.1 and 99.9 percentiles"),
        ("monai", "SSIM", "gaussian window σ 1.5 11 voxels wide, population covariance"),
    ],
)
def test_a_rule_says_what_it_does(name: str, topic: str, words: str) -> None:
    assert words in dict(RULES[name].describe())[topic]


def test_a_rule_says_nothing_of_scores_it_does_not_make() -> None:
    topics = dict(RULES["own-maximum"].describe())

    assert not {"SSIM", "MAE"} & set(topics)


def test_names_become_rules_once_and_in_order() -> None:
    found = resolve_rules(["monai", "medtranslate", "ganslate", "monai"])

    assert found == (RULES["monai"], RULES["ganslate"])


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'synthrad2023'.*brasyn, monai") as caught:
        resolve_rules(["monai", "sythrad2023"])

    assert all(name in str(caught.value) for name in PROTOCOL_NAMES)


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(ConfigError, match="--protocol zzz: unknown protocol. Known are medtrans"):
        resolve_rules(["zzz"])


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_the_page_on_scoring_gives_the_hash_of_every_rule(rule: Rule) -> None:
    rows = [line for line in SCORING_PAGE.read_text("utf-8").splitlines() if rule.name in line]

    assert any(f"| `{rule.name}` | `{rule.fingerprint}` |" in row for row in rows)
