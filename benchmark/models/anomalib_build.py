"""Models of anomalib by name, built with seeded weights, the user's encoder file, or what the libraries have cached."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmark.core.errors import BenchmarkError, ConfigError, WeightsError, near_matches, reason
from benchmark.models.runtime import quiet
from benchmark.models.weights_file import read_state

HOW = (
    "pipeline=anomalib needs the library anomalib, which is not installed: `make extras` builds .venv-extras with it, "
    "or install the extra: pip install 'fm-defect-bench[anomalib]'"
)
NOT_OPTIONS = frozenset({"pre_processor", "post_processor", "evaluator", "visualizer"})
"""Parts of a model that normalise scores by the test images, write files or draw: they are left out."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a model is built from."""

    name: str
    """As anomalib lists it: ``padim``, ``reverse_distillation``."""
    options: Mapping[str, Any]
    """Arguments of its constructor."""
    side: int | None
    """Images are resized to this square, of which nothing is cut away; None: the model's own size and cut."""
    seed: int
    encoder: Path | None = None
    """Weights of the encoders that timm would load pretrained; None: see ``random``."""
    random: bool = False
    """Whether those encoders stay random."""
    download: bool = False
    """Whether anomalib may fetch what it needs into its own caches and those of its libraries."""


def is_installed() -> bool:
    """Whether anomalib can be imported."""
    found = importlib.util.find_spec("anomalib")
    return found is not None and found.origin is not None


def version() -> str:
    """Return the version of anomalib; raises ConfigError where it is not installed."""
    if not is_installed():
        raise ConfigError(HOW)
    return importlib.metadata.version("anomalib")


def model_class(name: str) -> Any:
    """Return the class of a model of images.

    Raises:
        ConfigError: anomalib is not installed, has no such model, or it is one of videos.
    """
    version()
    with quiet():
        models = importlib.import_module("anomalib.models")
        known = models.list_models("snake") | models.list_models("pascal")
        found = models._get_model_class_by_name(name) if name in known else None
    if found is None:
        listed = sorted(models.list_models("snake"))
        raise ConfigError(
            f"pipeline.model={name}: anomalib {version()} has no such model; {near_matches(name, listed)}; it has: "
            f"{', '.join(listed)}"
        )
    if ".video." in found.__module__:
        raise ConfigError(f"pipeline.model={name}: a model of videos, and these are images; choose another one")
    return found


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that the constructor of a model does not have."""
    own = [word for word in inspect.signature(model_class(name).__init__).parameters if word != "self"]
    usable = sorted({*own} - NOT_OPTIONS - {"args", "kwargs", "pre_trained"})
    for word in options:
        if word in NOT_OPTIONS:
            raise ConfigError(
                f"pipeline.options.{word}: not to be set, as scores are to be raw and nothing is to be drawn; "
                "pipeline.side gives the size of the images"
            )
        if word == "pre_trained":
            raise ConfigError(
                "pipeline.options.pre_trained: pipeline.weights says which weights the encoder has, random ones too "
                "(pipeline.weights=random pipeline.allow_random_weights=true)"
            )
        if word not in usable:
            raise ConfigError(
                f"pipeline.options.{word}: {name} has no such option; {near_matches(word, usable)}; it has: "
                f"{', '.join(usable)}"
            )


def build(settings: ModelSettings) -> Any:
    """Build a model of anomalib: raw scores, no evaluator, nothing drawn; in evaluation mode on the processor.

    Raises:
        ConfigError: as ``model_class`` and ``check_options``, or the model refuses an option's value.
        WeightsError: weights are not on this machine, or do not fit.
    """
    import torch

    check_options(settings.name, settings.options)
    kind = model_class(settings.name)
    parts: dict[str, Any] = dict.fromkeys(("post_processor", "evaluator", "visualizer"), False)
    parts = {key: value for key, value in parts.items() if key in inspect.signature(kind.__init__).parameters}
    with torch.random.fork_rng(devices=[]), quiet(), _encoders(settings), offline(settings) as tried:
        torch.manual_seed(settings.seed)
        try:
            if settings.side is not None:
                whole: dict[str, Any] = {"image_size": (settings.side, settings.side)}
                if "crop_size" in inspect.signature(kind.configure_pre_processor).parameters:
                    whole["crop_size"] = settings.side
                parts["pre_processor"] = kind.configure_pre_processor(**whole)
            network = kind(**settings.options, **parts)
        except BenchmarkError:
            raise
        except Exception as error:
            raise _told(settings, error, tried) from error
    return network.eval()


def initial_digest(network: Any) -> str:
    """Return a digest (hex) of all weights of a model, by name."""
    whole = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        array = value.detach().cpu().contiguous()
        whole.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        whole.update(array.reshape(-1).view(importlib.import_module("torch").uint8).numpy().tobytes())
    return whole.hexdigest()


@contextlib.contextmanager
def offline(settings: ModelSettings) -> Iterator[list[str]]:
    """Keep this thread from looking for hosts, and yield those it looked for; with ``download`` it may."""
    tried: list[str] = []
    if settings.download:
        yield tried
        return
    usual, thread = socket.getaddrinfo, threading.get_ident()

    def lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return usual(host, *args, **kwargs)
        tried.append(str(host))
        raise socket.gaierror(socket.EAI_FAIL, "no download was allowed")

    hub = importlib.import_module("huggingface_hub.constants")
    with mock.patch.object(socket, "getaddrinfo", lookup), mock.patch.object(hub, "HF_HUB_OFFLINE", True):
        yield tried


def refused(settings: ModelSettings, error: Exception, tried: list[str]) -> WeightsError | None:
    """Return what to say where something would have been downloaded, None where the error has another cause."""
    names = {type(one).__name__ for one in _causes(error)}
    if not tried and not names & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "URLError", "ConnectError"}:
        return None
    hosts = f" of {', '.join(dict.fromkeys(tried))}" if tried else ""
    given = settings.random or settings.encoder is not None
    own = "pipeline.weights goes to encoders of timm, and these are others; " if given else ""
    fix = "" if given else "give the encoder's weights as pipeline.weights=<file or name>, or "
    return WeightsError(
        f"{settings.name} needs files{hosts} that are not on this machine, and nothing is downloaded unasked: "
        f"{own}{fix}let anomalib fetch what it needs once with pipeline.download=true (it keeps them in its caches)"
    )


def _told(settings: ModelSettings, error: Exception, tried: list[str]) -> BenchmarkError:
    given = ", ".join(f"{key}={value}" for key, value in settings.options.items()) or "its own defaults"
    return refused(settings, error, tried) or ConfigError(
        f"pipeline.options: anomalib cannot build {settings.name} with {given} ({reason(error)}); its documentation "
        "says what it takes"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _encoders(settings: ModelSettings) -> Iterator[None]:
    """Give networks that timm is asked for with pretrained weights the user's file, or none."""
    if settings.encoder is None and not settings.random:
        yield
        return
    import timm

    usual = timm.create_model
    state = None if settings.encoder is None else read_state(settings.encoder)

    @functools.wraps(usual)
    def create(model_name: str, pretrained: bool = False, **more: Any) -> Any:
        if not pretrained or state is None or settings.encoder is None:
            return usual(model_name, pretrained=False, **more)
        given = _fitting(usual, model_name, state, settings.encoder)
        return usual(model_name, pretrained=True, **{**more, "pretrained_cfg_overlay": {"state_dict": given}})

    with mock.patch.object(timm, "create_model", create):
        yield


def _fitting(create: Any, model: str, state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a file's tensors under the names of a network; raises WeightsError where it is of another network."""
    from benchmark.models.backbone.from_timm import adapted

    network = create(model, pretrained=False)
    given = dict(adapted(network, state, path=path))
    head = tuple(f"{name}." for name in _as_tuple(getattr(network, "pretrained_cfg", {}).get("classifier")))
    for name, value in network.state_dict().items():
        if name.startswith(head or "\0") or name.endswith("num_batches_tracked"):
            continue
        if name not in given or given[name].shape != value.shape:
            raise WeightsError(
                f"{path} does not fit the encoder {model}: {name} is not in it as {tuple(value.shape)}; give the file "
                "of that encoder, or name another with pipeline.options.backbone"
            )
    return given


def _as_tuple(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
