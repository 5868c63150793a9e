"""The steps of SAA+ written out literally, to compare the fast ones with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Found:
    """Boxes that passed, in pixels, and the largest one's share of the image."""

    boxes: Any
    area: float


def proposals(
    network: Any,
    ask: Callable[..., Any],
    pixels: Any,
    questions: Sequence[Sequence[str | None]],
    threshold: float,
    text: float,
    limit: float,
    size: tuple[int, int],
) -> tuple[Found, list[float]]:
    """Ask caption by caption; keep boxes above the threshold, below the limit, whose words are not dropped."""
    import torch
    from groundingdino.util.utils import get_phrases_from_posmap

    boxes, scores = [], []
    for caption, drop in questions:
        assert caption is not None
        asked = caption.lower().strip()
        asked = asked if asked.endswith(".") else asked + "."
        answer = ask(pixels, asked)
        logits, found = answer["pred_logits"].sigmoid()[0].cpu(), answer["pred_boxes"][0].cpu()
        areas = found[:, 2] * found[:, 3]
        kept = (logits.max(1)[0] > threshold) & (areas < limit) & (areas > 0)
        tokens = network.tokenizer(asked)
        for logit, box in zip(logits[kept], found[kept], strict=True):
            words = get_phrases_from_posmap(logit > text, tokens, network.tokenizer)
            if drop is None or drop not in words:
                boxes.append(box)
                scores.append(float(logit.max()))
    if not boxes:
        return Found(torch.zeros((0, 4)), 0.0), []
    whole = torch.stack(boxes)
    scaled = whole * torch.tensor([size[1], size[0], size[1], size[0]])
    first = scaled[:, :2] - scaled[:, 2:] / 2
    return Found(torch.cat([first, first + scaled[:, 2:]], 1), float((whole[:, 2] * whole[:, 3]).max())), scores


def concatenated(maps: Sequence[Any]) -> Any:
    """Bring feature maps to the finest grid and normalise, (1, C, S, S)."""
    import torch
    from torch.nn import functional as F

    size = maps[0].shape[1:]
    return F.normalize(torch.cat([maps[0][None], *(F.interpolate(m[None], size) for m in maps[1:])], 1), dim=1)


def whole_image(maps: Sequence[Any]) -> NDArray[Any]:
    """Multiply all long features with each other, sort every row, and take the mean of the 400 largest distances."""
    features = concatenated(maps).flatten(2)[0]
    distances = (0.5 * (1 - features.T @ features)).sort(dim=1, descending=True)[0]
    side = maps[0].shape[-1]
    return np.asarray(distances[:, :400].mean(1).view(side, side).cpu().numpy())


def between_objects(maps: Sequence[Any], masks: NDArray[np.bool_]) -> NDArray[Any]:
    """Gather features place by place for every object, and compare with all other objects' ones."""
    import torch

    features, side = concatenated(maps), maps[0].shape[-1]
    results = []
    for i, mask in enumerate(masks):
        emptied, own, places = features.clone(), [], []
        for row in range(side):
            for column in range(side):
                if mask[row, column] > 0:
                    own.append(emptied[:, :, row, column].clone())
                    places.append((row, column))
                    emptied[:, :, row, column] = 0.0
        flat = emptied.view(emptied.shape[1], -1)
        others = torch.cat([flat[:, other.reshape(-1) > 0] for j, other in enumerate(masks) if j != i], 1).T
        values = (0.5 * (1 - (torch.cat(own) @ others.T).max(1)[0])).cpu().numpy()
        result = np.zeros((side, side))
        for place, value in zip(places, values, strict=True):
            result[place] = value
        results.append(result)
    return np.asarray(np.max(results, axis=0))


def saliency_network(device: str = "cpu", *, weights: Path | None = None) -> Any:
    """Build the saliency's network with timm alone: maps of strides 4, 8 and 16; None: seeded random weights."""
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model("wide_resnet50_2", pretrained=False, features_only=True, out_indices=(1, 2, 3))
    if weights is not None:
        network.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    return network.eval().requires_grad_(False).to(device)


def feature_maps(network: Any, image: NDArray[np.uint8], *, side: int, device: str = "cpu") -> tuple[Any, ...]:
    """Return the maps of an image that is squeezed to a square, normalised on values of 0 … 255."""
    import cv2
    import torch

    square = torch.from_numpy(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)
    mean = torch.tensor([0.485, 0.456, 0.406]).mul(255).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).mul(255).view(3, 1, 1)
    with torch.inference_mode():
        return tuple(level[0] for level in network(((square - mean) / deviation)[None].to(device)))


def saliency_of_one(network: Any, image: NDArray[np.uint8], device: str) -> NDArray[Any]:
    """Return the saliency of an image's places among each other at image size."""
    import cv2

    maps = feature_maps(network, image, side=256, device=device)
    return np.asarray(cv2.resize(whole_image(maps), (image.shape[1], image.shape[0])))


def score_map(masks: NDArray[np.bool_], scores: Sequence[float], saliency: NDArray[Any], k: int) -> NDArray[Any]:
    """Rescore by saliency, keep the k best, and fuse with one more than their number below the line."""
    refined = [s * np.exp(3 * saliency[m].mean()) if m.any() else s for m, s in zip(masks, scores, strict=True)]
    total, weight = np.zeros(masks.shape[1:]), np.ones(masks.shape[1:])
    for i in np.argsort(refined)[-k:]:
        total += masks[i] * refined[i]
        weight += masks[i]
    return np.asarray(total / weight)
