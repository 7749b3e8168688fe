import subprocess
import sys

import pytest

from medtranslate.errors import ConfigError
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.settings import validate_settings


def test_reading_the_settings_loads_neither_torch_nor_monai():
    code = (
        "import sys, medtranslate.preprocess.settings;"
        "print(sorted({'torch', 'monai', 'SimpleITK'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), (2, (2.0, 2.0, 2.0)), ([1.0, 1.5, 3.0], (1.0, 1.5, 3.0))],
)
def test_spacing_is_one_number_or_one_an_axis_or_native(given, expected):
    settings = validate_settings(PreprocessSettings, {"spacing_mm": given}, where="test")
    assert settings.spacing == expected


@pytest.mark.parametrize(
    "data",
    [
        {"spacing_mm": 0},
        {"spacing_mm": [1, 1]},
        {"crop_margin_mm": -1},
        {"align": "affine"},
        {"mask": "skull"},
        {"source_intensity": {"name": "window", "low_hu": 100, "high_hu": 100}},
        {"source_intensity": {"name": "percentile", "upper": 40}},
        {"source_intensity": {"name": "zscore"}},
        {"target_intensity": {"upper": 99}},
    ],
)
def test_settings_that_make_no_sense_are_refused(data):
    with pytest.raises(ConfigError, match=next(iter(data))):
        validate_settings(PreprocessSettings, data, where="test")


def test_settings_survive_json():
    settings = PreprocessSettings(spacing_mm=(1.0, 2.0, 3.0), n4=True, crop_margin_mm=None)
    again = validate_settings(PreprocessSettings, settings.model_dump(mode="json"), where="test")
    assert again == settings
