import pytest

from medtranslate.data.durations import parse_assignments, parse_durations
from medtranslate.errors import ConfigError


def test_times_are_read_in_years_and_sorted():
    spans = parse_durations("2y, 6m,0d,73.05d,1w")

    assert [span.text for span in spans] == ["0d", "1w", "73.05d", "6m", "2y"]
    assert [span.years for span in spans] == pytest.approx([0, 7 / 365.25, 0.2, 0.5, 2])


@pytest.mark.parametrize(
    "text", ["", "6", "-1y", "1y,,2y", "6 months", "1e3d", "٣y", "9" * 99 + "d"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match="is not a time"):
        parse_durations(text)


@pytest.mark.parametrize("text", ["151y", "60000d", "1y,999999999w"])
def test_what_nobody_lives_to_see_is_refused(text):
    with pytest.raises(ConfigError, match="longer than anybody lives"):
        parse_durations(text)


def test_the_same_time_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        parse_durations("12m,1y")


def test_assignments_are_read_and_missing_values_known():
    assert parse_assignments(["age=63", "sex=n/a"]) == {"age": "63", "sex": None}


@pytest.mark.parametrize("texts", [["age"], ["=3"], ["age=1", "age=2"]])
def test_bad_assignments_are_refused(texts):
    with pytest.raises(ConfigError, match="--covariate"):
        parse_assignments(texts)
