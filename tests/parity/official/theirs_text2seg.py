"""The official side of GroundingDINO + SAM: Douglas2Code/Text2Seg; nothing of its code is part of this project."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from tests.parity.official.found import Found, between
from tests.parity.official.theirs_grounded import Absent, detector, resized, sam, stopped


def groundingdino_sam(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run text2seg/text2seg.py, Text2Seg.predict_dino, whose thresholds are those of the case."""
    import torch

    inference = importlib.import_module("groundingdino.util.inference")
    transforms = importlib.import_module("groundingdino.datasets.transforms")
    module = _module(checkout)
    network = detector("groundingdino", folder, spec)
    model = module.Text2Seg.__new__(module.Text2Seg)
    model.device, model.groundingDINO = torch.device("cpu"), network
    model.sam_predictor = importlib.import_module("segment_anything").SamPredictor(
        sam("segment_anything", folder, spec)
    )
    inference.T = SimpleNamespace(**(vars(transforms) | {"Compose": lambda _: resized(transforms, spec["size"])}))
    module.annotate, module.draw_mask = mock.MagicMock(), mock.MagicMock()

    def one(case: dict[str, Any]) -> Found:
        _, pixels = inference.load_image(case["image"])
        asked = [text.lower().strip() for text in case["texts"]]
        asked = [text if text.endswith(".") else f"{text}." for text in asked]
        scores = [network(pixels[None], captions=[text])["pred_logits"].sigmoid()[0].max(1)[0] for text in asked]
        threshold = between(torch.cat(scores).numpy(), 0.4)
        found: list[float] = []

        def predict(**given: Any) -> Any:
            given |= {"box_threshold": threshold, "text_threshold": threshold, "device": "cpu"}
            boxes, logits, phrases = inference.predict(**given)
            found.extend(float(one) for one in logits)
            return boxes, logits, phrases

        module.predict = predict

        def answer() -> Found:
            mask = np.asarray(model.predict_dino(case["image"], list(case["texts"]))[0]).astype(bool)
            return Found(mask=mask, scores=tuple(found), threshold=threshold)

        return stopped(answer, threshold=threshold)

    with torch.no_grad():
        return [one(case) for case in spec["cases"]]


def _module(checkout: Path) -> Any:
    """Import the module; what it imports for its other pipelines is not needed."""
    absent: dict[str, ModuleType] = {
        name: Absent(name) for name in ("IPython", "IPython.display", "CLIP_Surgery", "CLIP_Surgery.clip", "clip")
    }
    setattr(absent["CLIP_Surgery"], "clip", absent["CLIP_Surgery.clip"])  # noqa: B010
    sys.path.insert(0, str(checkout))
    with mock.patch.dict(sys.modules, absent):
        return importlib.import_module("text2seg.text2seg")
