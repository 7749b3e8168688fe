"""How fast prediction, training, preparation, scoring and the command line are, beside others.

    python tests/benchmarks/speed.py --out runs/bench.json
    python tests/benchmarks/speed.py --out runs/bench.json --quick

``--quick`` takes smaller volumes and fewer repetitions, to see that everything runs. Each part says
on standard error when it is done; what was measured is kept if a later part fails.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer
from monai.losses import SSIMLoss
from monai.networks.nets import BasicUNet
from monai.transforms import (
    Compose,
    CropForegroundd,
    LoadImaged,
    Orientationd,
    ScaleIntensityRangePercentilesd,
)
from side_by_side import alternate, describe_machine, fit_exponent
from speed_files import measure_scoring, measure_translation
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from medtranslate.data.augmentation import AugmentationSettings, build_augmentation
from medtranslate.data.patches import PatchSampler, TrainingCase
from medtranslate.inference.engines import Engines, make_probe
from medtranslate.inference.predict import predict
from medtranslate.inference.settings import InferenceSettings
from medtranslate.networks.correction import CorrectionNetwork
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.pipeline import build_generator, build_method, read_pipeline
from medtranslate.preprocess.cache import load_or_prepare
from medtranslate.workflows.device import make_fabric, send_batch
from medtranslate.workflows.product_rate import measure_product_rate
from medtranslate.workflows.training_cost import count_update

ROOT = Path(__file__).resolve().parents[2]
PATCH = (64, 80, 64)
PIPELINE = ROOT / "pipelines" / "t1w_to_t2w.yaml"
STEP = ["method.adversary.weight=0", "train.batch_size=1"]
_DIVISOR = 16
_CONVOLUTION_FLOP = 2 * 64 * 64 * 27 * 48**3
T1W = "sub-phantom01/anat/sub-phantom01_T1w.nii.gz"


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    arguments = _parse()
    if arguments.memory_of:
        print(_peak_memory(arguments.memory_of, arguments.edge))
        return
    quick = arguments.quick
    shape = (64, 80, 64) if quick else (182, 218, 182)
    repeats = 1 if quick else 3
    parts: dict[str, Callable[[], Any]] = {
        f"inference {name}": partial(_measure_inference, build, shape, repeats)
        for name, build in NETWORKS.items()
    }
    parts |= {
        "training": lambda: _measure_training(2 if quick else 12),
        "preparation": lambda: _measure_preparation(repeats),
        "scoring": lambda: measure_scoring(repeats),
        "file to file": partial(_measure_files, shape, quick, repeats),
        "file to file, twice the channels": partial(
            _measure_files, shape, quick, repeats, ["method.generator.channels=32"]
        ),
        "file to file, the brain found by its atlas": partial(
            _measure_files, shape, quick, repeats, ["preprocess.mask=brain"]
        ),
        "start": lambda: _measure_start(repeats),
        "growth": lambda: _measure_growth(quick),
        "peak_memory_mb": lambda: _measure_memory(64 if quick else 192),
    }
    if arguments.training_only:
        parts = {"training": parts["training"]}
    result: dict[str, Any] = {"machine": describe_machine(), "quick": quick}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    for name, measure in parts.items():
        result[name] = measure()
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"{time.perf_counter() - began:6.0f} s  {name}", file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/bench.json"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--training-only", action="store_true", help="on the GPU if there is one")
    parser.add_argument("--memory-of", choices=["torch", "openvino"], help=argparse.SUPPRESS)
    parser.add_argument("--edge", type=int, default=96, help=argparse.SUPPRESS)
    return parser.parse_args()


@dataclass(frozen=True, eq=False)
class _Subject:
    """A network, what computes it, its input channels, and the multiple its volumes are padded to.

    Our generator is handed a volume as it is, and pads it on the way.
    """

    network: nn.Module
    engines: Engines
    channels: int
    divisor: int


def _our_generator() -> _Subject:
    torch.manual_seed(0)
    generator = Generator(GeneratorSettings()).eval()
    nn.init.normal_(generator.head.weight, std=0.05)
    exported = CorrectionNetwork(generator).eval()
    engines = _engines(generator.correct, exported, generator.predict_with, channels=(2, 4))
    return _Subject(generator, engines, channels=2, divisor=1)


def _basic_unet() -> _Subject:
    torch.manual_seed(0)
    network = BasicUNet(spatial_dims=3, in_channels=1, out_channels=1).eval()
    engines = _engines(network, network, lambda run, x: run(x), channels=(1, 1))
    return _Subject(network, engines, channels=1, divisor=_DIVISOR)


NETWORKS = {"default generator": _our_generator, "BasicUNet 5.75 M": _basic_unet}


def _engines(
    convolve: Callable[[Tensor], Tensor],
    exported: nn.Module,
    predict_with: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor],
    *,
    channels: tuple[int, int],
) -> Engines:
    return Engines(
        convolve,
        lambda: exported,
        predict_with,
        num_channels=channels[0],
        num_exported_channels=channels[1],
        divisor=_DIVISOR,
        autocast=nullcontext,
        folder=Path(tempfile.gettempdir()) / "medtranslate-bench-graphs",
    )


def _convolution() -> Callable[[], Tensor]:
    """64 to 64 channels, 3x3x3, 48^3 voxels, in bf16, channels last."""
    layout = torch.channels_last_3d
    volume = torch.rand(1, 64, 48, 48, 48).bfloat16().contiguous(memory_format=layout)
    kernel = torch.rand(64, 64, 3, 3, 3).bfloat16().contiguous(memory_format=layout)
    return lambda: functional.conv3d(volume, kernel, padding=1)


def _measure_inference(
    build: Callable[[], _Subject], shape: tuple[int, int, int], repeats: int
) -> dict[str, Any]:
    subject = build()
    network, source = subject.network, torch.rand(subject.channels, *shape)
    settings = InferenceSettings(memory_gb=16, engine="openvino")
    engine = subject.engines.choose(shape, torch.device("cpu"), settings=settings)
    windows = SlidingWindowInferer((96, 96, 96), overlap=0.5, mode="gaussian", progress=False)

    def run(way: Callable[[Tensor], Tensor], divisor: int) -> Callable[[], Tensor]:
        return lambda: predict(way, source, settings=settings, divisor=divisor, bytes_per_voxel=1)

    ways = {
        "ours": run(engine.run, subject.divisor),
        "torch, whole volume": run(network, _DIVISOR),
        "MONAI SlidingWindowInferer": lambda: windows(source[None], network),
    }
    ways["ours"]()  # compiles the graph; in the minutes of the others a first run is lost
    with torch.inference_mode():
        times = alternate(ways, repeats=repeats, warm_up=False)
        # The processor's speed varies with the minute: the convolution in turn with what it bounds.
        bound = alternate({"ours": ways["ours"], "conv": _convolution()}, repeats=4 * repeats)
    padded = [-(-size // _DIVISOR) * _DIVISOR for size in shape]
    rate = _CONVOLUTION_FLOP / bound["conv"]["median"]
    a_voxel = _count_operations(network, subject.channels) / rate
    return {
        "shape": list(shape),
        "engine": engine.to_json() | {"Why": engine.why},
        "seconds": times,
        "convolution_tflops": rate / 1e12,
        "seconds_beside_convolution": bound["ours"],
        "seconds_at_the_convolution_rate": a_voxel * math.prod(shape),
        "padded": padded,
        "seconds_at_the_convolution_rate_padded": a_voxel * math.prod(padded),
    }


def _count_operations(network: nn.Module, channels: int) -> float:
    """Of a voxel."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.rand(1, channels, 96, 96, 96))
    return float(counter.get_total_flops()) / 96**3


def _measure_files(
    shape: tuple[int, int, int], quick: bool, repeats: int, changes: Sequence[str] = ()
) -> dict[str, Any]:
    return measure_translation(shape, scans=2 if quick else 8, repeats=repeats, changes=changes)


def _measure_training(num_steps: int) -> dict[str, Any]:
    """Seconds a step with its patch: ours, and torch as most write it."""
    ours, patches = _learner("auto"), _sampler()
    plain, mean = _plain_step(), _sampler()
    seconds: dict[str, list[float]] = {"ours": [], "plain torch": []}
    inside: list[float] = []
    for name, step, sampler in (("plain torch", plain, mean), ("ours", ours, patches)) * 2:
        batches = sampler.batches(0)
        for number in range(num_steps + 1):
            began = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - began
            step(batch)
            if number:
                seconds[name].append(time.perf_counter() - began)
                if name == "ours":
                    inside.append(1 - waited / seconds[name][-1])
        batches.close()
    return {
        "seconds": {name: _summary(values) for name, values in seconds.items()},
        "share_of_time_in_the_step": sum(inside) / len(inside),
        "share_of_product_rate": _share_of_product_rate(_summary(seconds["ours"])["median"]),
    }


def _share_of_product_rate(seconds: float) -> float:
    """Operations of our step a second, over those of matrix products on this device."""
    pipeline = read_pipeline(PIPELINE, [*STEP, f"train.patch_size={list(PATCH)}"])
    fabric = make_fabric(pipeline)
    return count_update(pipeline, fabric) / seconds / measure_product_rate(fabric)


def _summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": ordered[len(ordered) // 2], "min": ordered[0], "max": ordered[-1]}


def _sampler() -> PatchSampler:
    image = make_probe(1, 16, (10, 11, 10))[0]
    case = TrainingCase(image, image.clone(), 1 - image, torch.ones_like(image))
    return PatchSampler(
        [case],
        patch_size=PATCH,
        batch_size=1,
        seed=0,
        augmentation=partial(build_augmentation, AugmentationSettings()),
    )


def _learner(precision: str) -> Callable[[dict[str, Tensor]], object]:
    pipeline = read_pipeline(PIPELINE, [*STEP, f"train.precision={precision}"])
    torch.manual_seed(0)
    fabric = make_fabric(pipeline)
    method = build_method(pipeline, build_generator(pipeline), fabric)
    return lambda batch: method.update(send_batch(fabric, batch), progress=0.1)


def _plain_step() -> Callable[[dict[str, Tensor]], object]:
    """float32, L1 and MONAI's SSIM of slices, AdamW as it comes."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Generator(GeneratorSettings()).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4)
    ssim = SSIMLoss(spatial_dims=2, data_range=1.0, win_size=11)

    def step(batch: dict[str, Tensor]) -> float:
        batch = {key: tensor.to(device) for key, tensor in batch.items()}
        prediction = network(batch["source"])
        slices = [x[0].permute(3, 0, 1, 2)[::4] for x in (prediction, batch["target"])]
        loss = functional.l1_loss(prediction, batch["target"]) + 0.2 * ssim(*slices)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def _measure_preparation(repeats: int) -> dict[str, Any]:
    settings = read_pipeline(ROOT / "pipelines" / "demo.yaml").preprocess
    source = ROOT / "sample_data" / T1W
    monai_chain = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Orientationd("image", "RAS", labels=None),
            CropForegroundd("image", "image"),
            ScaleIntensityRangePercentilesd("image", 0, 99.5, 0, 1),
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "cold": lambda: load_or_prepare(settings, name="one", source=source),
            "warm": lambda: load_or_prepare(
                settings, name="one", source=source, cache=Path(folder)
            ),
            "MONAI transforms alone": lambda: monai_chain({"image": source}),
        }
        return {"seconds": alternate(ways, repeats=repeats)}


def _measure_start(repeats: int) -> dict[str, Any]:
    def run(*words: str) -> Callable[[], object]:
        command = [sys.executable, *words]
        return lambda: subprocess.run(command, check=True, capture_output=True, cwd=ROOT)

    ways = {"--help": run("-m", "medtranslate", "--help"), "python": run("-c", "pass")}
    return {"seconds": alternate(ways, repeats=repeats)}


def _measure_growth(quick: bool) -> dict[str, Any]:
    """Prediction by voxels, and preparation by scans: ten simulated people, over and over."""
    subject = _our_generator()
    edges = [32, 48, 64] if quick else [64, 96, 128, 192, 256]
    settings = InferenceSettings(engine="openvino", memory_gb=16)
    engine = subject.engines.choose((64, 64, 64), torch.device("cpu"), settings=settings)
    by_voxels: dict[int, float] = {}
    for edge in edges:
        source = torch.rand(subject.channels, edge, edge, edge)

        def run(source: Tensor = source) -> Tensor:
            return predict(engine.run, source, settings=settings, bytes_per_voxel=1)

        by_voxels[edge**3] = alternate({"ours": run}, repeats=3)["ours"]["median"]
    chain = read_pipeline(ROOT / "pipelines" / "demo.yaml").preprocess
    people = sorted((ROOT / "sample_data").glob("sub-*/anat/*_T1w.nii.gz"))
    by_subjects: dict[int, float] = {}
    for number in [1, 2] if quick else [1, 4, 16, 64]:
        began = time.perf_counter()
        for source_path in islice(cycle(people), number):
            load_or_prepare(chain, name="one", source=source_path)
        by_subjects[number] = time.perf_counter() - began
    return {
        "prediction by voxels": _growth(by_voxels),
        "preparation by scans": _growth(by_subjects),
    }


def _growth(seconds: dict[int, float]) -> dict[str, Any]:
    sizes = [float(size) for size in seconds]
    return {"seconds": seconds, "exponent": fit_exponent(sizes, list(seconds.values()))}


def _measure_memory(edge: int) -> dict[str, Any]:
    """Of a process of its own that predicts one cube, and of one that only builds the network."""
    here = [sys.executable, __file__, "--edge", str(edge), "--memory-of"]
    peaks = {
        engine: float(
            subprocess.run([*here, engine], check=True, capture_output=True, text=True).stdout
        )
        for engine in ("torch", "openvino")
    }
    return {"edge": edge, **peaks}


def _peak_memory(name: str, edge: int) -> float:
    """MB that predicting a cube adds to a process that predicted a small one."""
    subject = _our_generator()
    settings = InferenceSettings(engine=name, memory_gb=64)  # type: ignore[arg-type]  # checked by argparse
    engine = subject.engines.choose((edge,) * 3, torch.device("cpu"), settings=settings)

    def run(size: int) -> float:
        source = torch.rand(subject.channels, size, size, size)
        predict(engine.run, source, settings=settings, bytes_per_voxel=1)
        return _highest_mb()

    small = run(32)
    return run(edge) - small


def _highest_mb() -> float:
    """Most memory this program has held; ``ru_maxrss`` counts that of its parent at the fork."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
