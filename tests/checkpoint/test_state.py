"""A training's state survives the way to the disk and back."""

import json
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from medtranslate.checkpoint.state import decode_state, encode_state
from medtranslate.errors import CheckpointError


def through_json(state):
    skeleton, tensors = encode_state(state)
    return decode_state(json.loads(json.dumps(skeleton, allow_nan=False)), tensors)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1.5, True, None, "text"]},
        {"best": float("-inf"), "infinite": float("inf"), "tenth": 0.1},
        {0: {"step": 3}, 7: "int keys, as optimisers have them"},
        {"tensor": "a key that looks like a marker", "other": 1},
        {"float": "nan"},
        {"items": [["a", 1]]},
        {"set": {3}, "object": ["a key that looks like a marker"]},
        {("voxels", "best"): {1.5: 0, None: 1, True: 2}},
        {"betas": (0.9, 0.999), "nested": ((1, 2), [3, (4,)])},
        {"raw": b"\x00\xff", "empty": {}, "none": []},
        {"big": 2**127 + 1},
    ],
)
def test_plain_values_come_back_equal_and_of_the_same_type(value):
    assert repr(through_json({"state": value})["state"]) == repr(value)


@dataclass(frozen=True)
class Lesion:
    radius_mm: float
    box: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    lesions: tuple[Lesion, ...]


def test_dataclasses_come_back_where_they_are_expected():
    state = {"trial": Trial((Lesion(2.5, (1, 2)), Lesion(float("inf")))), "by": {Lesion(1.0): 2}}
    skeleton, tensors = encode_state(state)
    skeleton = json.loads(json.dumps(skeleton, allow_nan=False))

    assert decode_state(skeleton, tensors, kinds=(Trial, Lesion)) == state
    with pytest.raises(CheckpointError, match="'Lesion'"):
        decode_state(skeleton, tensors, kinds=(Trial,))


def test_not_a_number_comes_back_as_not_a_number():
    assert np.isnan(through_json({"loss": float("nan")})["loss"])


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (2, 1, 4)])
def test_tensors_come_back_bit_for_bit(dtype, shape):
    tensor = torch.arange(60)[: int(np.prod(shape))].reshape(shape).to(dtype)

    back = through_json({"weights": [tensor]})["weights"][0]

    assert back.dtype == dtype
    torch.testing.assert_close(back, tensor, rtol=0, atol=0)


def test_tensors_that_share_memory_come_back_apart_and_with_their_own_values():
    whole = torch.arange(12.0).reshape(3, 4)

    back = through_json({"whole": whole, "column": whole[:, 1], "again": whole})

    torch.testing.assert_close(back["column"], torch.tensor([1.0, 5.0, 9.0]))
    torch.testing.assert_close(back["again"], whole)


@pytest.mark.parametrize("dtype", ["<u4", ">i2", "<f8", "|b1", "<u8"])
def test_arrays_come_back_with_type_and_shape(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)

    back = through_json({"array": array})["array"]

    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_random_states_go_on_where_they_stopped():
    python, numpy = random.Random(3), np.random.default_rng(3)
    torch_state = torch.Generator().manual_seed(3)
    python.random()
    states = through_json(
        {
            "python": python.getstate(),
            "numpy": numpy.bit_generator.state,
            "torch": torch_state.get_state(),
        }
    )
    expected = python.random(), numpy.random(), torch.rand(1, generator=torch_state)

    python.setstate(states["python"])
    numpy.bit_generator.state = states["numpy"]
    torch_state.set_state(states["torch"])

    assert (python.random(), numpy.random()) == expected[:2]
    torch.testing.assert_close(torch.rand(1, generator=torch_state), expected[2], rtol=0, atol=0)


def test_an_optimiser_goes_on_bit_for_bit():
    def one_step(weights, optimiser):
        optimiser.zero_grad()
        (weights**2).sum().backward()
        optimiser.step()

    weights = torch.nn.Parameter(torch.arange(1.0, 6.0))
    optimiser = torch.optim.AdamW([weights], lr=0.1, betas=(0.5, 0.9))
    one_step(weights, optimiser)
    saved = through_json({"weights": weights, "optimiser": optimiser.state_dict()})
    one_step(weights, optimiser)

    resumed = torch.nn.Parameter(saved["weights"])
    other = torch.optim.AdamW([resumed], lr=1.0)
    other.load_state_dict(saved["optimiser"])
    one_step(resumed, other)

    torch.testing.assert_close(resumed, weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [object()]}, r"state\.a\[0\]: object"),
        ({"a": {(1, object()): 0}}, r"state\.a, key\[1\]: object"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_place(value, where):
    with pytest.raises(TypeError, match=where):
        encode_state(value)


def test_a_skeleton_that_names_an_absent_tensor_is_refused():
    with pytest.raises(CheckpointError, match="not readable"):
        decode_state({"a": {"tensor": "000007"}}, {})
