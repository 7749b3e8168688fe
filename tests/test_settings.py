"""Strict settings, strict YAML, and messages that say where and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError

from medtranslate.errors import ConfigError
from medtranslate.settings import (
    Settings,
    apply_overrides,
    format_yaml,
    parse_yaml,
    validate_settings,
)


class Training(Settings):
    """Settings to try the rules on."""

    num_steps: int = Field(10, ge=1)
    learning_rate: float = 1e-3
    size: tuple[int, int, int] = (8, 8, 8)
    fast: bool = False


class Job(Settings):
    """Settings that hold settings."""

    name: str
    train: Training = Training()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("12", 12),
        ("true", True),
        ("false", False),
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("1:30", "1:30"),
        ("2026-11-22", "2026-11-22"),
        ("0x10", "0x10"),
        ("null", None),
        ("20m", "20m"),
    ],
)
def test_a_value_is_read_as_it_looks(text: str, value: object) -> None:
    read = parse_yaml(f"key: {text}", where="job.yaml")["key"]

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"job.yaml: line 3: key 'a' is given twice"),
        ("a: {b: 1, b: 2}", "key 'b' is given twice"),
        ("a: &x 1", r"job.yaml:1: anchors"),
        ("a: 1\nb: *x", "anchors|alias"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a: !thing 1", "not valid YAML"),
        ("- 1\n- 2", "found list"),
        ("", "found NoneType"),
        ("a: [1", "not valid YAML"),
        (f"a: {'9' * 5000}", "not valid YAML"),
        (f"a: {'[' * 100_000}", "job.yaml:1: is nested more than 32 levels deep"),
    ],
)
def test_yaml_that_is_not_plain_data_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, where="job.yaml")


def test_an_override_sets_one_value_and_leaves_the_data_alone() -> None:
    data: dict[str, Any] = {"name": "a", "train": {"num_steps": 5}}

    changed = apply_overrides(data, ["train.num_steps=7", "train.learning_rate=1e-4"])

    assert changed == {"name": "a", "train": {"num_steps": 7, "learning_rate": 1e-4}}
    assert data == {"name": "a", "train": {"num_steps": 5}}


@pytest.mark.parametrize("override", ["num_steps", "=5", "name.first=x"])
def test_an_override_without_a_place_or_a_value_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        apply_overrides({"name": "a"}, [override])


def test_every_mistake_is_shown_at_once_with_its_line() -> None:
    text = "name: a\ntrain:\n  num_step: 1000\n  learning_rate: fast\n  size: [8, 8]\n"

    with pytest.raises(ConfigError) as caught:
        validate_settings(Job, parse_yaml(text, where="j.yaml"), where="j.yaml", source=text)

    lines = sorted(str(caught.value).splitlines())
    assert lines[0] == (
        "j.yaml:3: train.num_step: unknown key; did you mean 'num_steps'? (got 1000)"
    )
    assert [line.split(": ")[:2] for line in lines[1:]] == [
        ["j.yaml:4", "train.learning_rate"],
        ["j.yaml:5", "train.size.2"],
    ]


@pytest.mark.parametrize("value", ["3", 3.5, True])
def test_a_number_of_steps_is_a_whole_number(value: object) -> None:
    with pytest.raises(ConfigError, match=r"train.num_steps"):
        validate_settings(Job, {"name": "a", "train": {"num_steps": value}}, where="j.yaml")


def test_settings_cannot_be_changed() -> None:
    settings = Job(name="a")

    with pytest.raises(ValidationError, match="frozen"):
        settings.name = "b"  # type: ignore[misc]  # that it fails is the point


@pytest.mark.parametrize(
    "value",
    ["09", "08.5", "1e-4", "1_000", "yes", "true", "null", "~", "2026-11-25", "=", "T1w", "a: b",
     "ü", 9, 1e-5, 0.5, 1e300, True, None, [], {}],
)  # fmt: skip
def test_what_is_written_as_yaml_is_read_as_it_was(value: Any) -> None:
    again = parse_yaml(format_yaml({"key": [value]}), where="test")["key"][0]

    assert again == value
    assert type(again) is type(value)
