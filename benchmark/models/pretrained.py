"""Models of transformers by a name of the hub or by a folder: their description, processor and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from benchmark.core.errors import ConfigError, WeightsError, reason
from benchmark.core.settings import NameOrFile
from benchmark.models import runtime
from benchmark.models.choice import PUBLISHED, WeightsRequest
from benchmark.models.weights_file import read_state
from benchmark.weights import hub

if TYPE_CHECKING:
    import torch
    from torch import nn


STRICT = {"local_files_only": True, "trust_remote_code": False}
"""Of everything that transformers reads: without the second it asks on a terminal whether to run a model's own code."""
Adapt = Callable[[dict[str, "torch.Tensor"]], dict[str, "torch.Tensor"]]
"""From the tensors of a file to those of a model, by name."""


def _folder_or_name(model: str) -> str:
    if model == "???":
        raise ValueError("is not set; this option wants it to be given")
    if not Path(model).is_dir() and (":" in model or not hub.is_well_formed(f"{hub.PREFIX}{model}")):
        raise ValueError("there is no such folder, and a name of the hub is written OWNER/NAME or OWNER/NAME@COMMIT")
    return model


ModelName = Annotated[NameOrFile, AfterValidator(_folder_or_name)]
"""A model of transformers: a name of the hub, or a folder with ``config.json``."""


def folder_of(model: str) -> Path:
    """Return the folder of a model: the user's own, or the hub's local copy.

    Raises:
        ConfigError: it is no folder and no name of the hub.
        WeightsError: it is not on this machine; the message names the command that gets it.
    """
    folder = Path(model)
    return folder if folder.is_dir() else hub.local_folder(f"{hub.PREFIX}{model}")


def name_of(model: str) -> str:
    """Return a model's name for results: of a folder its last part."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def published(model: str) -> str:
    """Return where a model's own weights are: a file in its folder, or on the hub under its name.

    Raises:
        WeightsError: the folder holds no weights file.
    """
    folder = Path(model)
    return str(hub.weights_file(folder)) if folder.is_dir() else f"{hub.PREFIX}{model}"


def request(model: str, weights: str | Path, *, network: str) -> WeightsRequest:
    """Return what to ask ``choose`` for, where ``published`` means the model's own weights."""
    own = published(model) if weights == PUBLISHED else None
    return WeightsRequest(weights=weights, published=own, network=f"{network} {name_of(model)}")


def facts(model: str) -> dict[str, Any]:
    """Return what a stage says of a model of transformers, its weights left out."""
    return {"source": "transformers", "model": name_of(model), "description": description_digest(model)}


def description_digest(model: str) -> str:
    """Return a sha256 (hex) of what describes a model beside its weights: configuration, processor, vocabulary.

    Raises:
        WeightsError: there is no ``config.json``.
    """
    folder = folder_of(model)
    _config_file(folder)
    return words_digest(folder)


def key_of(model: str) -> tuple[Hashable, ...]:
    """Return what names a model in this process: a folder is another one once a file that describes it was edited."""
    if not Path(model).is_dir():
        return (model,)
    files = [file for name in hub.DESCRIPTIONS if (file := Path(model) / name).is_file()]
    return (model, *((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


def words_digest(folder: Path) -> str:
    """Return a sha256 (hex) of what describes a model in its folder, of a tokenizer's own folder its vocabulary."""
    whole = hashlib.sha256()
    for name in hub.DESCRIPTIONS:
        if (folder / name).is_file():
            whole.update(f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def read_config(model: str, *, of: Mapping[str, str], what: str) -> Any:
    """Read a model's configuration.

    Args:
        of: kinds of model that may be named, to anything.
        what: they are, for the message.

    Raises:
        ConfigError: the model is of another kind, or of one that the installed transformers does not know.
        WeightsError: there is no ``config.json``.
    """
    folder = folder_of(model)
    _config_file(folder)
    config = config_in(folder, model)
    if config.model_type not in of:
        raise ConfigError(f"{model} is of the kind {config.model_type}, which is no {what}: {', '.join(sorted(of))}")
    return config


def config_in(folder: Path, model: str) -> Any:
    """Read the configuration in a folder, of a kind that transformers itself knows.

    Raises:
        ConfigError: it is none, or one that brings code of its own.
    """
    from transformers import AutoConfig

    try:
        with runtime.quiet():  # it warns of defaults that it fills in itself, as SigLIP's
            return AutoConfig.from_pretrained(folder, **STRICT)
    except Exception as error:  # readers fail over damaged files in many ways
        raise ConfigError(f"{model}: its config.json is not one that transformers reads ({reason(error)})") from None


def load_network(kind: Any, config: Any, weights: Path | None, *, device: str, adapt: Adapt = dict) -> Any:
    """Build a model and load its weights by the library's rules for names, in float32, in evaluation mode.

    Args:
        kind: class of transformers.
        weights: file of the weights; None: seeded random ones.
        adapt: turns the file's names into those of the model.

    Raises:
        WeightsError: the file is damaged or belongs to another model; every tensor of the model must be in it.
    """
    if weights is None:
        return runtime.build(lambda: kind(config), device=device)
    return with_weights(kind, config, weights, device=device, adapt=adapt)


def with_weights(
    kind: Any,
    config: Any,
    weights: Path,
    *,
    device: str,
    optional: Callable[[str], bool] = lambda _: False,
    adapt: Adapt = dict,
) -> Any:
    """Load a file as ``load_network`` does.

    Args:
        optional: names that may be missing in the file.
        adapt: turns the file's names into those of the model.
    """

    def make() -> nn.Module:
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()  # of a part of a second, in the middle of a run's own
        network, loading = kind.from_pretrained(
            None, config=config, state_dict=adapt(read_state(weights)), output_loading_info=True, dtype=torch.float32
        )
        wrong = [f"missing {name}" for name in sorted(loading["missing_keys"]) if not optional(name)]
        wrong += [f"{name[0]} has another shape" for name in loading.get("mismatched_keys", ())]
        if wrong:
            raise WeightsError(
                f"{weights} does not fit {kind.__name__}: {'; '.join(wrong[:3])}. It is the file of another model: "
                "choose the model that it belongs to, or other weights"
            )
        loaded: nn.Module = network
        return loaded

    try:
        return runtime.build(make, device=device, weights=weights)
    except RuntimeError as error:  # shapes that differ
        raise WeightsError(f"{weights} does not fit {kind.__name__}: {reason(error)}") from error


def read_generation(model: str, network: Any) -> None:
    """Give a network that writes text the settings of its own ``generation_config.json``, where there is one.

    Raises:
        WeightsError: it cannot be read.
    """
    from transformers import GenerationConfig

    folder = folder_of(model)
    if not (folder / "generation_config.json").is_file():
        return
    try:
        network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise WeightsError(f"{model}: its generation_config.json cannot be read ({reason(error)})") from None


def image_processor(model: str, *, backend: str) -> Any:
    """Read what turns an image into a model's input.

    Args:
        backend: ``pil``, whose numbers are those that models were published with, or ``torchvision`` where there is
            no other.

    Raises:
        WeightsError: the model's folder does not describe it.
    """
    from transformers import AutoImageProcessor

    folder = folder_of(model)
    try:
        return AutoImageProcessor.from_pretrained(folder, backend=backend, **STRICT)
    except Exception as error:
        raise WeightsError(
            f"{model}: its image processor cannot be read ({reason(error)}); it stands in preprocessor_config.json "
            f"or processor_config.json, which {_anew(model)}"
        ) from None


def tokenizer(model: str) -> Any:
    """Read a model's tokenizer.

    Raises:
        WeightsError: the model's folder does not hold one, or one without words: transformers makes an empty
            vocabulary of files that are not there, and every word would be the same unknown one.
    """
    from transformers import AutoTokenizer

    folder = folder_of(model)
    try:
        found = AutoTokenizer.from_pretrained(folder, **STRICT)
    except Exception as error:
        raise WeightsError(
            f"{model}: its tokenizer cannot be read ({reason(error)}); its files {_anew(model)}"
        ) from None
    if len(found) <= len(set(found.all_special_ids)):
        raise WeightsError(f"{model}: its tokenizer knows no words; its files (tokenizer.json …) {_anew(model)}")
    return found


def _anew(model: str) -> str:
    if Path(model).is_dir():
        return f"must lie in {model}, as save_pretrained of the processor writes them"
    return f"make weights PIPELINE={hub.PREFIX}{model} gets"


def _config_file(folder: Path) -> Path:
    file = folder / "config.json"
    if not file.is_file():
        raise WeightsError(f"{folder} is no model of transformers: there is no config.json in it")
    return file
