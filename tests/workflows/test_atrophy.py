"""Atrophy is learned as far and as fast as it goes, from a simulated cohort with known truth."""

import numpy as np
import pytest

from medtranslate.phantom.longitudinal import make_longitudinal_cohort
from medtranslate.pipeline import read_pipeline
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.steps import LABELS
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.train import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CHANGES = (
    "visits.covariates=[age, diagnosis, education_years]",
    "split.stratify_by=diagnosis",
    "split.test=4",
    "train.num_steps=120",
    "train.batch_size=2",
    "train.patch_size=[40, 48, 40]",
    "method.adversary.weight=0",
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory, request):
    """A model trained on twelve people of 4 mm voxels, and the pairs of those held out."""
    folder = tmp_path_factory.mktemp("atrophy")
    make_longitudinal_cohort(
        folder / "cohort", subjects=12, seed=3, visits=2, disease="atrophy", spacing_mm=4.0
    )
    pipelines = request.config.rootpath / "pipelines"
    pipeline = read_pipeline(pipelines / "progression_atrophy.yaml", CHANGES)
    train(pipeline, [folder / "cohort"], folder / "run")
    cohort = assemble_cohort(pipeline, [folder / "cohort"])
    pairs = [cohort.pairs[case.name] for case in cohort.part("test")]
    return load_forecaster(folder / "run"), pairs


def _change(forecaster, pair, **told):
    """True and simulated change of both volumes, and errors of simulation and copy."""
    prepared = prepare(
        forecaster.pipeline.preprocess, name=pair.name, source=pair.baseline.scan,
        target=pair.follow_up.scan, label=pair.baseline.labels, later=pair.follow_up.labels,
    )  # fmt: skip
    label, later, target = (
        image.as_tensor() for image in (prepared.label, prepared.later, prepared.target)
    )
    foresight = forecaster.look_ahead(prepared, pair.covariates | told)
    moved = foresight.region_at(label, pair.interval_years)
    image = foresight.at(pair.interval_years).image[0]
    changed = label != later
    errors = [
        float(((one - target)[changed] ** 2).mean()) for one in (image, prepared.source.as_tensor())
    ]
    fluid, wider = (prepared.further[f"{key}-ventricles"].as_tensor() for key in LABELS)
    widened = foresight.region_at(fluid, pair.interval_years)
    changes = [
        float(after.sum() / before.sum()) - 1
        for before, after in ((label, later), (label, moved), (fluid, wider), (fluid, widened))
    ]
    return (*changes, errors)


def test_held_out_brains_shrink_as_much_as_they_should(learned):
    forecaster, pairs = learned
    found = [_change(forecaster, pair) for pair in pairs]

    true, simulated = (np.mean([row[n] for row in found]) for n in (0, 1))

    assert true < -0.005
    assert simulated == pytest.approx(true, rel=0.2)
    for *_, (error, unmoved) in found:
        assert error < unmoved


def test_ventricles_widen_in_proportion(learned):
    forecaster, pairs = learned
    found = [_change(forecaster, pair) for pair in pairs]

    true, simulated = (np.mean([row[n] for row in found]) for n in (2, 3))

    assert true > 0.02
    assert simulated == pytest.approx(true, rel=0.65)  # seven people, voxels of 4 mm


def test_patients_shrink_faster_and_school_does_not_matter(learned):
    forecaster, pairs = learned
    drives, idle = [], []
    for pair in pairs:
        patient, control = (
            _change(forecaster, pair, diagnosis=value)[1] for value in ("patient", "control")
        )
        long, short = (_change(forecaster, pair, education_years=n)[1] for n in (16, 11))
        drives.append(patient / control)
        idle.append(long / short)

    assert np.mean(drives) > 1.5
    assert abs(np.log(np.mean(idle))) < 0.5 * np.log(np.mean(drives))
