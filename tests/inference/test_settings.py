"""What the command line says takes the place of what the pipeline says."""

import pytest

from medtranslate.errors import ConfigError
from medtranslate.inference.settings import InferenceChoices, InferenceSettings, parse_memory


def test_only_what_was_said_changes():
    settings = InferenceSettings(engine="openvino", memory_gb=2.0)

    changed = InferenceChoices(memory_gb=0.5, precision="fp32").apply_to(settings)

    assert changed == InferenceSettings(engine="openvino", memory_gb=0.5, precision="fp32")
    assert InferenceChoices().apply_to(settings) == settings


def test_choices_are_written_as_the_command_line_and_the_pipeline_file_write_them():
    choices = InferenceChoices(memory_gb=0.5, engine="torch")

    assert choices.to_words() == ["--memory", "0.5G", "--engine", "torch"]
    assert choices.to_overrides() == ["inference.memory_gb=0.5", "inference.engine=torch"]


@pytest.mark.parametrize(("text", "size"), [("4G", 4.0), ("1.5gb", 1.5), ("250M", 0.25)])
def test_sizes_are_read(text, size):
    assert parse_memory(text) == pytest.approx(size)


@pytest.mark.parametrize("text", ["", "4", "G", "-1G", "0M", "4T"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError, match="--memory .*such as 4G"):
        parse_memory(text)
