"""Distance in the features of a network, with random weights in place of trained ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from safetensors.torch import load_file, save_file
from scipy import ndimage

from medtranslate.errors import CheckpointError
from medtranslate.networks.features import feature_distance, load_feature_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = resnet10(
        spatial_dims=3, n_input_channels=1, shortcut_type="B", bias_downsample=False,
        feed_forward=False,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "resnet10.safetensors"
    save_file(network.state_dict(), path)
    return path


def scan(seed, shape=(36, 40, 33)):
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 2.0)
    return smooth / smooth.std()


def test_equal_scans_have_no_distance_and_a_blurred_one_more_the_more_it_is_blurred(weights):
    network = load_feature_network(weights)
    reference = scan(1)

    distances = [
        feature_distance(network, reference, ndimage.gaussian_filter(reference, blur))
        for blur in (0.0, 1.0, 3.0)
    ]

    assert distances[0] == 0.0
    assert 0.0 < distances[1] < distances[2] < 4.0


def test_the_first_stage_is_that_of_monai_s_own_network(weights):
    network = load_feature_network(weights)
    kept = []
    handles = [
        stage.register_forward_hook(lambda _, __, output: kept.append(output))
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4)
    ]
    x, y = scan(2), scan(3)
    with torch.inference_mode():
        for one in (x, y):
            network(torch.from_numpy(one.astype(np.float32))[None, None])
    for handle in handles:
        handle.remove()

    def unit(hidden):
        values = hidden[0].double().numpy()
        return values / np.linalg.norm(values, axis=0)

    expected = [
        ((unit(first) - unit(second)) ** 2).sum(axis=0).mean()
        for first, second in zip(kept[:4], kept[4:], strict=True)
    ]
    assert feature_distance(network, x, y) == pytest.approx(np.mean(expected), rel=1e-4)


def test_thin_scans_are_compared_too(weights):
    network = load_feature_network(weights)

    assert feature_distance(network, scan(1, (40, 40, 5)), scan(2, (40, 40, 5))) > 0


def test_without_the_file_it_says_what_to_fetch_whose_it_is_and_how_to_convert(tmp_path):
    with pytest.raises(CheckpointError, match="no such file") as caught:
        load_feature_network(tmp_path / "absent.safetensors")

    for words in ("Tencent/MedicalNet", "arXiv 1904.00625", "MIT licence", "save_file"):
        assert words in str(caught.value)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "resnet_10_23dataset.pth"
    path.write_bytes(b"\x80\x02}q\x00.")

    with pytest.raises(CheckpointError, match="is no safetensors file"):
        load_feature_network(path)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_network_are_refused(weights, tmp_path, change):
    tensors = load_file(weights)
    if change == "missing":
        del tensors["layer3.0.conv1.weight"]
    elif change == "extra":
        tensors["layer1.1.conv1.weight"] = torch.zeros(3)
    else:
        tensors["conv1.weight"] = torch.zeros(64, 3, 7, 7, 7)
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)

    with pytest.raises(CheckpointError, match="holds another network: 1 tensors differ"):
        load_feature_network(path)
