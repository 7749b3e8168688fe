"""What an analysis gathers of a case is all it keeps of it, and comes back as it was."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from medtranslate.data.familiarity import Departure
from medtranslate.geometry import Geometry
from medtranslate.metrics.calibration import LEVELS, Calibration
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import CT_SCALE, IntensityScale, Volume
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.analyses.seeds import SEED_KEY, SeedSpread
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.kept_evidence import EvidenceKeeper
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(scale="sidecar", interval_resamples=100)
SHAPE = (24, 22, 9)
CALIBRATION = Calibration(1e-9, {one: float(norm.ppf(0.5 + one / 2)) for one in LEVELS}, 3, 100)


def choose():
    """Every analysis that needs nothing but the case."""
    known = {"c0": {"sex": "F"}, "c1": {"sex": "M"}}
    chosen = choose_analyses(
        protocols=("monai",), thorough=True, calibration=CALIBRATION, participants=known
    )
    return [*chosen, SeedSpread()]


def make_case(number, *, is_ct):
    rng = np.random.default_rng(number)
    body = np.zeros(SHAPE, dtype=bool)
    body[3:21, 3:19, 1:8] = True
    scale = CT_SCALE if is_ct else IntensityScale(0.0, 700.0)
    real = np.where(body, 0.4 + 0.1 * rng.random(SHAPE), 0.0)
    geometry = Geometry(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))
    unit, modality = ("HU", "CT") if is_ct else ("arbitrary", "T2w")
    reference = Volume(scale.restore(real)[None], geometry, modality, unit)
    made = [real + (0.01 + 0.02 * number) * rng.standard_normal(SHAPE) * body for _ in range(2)]
    volumes = [replace(reference, array=scale.restore(one)[None]) for one in made]
    return ScoredCase(
        f"c{number}",
        f"c{number}",
        reference,
        {"model": (volumes[0], scale), "lookup map": (volumes[1], scale)},
        body,
        source=reference,
        context={SEED_KEY: str(number)},
        labels={"mask+label-lesion": body & (np.arange(SHAPE[0]) < 10)[:, None, None]},
        labels_left_out=(f"another of c{number} lies elsewhere",),
        windows=np.indices(SHAPE).sum(axis=0) % 2 == 0,
        departures=(Departure("voxel size (mm)", 2.0, 0.9, 1.1, 4.5, 5),),
        sd=(0.02 * scale.factor * np.ones(SHAPE)).astype(np.float32),
    )


@pytest.fixture(params=[False, True], ids=["mr", "ct"])
def cases(request):
    return [make_case(number, is_ct=request.param) for number in range(2)]


def test_what_is_seen_of_a_case_changes_nothing_but_what_is_gathered(cases):
    case = cases[0]
    yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
    brought = {m: yardstick.bring(v.voxels, scale=s) for m, (v, s) in case.predictions.items()}
    for blank in choose():
        before, part = deepcopy(blank.seen), blank.begin()
        part.add(case, yardstick, brought)

        rest = {name: one for name, one in vars(part).items() if name not in blank.gathered}
        assert all(one is vars(blank)[name] for name, one in rest.items()), blank.name
        assert repr(blank.seen) == repr(before), blank.name


def test_kept_evidence_says_what_fresh_evidence_says(cases, tmp_path):
    kinds = tuple(kind for one in choose() for kind in one.kinds)
    keeper = EvidenceKeeper(tmp_path / "kept", {case.name: "key" for case in cases}, kinds)
    rule = {"protocol": PROTOCOL, "all_or_none": False}

    evaluate_cases(cases, out=tmp_path / "fresh", analyses=choose(), **rule)
    evaluate_cases(cases, out=keeper.out, analyses=choose(), keep=keeper.keep, **rule)
    found = [keeper.find(case.name) for case in cases]
    evaluate_cases(found, out=tmp_path / "found", analyses=choose(), **rule)

    files = {path.name: path.read_bytes() for path in (tmp_path / "fresh").iterdir()}
    assert {"regions.csv", "sharpness.csv", "coverage.csv", "alignment.csv"} < set(files)
    for folder in (keeper.out, tmp_path / "found"):
        again = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        assert {name for name in files if again[name] != files[name]} == set()


def test_the_evidence_of_another_case_is_not_taken(cases, tmp_path):
    keeper = EvidenceKeeper(tmp_path, {case.name: "key" for case in cases}, ())
    evaluate_cases(cases[:1], protocol=PROTOCOL, out=tmp_path, keep=keeper.keep)

    assert keeper.find("c0").case == "c0"
    assert keeper.find("c1") is None
    assert replace(keeper, keys={"c0": "another"}).find("c0") is None
    assert replace(keeper, keys={"c0": None}).find("c0") is None
