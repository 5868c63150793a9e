"""Tensors of a weights file, read by nothing that could run code of it."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import WeightsError
from benchmark.weights import shards
from benchmark.weights.digests import file_digests
from benchmark.weights.registry import published

if TYPE_CHECKING:
    import torch


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weights file: safetensors, the index of several, or a plain torch file.

    torch files are read with ``weights_only``. A TorchScript archive is code; it is opened only where it is, byte by
    byte, a published file of the registry, as OpenAI's CLIP files are. A file wrapped as ``{"model": …}`` is unwrapped.

    Raises:
        WeightsError: the file cannot be read that way, for instance because it would run code; a value is NaN.
    """
    import pickle

    import torch
    from safetensors.torch import load_file

    if shards.is_index(path):
        return _of_parts(path)
    try:
        if path.suffix == ".safetensors":
            read = load_file(path)
        elif _is_torchscript(path):
            if not published(file_digests(path)[0]):
                raise _Code
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read = dict(torch.jit.load(path, map_location="cpu").state_dict())  # type: ignore[no-untyped-call]
        else:
            read = torch.load(path, map_location="cpu", weights_only=True)
    except _Code:
        raise WeightsError(
            f"{path} is a TorchScript archive, which runs code when it is opened, and none of the published files of "
            "the weights registry: it was not opened; convert its state dict to safetensors"
        ) from None
    except Exception as error:  # readers fail over damaged bytes in many ways
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, pickle.UnpicklingError):
            reason = "torch's weights_only reader refuses it"  # its own text advises to switch the check off
        raise WeightsError(
            f"{path} cannot be read as plain weights ({reason}): it is damaged, or it holds more than tensors "
            "and would run code; get the published file or convert it to safetensors"
        ) from error
    return _tensors(read, path)


def _of_parts(index: Path) -> dict[str, torch.Tensor]:
    read = {name: tensor for part in shards.parts(index) for name, tensor in read_state(part).items()}
    absent = sorted(set(shards.places(index)) - set(read))
    if absent:
        raise WeightsError(f"{index} names tensors that are in none of its files, as {absent[0]}: get them anew")
    return read


class _Code(Exception):
    """The file is a program."""


def _is_torchscript(path: Path) -> bool:
    """Tell a TorchScript archive by what is in it, whatever its name; raises ValueError for one that swells up."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    inside = {part.filename.partition("/")[2] or part.filename for part in parts}
    if any(name in ("constants.pkl", "version.code") or name.startswith("code/") for name in inside):
        return True
    if any(part.file_size > part.compress_size for part in parts):
        raise ValueError("its parts are compressed, which torch.save never does")
    return False


def _tensors(read: object, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for key in ("model", "state_dict"):
        if isinstance(read, Mapping) and isinstance(read.get(key), Mapping):
            read = read[key]
    if not isinstance(read, Mapping) or not all(isinstance(v, torch.Tensor) for v in read.values()):
        raise WeightsError(f"{path} does not hold a state dict (names to tensors): it is not a weights file")
    for name, tensor in read.items():
        if tensor.is_floating_point() and bool(tensor.isnan().any()):
            raise WeightsError(f"{path} is damaged: tensor {name} holds values that are not numbers (NaN)")
    return {str(name): tensor for name, tensor in read.items()}
