"""Which analyses an evaluation makes."""

from __future__ import annotations

import pytest

from medtranslate.errors import ConfigError
from medtranslate.metrics.calibration import LEVELS, Calibration
from medtranslate.metrics.rules import PROTOCOL_NAMES
from medtranslate.workflows.analyses.choose import choose_analyses


def names(analyses):
    return [analysis.name for analysis in analyses]


@pytest.mark.parametrize("protocols", [(), ("medtranslate",)])
def test_the_default_protocol_alone_needs_no_comparison_of_rules(protocols) -> None:
    assert "rules" not in names(choose_analyses(protocols=protocols, thorough=False))


def test_other_protocols_are_compared() -> None:
    chosen = names(choose_analyses(protocols=PROTOCOL_NAMES, thorough=False))

    assert chosen.count("rules") == 1


def test_coverage_is_measured_where_intervals_can_be_made() -> None:
    calibration = Calibration(0.1, dict.fromkeys(LEVELS, 2.0), 1, 100)

    for given, expected in ((calibration, 1), (None, 0)):
        chosen = names(choose_analyses(protocols=(), thorough=False, calibration=given))
        assert [chosen.count(name) for name in ("coverage", "risk_coverage")] == [expected] * 2


def test_what_costs_more_than_scoring_is_left_out_unless_asked_for() -> None:
    costly = {"regions", "sharpness", "dose", "alignment"}

    assert not costly & set(names(choose_analyses(protocols=(), thorough=False)))
    assert costly <= set(names(choose_analyses(protocols=(), thorough=True)))


def test_labels_bring_regions() -> None:
    chosen = names(choose_analyses(protocols=(), thorough=False, labels=True))

    assert {"regions", "sharpness"} & set(chosen) == {"regions"}


def test_change_and_its_spread_come_first_where_people_are_followed() -> None:
    chosen = names(choose_analyses(protocols=(), thorough=False, followed=True))

    assert chosen[:3] == ["change", "spread", "consistency"]
    assert "change" not in names(choose_analyses(protocols=(), thorough=False))


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="--protocol brasin: .*did you mean 'brasyn'"):
        choose_analyses(protocols=["brasin"], thorough=False)
