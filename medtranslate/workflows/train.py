"""Train: datasets and a pipeline in, a run folder with a model out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from medtranslate.checkpoint import save_model
from medtranslate.data.cases import Case
from medtranslate.data.familiarity import RANGE_KEY, TrainingRange, measure_traits
from medtranslate.data.patches import Share
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.geometry import Geometry
from medtranslate.inference.predict import predict
from medtranslate.io import read_header
from medtranslate.io.atomic import write_json, write_text
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.methods.base import AbstractMethod
from medtranslate.methods.reaction_diffusion import ReactionDiffusionSettings
from medtranslate.networks.inputs import make_inputs
from medtranslate.pipeline import Pipeline, build_method, read_pipeline
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.provenance import describe_run
from medtranslate.settings import format_yaml
from medtranslate.volume import IntensityScale
from medtranslate.workflows.calibration import UNCERTAINTY_KEY, calibrate_weights
from medtranslate.workflows.cohort import Cohort, assemble_cohort
from medtranslate.workflows.compilation import choose_compilation
from medtranslate.workflows.device import (
    ALONE,
    agree_on_most,
    check_precision,
    choose_precision,
    make_fabric,
    send_batch,
    steps_between_reads,
)
from medtranslate.workflows.levelled import level_image
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.model_card import (
    DATA_KEY,
    STOPPED_KEY,
    describe_data,
    describe_model,
)
from medtranslate.workflows.prediction_plan import estimate_memory
from medtranslate.workflows.preprocess import (
    RECORD_FILE,
    describe_case,
    describe_preprocessing,
    prepare_cases,
)
from medtranslate.workflows.processes import Processes, find_processes
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.training_cost import need_training_memory, telling_shortage
from medtranslate.workflows.training_growth import fit_growth
from medtranslate.workflows.training_loop import (
    CHECKPOINTS,
    Divergence,
    Learned,
    TrainingLoop,
    mean_scores,
)
from medtranslate.workflows.training_progression import start_progression
from medtranslate.workflows.training_scores import draw_panels, score_on_grid
from medtranslate.workflows.training_start import (
    fit_histogram,
    make_sampler,
    need_target,
    show_people,
    start_generator,
)
from medtranslate.workflows.training_task import TrainingTask

if TYPE_CHECKING:
    from lightning_fabric import Fabric

HISTOGRAM_KEY = "histogram_match"
"""Key of the model's configuration that holds the histogram baseline."""

INPUTS_KEY = "inputs"
"""Key of the model's configuration that holds the fingerprints of the sources seen in training."""


def train(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a model and leave a run folder.

    Args:
        pipeline: The whole job.
        datasets: Dataset folders or tables.
        out: Run folder; must not hold another run unless ``resume``.
        resume: Go on from the newest checkpoint in ``out``.
        cache: Folder of prepared scans, shared between runs; ``out/cache`` if None.
        progress: Told how far things are.

    Returns:
        The model folder.

    Raises:
        ConfigError: If ``out`` holds a run and ``resume`` is not set, one of another pipeline, or
            one that is being written.
        DatasetError: If scans cannot be paired or people would leak between the splits.
        CheckpointError: If too many updates had no finite loss or gradient; the best weights until
            then are the model all the same, which says so.
        MemoryShortageError: If an update would not fit the memory, or the memory ran out.
        StopRequested: If somebody asked to stop; ``resume`` goes on.
    """
    processes = find_processes()
    processes.check(pipeline)
    check_precision(pipeline)
    progress = progress or NoProgress()
    if not processes.is_first:
        return _follow(pipeline, datasets, out, resume=resume, cache=cache, processes=processes)
    with lock_folder(out):
        return train_in_locked(
            pipeline,
            datasets,
            out,
            resume=resume,
            cache=cache,
            progress=progress,
            processes=processes,
        )


def train_in_locked(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool,
    cache: Path | None,
    progress: Progress,
    processes: Processes = ALONE,
) -> Path:
    """:func:`train` for whoever has locked ``out`` already."""
    key, before = load_signing_key(), take_snapshot(out)
    cohort = assemble_cohort(pipeline, datasets)
    cache = cache or out / "cache"
    fabric = make_fabric(pipeline, processes)
    computing = {} if pipeline.train is None else _tell_computing(pipeline, fabric, progress)
    if pipeline.train is not None:
        need_training_memory(pipeline, fabric, processes)
    open_run(pipeline, out, resume=resume)
    write_json(out / "split.json", cohort.split.to_json())
    people = [*cohort.part("train"), *cohort.part("val")]
    prepared = _prepare(pipeline, people, cache, progress)
    fabric.barrier()
    records = {case.name: describe_case(prepared[case.name]) for case in people}
    write_json(out / RECORD_FILE, describe_preprocessing(pipeline.preprocess, records))
    divergence = None
    if isinstance(pipeline.method, ReactionDiffusionSettings):
        weights, told = fit_growth(pipeline.method, cohort, prepared, progress=progress)
    else:
        with telling_shortage(pipeline):
            weights, told, divergence = _learn(
                pipeline, cohort, prepared, out, fabric, resume=resume, progress=progress
            )
    scale = _typical_scale(cohort, prepared)
    seen = _training_range(cohort, prepared)
    config = {
        "pipeline": pipeline.model_dump(mode="json"),
        "split": cohort.split.to_json(),
        INPUTS_KEY: _hash_inputs(cohort, prepared),
        RANGE_KEY: seen.to_json(),
        **told,
    }
    data = describe_data(cohort)
    stopped = None if divergence is None else divergence.to_json()
    record = {"datasets": [p.name for p in datasets], DATA_KEY: data, **computing}
    provenance = describe_run("train", **record, **({STOPPED_KEY: stopped} if stopped else {}))
    sha256 = save_model(
        out / "model",
        weights=weights,
        config=config,
        scale=scale,
        provenance=provenance,
        card=describe_model(pipeline, cohort.split, data=data, seen=seen, stopped=stopped),
    )
    made = describe_made(
        "medtranslate train", model_sha256=sha256, pipeline=pipeline.name, cases=people
    )
    sign_outputs(out, since=before, record=made, key=key)
    if divergence is not None:
        raise CheckpointError(
            f"{divergence.told}. The best weights until then, of step {divergence.best_step}, are"
            f" the model in {out / 'model'}, whose card says so"
        )
    return out / "model"


def _tell_computing(pipeline: Pipeline, fabric: Fabric, progress: Progress) -> dict[str, str]:
    """Tell where training computes, in which number format and why; the first two as plain data."""
    precision = choose_precision(pipeline)
    progress.tell(f"computes on {fabric.device.type} in {precision}")
    return {"device": fabric.device.type, "precision": precision.name}


def _learn(
    pipeline: Pipeline,
    cohort: Cohort,
    prepared: Mapping[str, PreparedArrays],
    out: Path,
    fabric: Fabric,
    *,
    resume: bool,
    progress: Progress,
) -> tuple[dict[str, torch.Tensor], dict[str, Any], Divergence | None]:
    """Train a network: its weights, what the model folder records, and why it ended early."""
    start = _start_translation if pipeline.visits is None else start_progression
    task = start(pipeline, cohort, prepared, fabric, folder=out)
    learned = _run_loop(pipeline, task, out, fabric, resume=resume, progress=progress)
    weights = task.finish(learned.weights)
    return weights, task.describe(weights), learned.divergence


def _follow(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool,
    cache: Path | None,
    processes: Processes,
) -> Path:
    """Train beside the first process, which writes ``out``; what this one writes is thrown away."""
    fabric = make_fabric(pipeline, processes)
    cohort = assemble_cohort(pipeline, datasets)
    people = [*cohort.part("train"), *cohort.part("val")]
    fabric.barrier()  # The first process has prepared the scans.
    prepared = _prepare(pipeline, people, cache or out / "cache", NoProgress())
    with telling_shortage(pipeline), tempfile.TemporaryDirectory() as scratch:
        task = _start_translation(pipeline, cohort, prepared, fabric, folder=out)
        if resume and (out / CHECKPOINTS).is_dir():
            shutil.copytree(out / CHECKPOINTS, Path(scratch) / CHECKPOINTS)
        _run_loop(pipeline, task, Path(scratch), fabric, resume=resume, progress=NoProgress())
    return out / "model"


def _prepare(
    pipeline: Pipeline, people: Sequence[Case], cache: Path, progress: Progress
) -> dict[str, PreparedArrays]:
    made = prepare_cases(pipeline, people, cache=cache, progress=progress)
    return {case.name: arrays for case, arrays in made}


def _run_loop(
    pipeline: Pipeline,
    task: TrainingTask,
    folder: Path,
    fabric: Fabric,
    *,
    resume: bool,
    progress: Progress,
) -> Learned:
    """Train to the end; the best averaged weights."""
    fabric.barrier()  # Every process has its checkpoints before the first writes new ones.
    loop = TrainingLoop(
        task.method,
        task.sampler,
        settings=pipeline.training,
        validate=task.validate,
        folder=folder,
        progress=progress,
        agree=partial(agree_on_most, fabric),
        send=partial(send_batch, fabric),
        read_every=steps_between_reads(fabric),
    )
    return loop.run(resume=resume)


def _start_translation(
    pipeline: Pipeline,
    cohort: Cohort,
    prepared: Mapping[str, PreparedArrays],
    fabric: Fabric,
    *,
    folder: Path,
) -> TrainingTask:
    """Learn to turn one contrast into another; images are spilled into ``folder``."""
    shown = show_people(cohort, prepared, folder)
    generator = start_generator(pipeline, prepared, shown)

    def describe(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        validators = {case.name: prepared[case.name] for case in cohort.part("val")}
        calibration = calibrate_weights(pipeline, weights, validators, fabric)
        return {
            HISTOGRAM_KEY: fit_histogram(cohort, prepared).to_json(),
            UNCERTAINTY_KEY: None if calibration is None else calibration.to_json(),
        }

    share = Share(fabric.global_rank, fabric.world_size)
    # Before the method takes the generator to its device: the scans are on the CPU.
    sampler = make_sampler(
        pipeline, prepared, shown, generator, share=share, device=fabric.device, folder=folder
    )
    method = build_method(pipeline, generator, fabric)
    mode = choose_compilation(pipeline, fabric)
    if mode is not None:
        method.compile(mode)
    validation = _Validation(pipeline, fabric, cohort, prepared)
    return TrainingTask(method, sampler, lambda _: validation(method), describe)


def open_run(pipeline: Pipeline, out: Path, *, resume: bool) -> None:
    """Write ``pipeline.yaml`` into a fresh run folder, or check that a resumed one fits.

    Raises:
        ConfigError: If the folder holds a run that was not to be resumed, or of another pipeline.
    """
    recorded = out / "pipeline.yaml"
    if recorded.exists():
        if not resume:
            raise ConfigError(
                f"{out}: holds a run already; choose another --out, or go on with --resume"
            )
        if _describe_job(read_pipeline(recorded)) != _describe_job(pipeline):
            raise ConfigError(
                f"{out}: was started with another pipeline (see {recorded}); resume with that one,"
                " or choose another --out"
            )
        pipeline = read_pipeline(recorded)
    # Also where it is there already: what a call writes itself, its manifest covers.
    write_text(recorded, format_yaml(pipeline.model_dump(mode="json")))


def _describe_job(pipeline: Pipeline) -> dict[str, Any]:
    """All that may not change when a run goes on: not how weights are shared out and saved."""
    return pipeline.model_dump(exclude={"train": {"sharding", "checkpoint_every"}})


def _typical_scale(cohort: Cohort, prepared: Mapping[str, PreparedArrays]) -> IntensityScale:
    """Median of the training targets' scales: what predictions are stored in."""
    scales = [prepared[case.name].target_scale for case in cohort.part("train")]
    known = [scale for scale in scales if scale is not None]
    return IntensityScale(
        float(np.median([scale.offset for scale in known])),
        float(np.median([scale.factor for scale in known])),
        known[0].unit,
    )


def _training_range(cohort: Cohort, prepared: Mapping[str, PreparedArrays]) -> TrainingRange:
    """What the sources of the training people are like; each file's own grid is in its header."""
    scans = []
    for case in cohort.part("train"):
        arrays = prepared[case.name]
        i, j, k = arrays.source.shape[1:]
        scans.append(
            measure_traits(
                np.sort(arrays.source.numpy()[arrays.mask.numpy() > 0]),
                native=read_header(case.source).geometry,
                grid=Geometry((i, j, k), arrays.affine),
            )
        )
    return TrainingRange.of(scans)


def _hash_inputs(cohort: Cohort, prepared: Mapping[str, PreparedArrays]) -> dict[str, str]:
    """Fingerprint of each source seen in training to its person, to refuse it in validation."""
    cases = [*cohort.part("train"), *cohort.part("val")]
    return {prepared[case.name].fingerprint["inputs"]["source"]: case.subject for case in cases}


class _Validation:
    """Scores the averaged weights on the validation people, on the model grid."""

    def __init__(
        self,
        pipeline: Pipeline,
        fabric: Fabric,
        cohort: Cohort,
        prepared: Mapping[str, PreparedArrays],
    ) -> None:
        self._pipeline = pipeline
        self._fabric = fabric
        self._people = {case.name: prepared[case.name] for case in cohort.part("val")}

    def __call__(self, method: AbstractMethod) -> tuple[dict[str, float], np.ndarray | None]:
        """Mean scores over people, and a sample picture of the first."""
        scores, picture = [], None
        for name, arrays in self._people.items():
            target = need_target(arrays, name)
            prediction = self._predict(method, arrays)
            scores.append(score_on_grid(arrays, target, prediction))
            if picture is None:
                picture = draw_panels(arrays.source, prediction, target)
        return mean_scores(scores), picture

    def _predict(self, method: AbstractMethod, arrays: PreparedArrays) -> torch.Tensor:
        inputs = self._fabric.to_device(make_inputs(arrays.source, arrays.mask))
        with self._fabric.autocast():
            prediction = predict(
                method.translate,
                inputs,
                settings=self._pipeline.inference,
                divisor=self._pipeline.method.generator.divisor,
                bytes_per_voxel=estimate_memory(self._pipeline.generator_settings),
            )
        start = method.generator.begin(inputs[None])[0]
        return level_image(self._pipeline, prediction, start=start, mask=arrays.mask)
