"""A large CT is predicted within the memory that was granted."""

import subprocess
import sys

import pytest

PREDICT = """
import resource
from contextlib import nullcontext
from pathlib import Path
import sys
import torch
from medtranslate.inference.engines import Engines
from medtranslate.inference.predict import plan_inference, predict
from medtranslate.inference.settings import InferenceSettings
from medtranslate.networks.correction import CorrectionNetwork
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.workflows.prediction_plan import estimate_memory

engine, shape = sys.argv[1], (512, 512, 600)
torch.manual_seed(0)
generator = Generator(GeneratorSettings(channels=8, blocks=(1, 1, 1))).eval()
divisor = generator.settings.divisor
engines = Engines(
    generator.correct, lambda: CorrectionNetwork(generator).eval(), generator.predict_with,
    num_channels=2,
    num_exported_channels=4, divisor=divisor, autocast=nullcontext, folder=Path(sys.argv[2]),
)
settings = InferenceSettings(engine=engine, memory_gb=4.0, overlap=0.1)
size = estimate_memory(generator.settings)
options = dict(settings=settings, divisor=divisor, bytes_per_voxel=size)
run = engines.choose(shape, torch.device("cpu"), settings=settings).run
predict(run, torch.rand(2, 32, 32, 32), **options)
source = torch.rand(2, *shape)
statm = Path("/proc/self/statm").read_text().split()
before = int(statm[1]) * resource.getpagesize()
assert plan_inference(shape, **options).window is not None
predict(run, source, **options)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_ct_of_512_by_512_by_600_voxels_stays_under_four_gigabytes(engine, tmp_path):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")

    done = subprocess.run(
        [sys.executable, "-c", PREDICT, engine, str(tmp_path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    added = int(done.stdout)
    print(f"{engine}: {added / 1e9:.2f} GB")
    assert 1e9 < added < 4e9
