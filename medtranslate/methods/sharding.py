"""Networks whose weights are shared out among the processes that train them.

What torch and Fabric have for it is imported where it is used: with it comes torch's compiler, a
second that predicting does not need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.distributed.device_mesh import DeviceMesh


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Keep this process's part of ``network``, in place; a layer is whole only while it computes.

    Args:
        network: On any device; its weights become contiguous, for torch shards nothing else.
        mesh: Of Lightning Fabric, with the processes along ``data_parallel``.
    """
    from torch.distributed.fsdp import fully_shard

    for weight in network.parameters():
        weight.data = weight.data.contiguous()
    # Not whole blocks: they change their input in place, which torch refuses at such a border.
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    for module in (*layers, network):
        fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=True)
    return network


def share_out(network: nn.Module, fabric: Fabric) -> None:
    """Shard a network that is beside the trained one, where ``fabric`` shards that one."""
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    if isinstance(fabric.strategy, ModelParallelStrategy):
        fabric.strategy.setup_module(network)


def make_whole(tensor: Tensor) -> Tensor:
    """All of a tensor that is shared out; any other as it is."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors, in every process; those that are shared out come to the CPU one by one."""
    wholes = ((name, tensor, make_whole(tensor)) for name, tensor in state.items())
    return {name: whole if whole is tensor else whole.cpu() for name, tensor, whole in wholes}


def load_whole(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what :func:`gather` gave of ``module``, shared out or not, in any number of processes.

    Raises:
        KeyError: If the state has tensors that ``module`` has not.
        RuntimeError: If it lacks some, or shapes differ.
    """
    own = module.state_dict()
    module.load_state_dict({name: take_part(whole, own[name]) for name, whole in state.items()})


def take_part(whole: Tensor, like: Tensor) -> Tensor:
    """What this process keeps of a tensor that is shared out as ``like`` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return whole
    # Every process has the whole: none needs to send.
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
