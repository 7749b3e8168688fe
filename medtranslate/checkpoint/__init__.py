"""What training leaves behind on disk: the portable model and the checkpoints for resuming.

Tensors are safetensors and everything else is JSON: nothing that is read here can run code.
"""

from medtranslate.checkpoint.model import (
    LoadedModel,
    check_weights,
    find_model,
    load_model,
    need_same_model,
    save_model,
)
from medtranslate.checkpoint.training import load_newest_checkpoint, save_checkpoint

__all__ = [
    "LoadedModel",
    "check_weights",
    "find_model",
    "load_model",
    "load_newest_checkpoint",
    "need_same_model",
    "save_checkpoint",
    "save_model",
]
