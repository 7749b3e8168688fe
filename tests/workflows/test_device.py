"""A batch is brought to where the method learns, and several processes agree."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor

from medtranslate.workflows.device import agree_on_most, choose_processor, make_fabric, send_batch


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_every_tensor_of_a_batch_is_sent_to_the_device(device):
    batch = {"source": torch.ones(1, 2, 4, 4, 4), "years": torch.ones(1)}

    sent = send_batch(SimpleNamespace(device=torch.device(device)), batch)

    assert {key: tensor.device.type for key, tensor in sent.items()} == dict.fromkeys(batch, device)
    assert {key: tensor.shape for key, tensor in sent.items()} == {
        key: tensor.shape for key, tensor in batch.items()
    }


def test_a_batch_is_of_plain_tensors(make_pipeline):
    image = MetaTensor(torch.rand(1, 1, 4, 4, 4))

    sent = send_batch(make_fabric(make_pipeline()), {"source": image})["source"]

    assert type(sent) is torch.Tensor
    torch.testing.assert_close(sent, image.as_tensor(), rtol=0, atol=0)


def test_one_process_agrees_with_itself(make_pipeline):
    assert agree_on_most(make_fabric(make_pipeline()), [15, 2.5]) == [15, 2.5]


@pytest.mark.parametrize("precision", ["auto", "bf16-mixed", "32-true"])
def test_a_model_predicts_where_and_as_it_was_trained(precision, make_pipeline):
    pipeline = make_pipeline(
        train={"patch_size": [16, 16, 16], "num_steps": 4, "precision": precision}
    )
    fabric, processor = make_fabric(pipeline), choose_processor(pipeline)
    layer = processor.to_device(torch.nn.Linear(4, 2))
    values = torch.rand(3, 4)

    with fabric.autocast():
        trained = layer(fabric.to_device(values))
    with processor.autocast():
        predicted = layer(processor.to_device(values))

    assert processor.device == fabric.device
    torch.testing.assert_close(predicted, trained, rtol=0, atol=0)


def test_predicting_does_not_wait_for_what_training_needs():
    look = (
        "import sys, medtranslate.workflows.translate, medtranslate.workflows.validate,"
        " medtranslate.workflows.simulate\n"
        "print(*{'torch._dynamo', 'lightning_fabric', 'torch.distributed.tensor'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)

    assert done.stdout.split() == []
