"""A simulated future starts from a person's own past: its velocity, or the speed of growth."""

import csv
import json

import pytest
import torch

from medtranslate.data.durations import Duration
from medtranslate.errors import ConfigError
from medtranslate.networks.progression import ProgressionGeneratorSettings, ProgressionNetwork
from medtranslate.workflows.foresight import look_ahead
from medtranslate.workflows.history import PastScan, SeenBefore, follow_past, parse_history
from medtranslate.workflows.simulate import SIMULATION_FILE, simulate

DRIVEN = {"dose": "1", "shoe": "40"}


def _files(visited, session):
    stem = visited / "sub-09" / f"ses-{session}" / "anat" / f"sub-09_ses-{session}"
    return stem.with_name(f"{stem.name}_T1w.nii.gz"), stem.with_name(
        f"{stem.name}_label-tumor_mask.nii.gz"
    )


def _simulate(run, visited, out, years, history=()):
    scan, mask = _files(visited, 2)
    simulate(
        run, scan, [Duration("later", years)], out, region=mask, covariates=DRIVEN, samples=2,
        history=history,
    )  # fmt: skip
    rows = list(csv.DictReader((out / "trajectory.csv").read_text().splitlines()))
    return float(rows[-1]["volume_ml"]), json.loads((out / SIMULATION_FILE).read_text())


def test_the_future_starts_from_the_speed_seen_in_the_past(foreseeing, visited, tmp_path):
    past = PastScan(_files(visited, 1)[0], 0.6)  # faster than the model was taught

    volume, told = _simulate(foreseeing, visited, tmp_path / "a", 1.0, [past])
    speed = told["ObservedSpeed"]
    expected, untold = _simulate(foreseeing, visited, tmp_path / "b", speed)

    assert told["History"][0]["YearsBefore"] == 0.6
    assert told["Observed"] == "speed"
    assert "ObservedSpeed" not in untold
    assert speed > 1.2
    assert volume == pytest.approx(expected, rel=1e-3)


def test_the_same_change_in_half_the_time_is_twice_as_fast(foreseeing, visited, tmp_path):
    _, told = _simulate(
        foreseeing, visited, tmp_path / "a", 1.0, [PastScan(_files(visited, 1)[0], 1.0)]
    )
    _, faster = _simulate(
        foreseeing, visited, tmp_path / "b", 1.0, [PastScan(_files(visited, 1)[0], 0.5)]
    )

    assert told["ObservedSpeed"] < 2.1
    assert faster["ObservedSpeed"] == pytest.approx(2 * told["ObservedSpeed"])


def test_a_model_of_motion_starts_from_the_velocity_that_was_seen():
    grid = torch.stack(torch.meshgrid(*[torch.arange(18.0)] * 3, indexing="ij"))
    distance = (grid - 8).square().sum(0).sqrt()
    before, today, then = (10 * torch.sigmoid(2 * (r - distance))[None] for r in (4.0, 5.0, 6.0))
    everywhere = torch.ones_like(today)
    settings = ProgressionGeneratorSettings(channels=8, levels=2)
    foresight = look_ahead(
        ProgressionNetwork(settings, num_conditions=0).eval(),
        source=today,
        mask=everywhere,
        condition=torch.zeros(0),
        nearness=None,
    )

    followed, speed = follow_past(foresight, [SeenBefore(today, before, everywhere, -1.0)])

    unmoved, moved = (
        float((one.at(1.0).image[0] - then).square().sum()) for one in (foresight, followed)
    )
    assert speed is None
    assert moved < 0.8 * unmoved


@pytest.mark.parametrize(
    ("text", "message"),
    [("old.nii.gz", "expected FILE=TIME"), ("a=0d", "above 0"), ("a=soon", "is not a time")],
)
def test_a_history_that_cannot_be_read_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_history([text])


def test_several_scans_of_the_past_are_read():
    found = parse_history(["one=a.nii.gz=6m", "b.nii.gz=2y"])

    assert [(past.path.name, past.years_before) for past in found] == [
        ("one=a.nii.gz", 0.5), ("b.nii.gz", 2.0),
    ]  # fmt: skip
