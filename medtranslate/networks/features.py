"""Distance of two scans in the features of a network that others trained on medical images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import ResNet, resnet10
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from medtranslate.errors import CheckpointError

_HOW_TO_GET = """
The network is the 3-D ResNet-10 of MedicalNet: Chen, Ma and Zheng, 'Med3D: Transfer Learning for 3D
Medical Image Analysis', arXiv 1904.00625, 2019; repository Tencent/MedicalNet, MIT licence. Fetch
resnet_10_23dataset.pth from there and convert it once:

  import torch
  from safetensors.torch import save_file
  weights = torch.load("resnet_10_23dataset.pth", weights_only=True, map_location="cpu")
  weights = {k.removeprefix("module."): v.contiguous() for k, v in weights["state_dict"].items()}
  save_file(weights, "medicalnet_resnet10.safetensors")

Then give --perceptual medicalnet_resnet10.safetensors"""
_COUNTERS = "num_batches_tracked"
_MIN_SIZE = 32
_EPSILON = 1e-10


def load_feature_network(path: Path) -> ResNet:
    """The ResNet-10 with weights that the user fetched, ready for :func:`feature_distance`.

    Args:
        path: Safetensors file with exactly the tensors of the network, by MedicalNet's names.

    Raises:
        CheckpointError: If the file is absent, no safetensors, or of another network; says what to
            fetch, whose it is, and how to convert it.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file of perceptual weights.{_HOW_TO_GET}")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: is no safetensors file ({error}).{_HOW_TO_GET}") from error
    network = resnet10(
        spatial_dims=3,
        n_input_channels=1,
        conv1_t_stride=2,
        shortcut_type="B",
        bias_downsample=False,
        feed_forward=False,
    )
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(
        name
        for name in expected.keys() | found.keys()
        if expected.get(name) != found.get(name) and not name.endswith(_COUNTERS)
    )
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f"{path}: holds another network: {len(wrong)} tensors differ, first {first} with shape "
            f"{found.get(first, 'absent')}, expected {expected.get(first, 'absent')}.{_HOW_TO_GET}"
        )
    network.load_state_dict(weights, strict=False)  # only counters, which nothing reads, may lack
    return network.eval().requires_grad_(False)


def feature_distance(network: ResNet, reference: np.ndarray, prediction: np.ndarray) -> float:
    """Mean squared distance of unit-length features, over positions and then the four stages.

    Args:
        network: From :func:`load_feature_network`.
        reference: Shape ``(i, j, k)``, normalised to mean 0 and deviation 1 in the patient.
        prediction: Same shape, normalised by the reference's numbers.

    Returns:
        0 for equal scans, at most 4; lower is better.

    References:
        Zhang et al., CVPR 2018 (LPIPS), here without learned weights of channels.
    """
    padding = [(0, max(0, _MIN_SIZE - size)) for size in reference.shape]
    pair = np.stack([np.pad(one, padding, mode="edge") for one in (reference, prediction)])
    with torch.inference_mode():
        hidden = torch.from_numpy(pair.astype(np.float32))[:, None]
        hidden = network.maxpool(network.act(network.bn1(network.conv1(hidden))))
        distances = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            hidden = stage(hidden)
            real, synthetic = nn.functional.normalize(hidden, dim=1, eps=_EPSILON)
            distances.append(float(((real - synthetic) ** 2).sum(dim=0).mean()))
    return float(np.mean(distances))
