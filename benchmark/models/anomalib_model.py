"""Fitting a model of anomalib on good images, keeping what it learnt, and its raw score maps."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import BenchmarkError, ConfigError, DataError, reason
from benchmark.core.samples import Sample
from benchmark.core.text import counted
from benchmark.data.images import load_image
from benchmark.models.anomalib_build import ModelSettings, build, offline, refused
from benchmark.models.runtime import quiet

if TYPE_CHECKING:
    import torch

CLOSE = 1e-2
"""Share of a map's largest score by which a model may differ from itself after it was kept and read back: another
layout in memory rounds otherwise (padim, 152 channels, 8 images: 0.0004), lost state is far off."""


class RawMap(NamedTuple):
    """What a model says of one image."""

    scores: NDArray[np.float32] | None
    """(h, w) on the square that the model looks at, as ``Frame`` has it; None: the model scores whole images."""
    image_score: float | None
    """anomalib's ``pred_score``, without normalisation."""


class Frame(NamedTuple):
    """The part of an image that a model looks at: it is resized, and the middle is cut out."""

    resized: tuple[int, int]
    """(h, w) that the image is resized to; (0, 0): it is not."""
    cropped: tuple[int, int]
    """(h, w) of the middle; the same where nothing is cut away."""

    @property
    def share(self) -> float:
        """Part of the image that is looked at, 0..1."""
        whole = self.resized[0] * self.resized[1]
        return self.cropped[0] * self.cropped[1] / whole if whole else 1.0


def frame_of(network: Any) -> Frame:
    """Return what a model's transform makes of an image."""
    from torchvision.transforms import v2

    steps = _steps(network)
    resized = next((_pair(step.size) for step in steps if isinstance(step, v2.Resize)), (0, 0))
    cropped = next((_pair(step.size) for step in steps if isinstance(step, v2.CenterCrop)), resized)
    return Frame(resized, cropped)


def fit(
    settings: ModelSettings,
    samples: Sequence[Sample],
    *,
    epochs: int | None,
    steps: int | None,
    batch_size: int,
    device: str,
) -> dict[str, NDArray[Any]]:
    """Fit a model on good images and return what is then other than when it was built, by name.

    It is trained by lightning in a folder that goes away; no files, logs or checkpoints stay. Images come in an order
    drawn by the seed. Its validation images are the training images: no test image takes part.

    Args:
        settings: of the model.
        samples: good images.
        epochs: how often each is seen; None: as the model says.
        steps: batches at most; None likewise.
        batch_size: images of a batch; models that want one alone get it.
        device: torch device name.

    Raises:
        ConfigError: neither the model nor the settings say how long to train.
        DataError: an image cannot be read.
        WeightsError: the model wants to download something for its training.
        BenchmarkError: it cannot be trained, or what it learnt cannot be kept.
    """
    lightning = _lightning()
    network = build(settings)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    length = _length(network, settings.name, epochs, steps)
    batch_size = 1 if settings.name in ("efficient_ad", "EfficientAd") else batch_size
    kind, _, number = device.partition(":")
    with tempfile.TemporaryDirectory() as folder, quiet(), _seeded(settings.seed), offline(settings) as tried:
        trainer = lightning.Trainer(
            **{
                **network.trainer_arguments, **length, "accelerator": "cpu" if kind == "cpu" else "gpu",
                "devices": 1 if kind == "cpu" or not number else [int(number)], "num_sanity_val_steps": 0,
                "check_val_every_n_epoch": max(1, length.get("max_epochs", 1)), "val_check_interval": 1.0,
                "default_root_dir": folder, "logger": False, "enable_checkpointing": False,
                "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1,
            }
        )  # fmt: skip
        try:
            trainer.fit(network.train(), datamodule=_images(lightning, network, samples, batch_size, settings.seed))
        except BenchmarkError:
            raise
        except Exception as error:
            raise refused(settings, error, tried) or BenchmarkError(
                f"anomalib cannot train {settings.name} on {counted(len(samples), 'image')} of {samples[0].category} "
                f"({reason(error)}); see its documentation for what it needs (pipeline.options, pipeline.batch_size)"
            ) from error
    network = network.cpu().eval()
    after = network.state_dict()
    changed = {
        name: value.detach().cpu().contiguous().numpy()
        for name, value in after.items()
        if name not in before or before[name].shape != value.shape or not bool((before[name] == value).all())
    }
    if not changed:
        raise BenchmarkError(
            f"training changed nothing in {settings.name}, as it was too short for its schedule; raise pipeline.epochs "
            "or pipeline.steps"
        )
    _check_kept(settings, network, changed, samples[0])
    return changed


def restored(settings: ModelSettings, learnt: Mapping[str, NDArray[Any]], *, device: str) -> Any:
    """Build a model and put back what ``fit`` returned, in evaluation mode on a device."""
    import torch
    from torch import nn

    network = build(settings)
    for name, value in learnt.items():
        owner, _, last = name.rpartition(".")
        module = network.get_submodule(owner)
        tensor = torch.from_numpy(np.array(value))
        if last in module._parameters:
            module._parameters[last] = nn.Parameter(tensor, requires_grad=False)
        elif last in module._buffers:
            module._buffers[last] = tensor
        else:
            raise KeyError(name)
    return network.requires_grad_(False).eval().to(device)


def predict(network: Any, image: NDArray[np.uint8], *, device: str) -> RawMap:
    """Return what a fitted model says of an image, (H, W, 3) uint8 RGB."""
    import torch
    from anomalib.data import ImageBatch

    with torch.inference_mode(), quiet():
        pixels = _tensor(image).to(device)[None]
        if network.pre_processor is not None and network.pre_processor.transform is not None:
            pixels = network.pre_processor.transform(pixels)
        said = network.predict_step(ImageBatch(image=pixels), 0)
    scores = None if said.anomaly_map is None else said.anomaly_map.float().cpu().numpy()
    if scores is not None:
        scores = scores.reshape(scores.shape[-2:])
    score = None if said.pred_score is None else float(said.pred_score.float().reshape(-1)[0])
    if (scores is not None and not np.isfinite(scores).all()) or (score is not None and not np.isfinite(score)):
        raise BenchmarkError("the model's scores are NaN or infinite; train it longer, or with another seed")
    return RawMap(scores, score)


def draw(scores: NDArray[np.float32], frame: Frame, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw a raw map over an image of (H, W), bilinear; where the model does not look, its lowest score stands."""
    import torch
    from torch.nn import functional as F

    values = torch.from_numpy(np.ascontiguousarray(scores))[None, None]
    if frame.cropped != frame.resized:
        values = F.interpolate(values, frame.cropped, mode="bilinear", align_corners=False)
        (height, width), (h, w) = frame.resized, frame.cropped
        top, left = round((height - h) / 2), round((width - w) / 2)
        values = F.pad(values, (left, width - w - left, top, height - h - top), value=float(scores.min()))
    drawn = F.interpolate(values, size, mode="bilinear", align_corners=False)[0, 0]
    return np.asarray(drawn.numpy(), dtype=np.float32)


def is_trained(network: Any) -> bool:
    """Whether a model learns from good images; zero-shot ones do not."""
    return str(getattr(network.learning_type, "value", network.learning_type)) != "zero_shot"


def _check_kept(settings: ModelSettings, fitted: Any, learnt: Mapping[str, NDArray[Any]], sample: Sample) -> None:
    """Raise BenchmarkError where a model that is built anew from what was kept says something else."""
    image = load_image(sample.image, sample.reading)
    try:
        again = predict(restored(settings, learnt, device="cpu"), image, device="cpu")
        first = predict(fitted, image, device="cpu")
        same = _close(first.scores, again.scores) and _close(first.image_score, again.image_score)
    except (KeyError, AttributeError, RuntimeError, ValueError, TypeError, IndexError):
        same = False
    if not same:
        raise BenchmarkError(
            f"{settings.name} keeps what it learnt outside its state dict, so that it cannot be stored and read back; "
            "run it with anomalib itself, and score its maps with pipeline=saved"
        )


def _close(one: Any, two: Any) -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.allclose(one, two, rtol=0, atol=CLOSE * max(1e-12, float(np.abs(one).max()))))


def _length(network: Any, name: str, epochs: int | None, steps: int | None) -> dict[str, int]:
    own = network.trainer_arguments
    said = {
        key: given if given is not None else own.get(key)
        for key, given in (("max_epochs", epochs), ("max_steps", steps))
    }
    if epochs is not None and steps is None:
        said["max_steps"] = None
    if steps is not None and epochs is None:
        said["max_epochs"] = None
    found = {key: int(value) for key, value in said.items() if value is not None and value > 0}
    if not found:
        raise ConfigError(f"{name} does not say how long it is trained; give pipeline.epochs=… or pipeline.steps=…")
    return found


def _lightning() -> Any:
    import importlib

    return importlib.import_module("lightning")


def _images(lightning: Any, network: Any, samples: Sequence[Sample], batch_size: int, seed: int) -> Any:
    """Return lightning's view of the training images."""
    import torch
    from anomalib.data import ImageBatch
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    resize = [step for step in _steps(network) if isinstance(step, v2.Resize)][:1]

    class Images(Dataset[Any]):
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, at: int) -> tuple[torch.Tensor, str]:
            sample = samples[at]
            pixels = _tensor(load_image(sample.image, sample.reading))
            return (resize[0](pixels) if resize else pixels), str(sample.image)

    def together(items: Sequence[tuple[torch.Tensor, str]]) -> Any:
        pixels, paths = zip(*items, strict=True)
        if len({one.shape for one in pixels}) > 1:
            raise DataError("training images of several sizes, which this model does not resize; give pipeline.side=…")
        batch = torch.stack(pixels)
        empty = torch.zeros((len(batch), *batch.shape[-2:]), dtype=torch.bool)
        return ImageBatch(
            image=batch, image_path=list(paths), gt_label=torch.zeros(len(batch), dtype=torch.bool), gt_mask=empty
        )

    class Data(lightning.LightningDataModule):  # type: ignore[misc]
        name, category = "good images", samples[0].category
        train_batch_size = eval_batch_size = batch_size

        def train_dataloader(self) -> Any:
            order = torch.Generator().manual_seed(seed)
            return DataLoader(Images(), batch_size, shuffle=True, generator=order, collate_fn=together)

        def val_dataloader(self) -> Any:
            return DataLoader(Images(), batch_size, collate_fn=together)

    return Data()


def _tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255


def _steps(network: Any) -> list[Any]:
    transform = getattr(network.pre_processor, "transform", None)
    return list(getattr(transform, "transforms", [] if transform is None else [transform]))


def _pair(size: Any) -> tuple[int, int]:
    values = [size] if isinstance(size, int) else list(size)
    return (int(values[0]), int(values[-1]))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed every generator that training draws from, and leave them as they were."""
    import torch

    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002  # what anomalib draws from
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
