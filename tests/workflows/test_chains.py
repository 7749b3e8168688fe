"""Scans translated side by side: as many as cores and memory allow, with the same bits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from medtranslate.inference.processor import Processor
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io import read_volume
from medtranslate.workflows.chains import (
    BYTES_BESIDE_THE_NETWORK,
    Chains,
    plan_chains,
    work_in_chains,
)
from medtranslate.workflows.prediction import estimate_memory, load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translate import translate


@pytest.fixture
def translator(trained):
    return load_translator(trained)


@pytest.fixture
def cases(translator, cohort):
    return collect_cases(translator, [cohort])


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


@pytest.fixture
def use_cores():
    """Function that has torch compute with so many cores, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def with_memory_for(translator, cases, count):
    """A translator that may take as much memory as so many of the largest scans need."""
    voxels = max(np.prod(read_volume(case.source).voxels.shape) for case in cases)
    a_voxel = estimate_memory(translator.pipeline.generator_settings) + BYTES_BESIDE_THE_NETWORK
    memory = float(count * voxels * a_voxel / 1e9)
    return replace(translator, choices=InferenceChoices(memory_gb=memory))


@pytest.mark.parametrize(("fitting", "expected"), [(0.9, 1), (1.1, 1), (3.1, 3), (50, 5)])
def test_as_many_scans_as_fit_the_memory(fitting, expected, translator, cases, eight_cores):
    assert len(cases) == 5
    planned = plan_chains(with_memory_for(translator, cases, fitting), cases)
    assert planned == Chains(expected, in_turn=False)


def test_where_one_network_fits_the_next_scan_is_prepared_beside_it(
    translator, cases, eight_cores, monkeypatch
):
    """What a scan takes beside the network is more than a third of all of it."""
    limited = with_memory_for(translator, cases, 1.7)

    assert plan_chains(limited, cases) == Chains(2, in_turn=True)
    assert plan_chains(limited, cases[:1]) == Chains(1, in_turn=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert plan_chains(limited, cases) == Chains(1, in_turn=False)


def test_a_grid_of_another_spacing_counts_by_its_own_voxels(translator, cases, eight_cores):
    limited = with_memory_for(translator, cases, 4.1)
    preprocess = translator.pipeline.preprocess
    native = read_volume(cases[0].source).geometry.spacing
    coarser = preprocess.model_copy(update={"spacing_mm": tuple(2 * size for size in native)})
    pipeline = translator.pipeline.model_copy(update={"preprocess": coarser})

    assert plan_chains(limited, cases).count == 4
    assert plan_chains(replace(limited, pipeline=pipeline), cases).count == 5


def test_no_more_scans_than_cores_and_two_on_a_gpu(translator, cases, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    on_gpu = replace(translator, processor=Processor(torch.device("cuda"), bf16=True))

    assert plan_chains(translator, cases) == Chains(2, in_turn=False)
    assert plan_chains(translator, []).count == 1
    assert plan_chains(on_gpu, cases) == Chains(2, in_turn=True)


@pytest.mark.parametrize(("in_turn", "share"), [(False, 2), (True, 4)])
def test_each_chain_has_a_translator_and_its_share_of_the_cores(
    in_turn, share, translator, use_cores
):
    meet = threading.Barrier(2, timeout=30)
    use_cores(4)

    def work(own, job):
        meet.wait()
        return job, own, torch.get_num_threads()

    done = list(work_in_chains(work, translator, range(6), chains=Chains(2, in_turn)))

    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 4
    assert [job for job, _, _ in done] == list(range(6))
    assert {(own.num_threads, threads) for _, own, threads in done} == {(share, share)}
    assert len({id(own.engines) for _, own, _ in done}) == 2
    assert all(own.generator is translator.generator for _, own, _ in done)


def test_who_stops_asking_lets_go_of_the_scans_to_come(translator):
    begun = []

    def work(_, job):
        begun.append(job)
        return job

    with closing(work_in_chains(work, translator, range(1000), chains=Chains(1, False))) as results:
        assert next(results) == 0

    assert len(begun) < 1000


def test_side_by_side_scans_get_the_bits_they_get_alone(trained, cases, tmp_path, use_cores):
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    inference = InferenceChoices(engine="openvino")
    use_cores(3)

    sources = [case.source for case in cases]
    together = translate(trained, sources, tmp_path / "together", inference=inference)

    assert not together.failed
    for scan in together.scans:
        alone = tmp_path / f"{scan.case}.nii.gz"
        translate(trained, [scan.source], alone, inference=inference)
        np.testing.assert_array_equal(read_volume(scan.output).voxels, read_volume(alone).voxels)
