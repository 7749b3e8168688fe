"""Operations are counted both ways, and compared with what the device does in products."""

import torch
from lightning_fabric import Fabric
from torch import nn

from medtranslate.workflows import product_rate
from medtranslate.workflows.product_rate import count_operations, measure_product_rate


def test_a_convolution_is_counted_forward_and_backward():
    network = nn.Conv3d(2, 5, 3, padding=1, bias=False)
    image = torch.rand(1, 2, 8, 8, 8, requires_grad=True)

    counted = count_operations(lambda: network(image).sum().backward())

    assert counted == 3 * 2 * (2 * 5 * 27) * 8**3


def test_the_rate_is_that_of_products_in_the_precision_asked_for(monkeypatch):
    monkeypatch.setitem(product_rate._EDGES, "cpu", 64)
    kinds = []
    multiply = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: kinds.append(a.dtype) or multiply(a, b)
    )

    for precision in ("32-true", "bf16-mixed"):
        assert measure_product_rate(Fabric(accelerator="cpu", precision=precision)) > 0

    assert kinds[1] == torch.float32
    assert kinds[-1] == torch.bfloat16
