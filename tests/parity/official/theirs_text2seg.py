"""The official side of Text2Seg's three pipelines, Douglas2Code/Text2Seg, and of CLIP Surgery + SAM.

Nothing of their code is part of this project. Text2Seg keeps no copy of CLIP Surgery and of OpenAI's ``clip``: both
come from a checkout of xmed-lab/CLIP_Surgery, which brings the second.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import io
import itertools
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from tests.parity.official.found import Found, between
from tests.parity.official.theirs_grounded import Absent, detector, each, resized, sam, stopped


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
    inference.T = SimpleNamespace(**(vars(transforms) | {"Compose": lambda _: resized(transforms, spec["input"])}))
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
        return each(one, spec["cases"])


def sam_clip(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run text2seg/text2seg.py, Text2Seg.predict_CLIP, with the grid of the spec."""
    import torch

    module, model = _text2seg(checkout, folder, spec)
    generator = module.SamAutomaticMaskGenerator
    grid = {name: value for name, value in spec["grid"].items() if name != "points_per_side"}
    module.SamAutomaticMaskGenerator = lambda network, points_per_side: generator(network, points_per_side, **grid)
    retriev = model.retriev

    def one(case: dict[str, Any]) -> Found:
        likely: list[Any] = []

        def asked(elements: Any, text: str) -> Any:
            likely.append(retriev(elements, text))
            return likely[-1]

        model.retriev = asked

        def answer() -> Found:
            mask = np.asarray(
                model.predict_CLIP(case["image"], list(case["texts"]), spec["grid"]["points_per_side"])[0]
            )
            most = torch.stack(likely).amax(0).flatten().numpy()
            scores = tuple(float(score) for score in most if score > 0.05)
            return Found(mask=mask.astype(bool), scores=scores, facts={"masks": len(most)})

        return stopped(answer, threshold=None)

    with torch.no_grad():
        return each(one, spec["cases"])


def clip_surgery_sam_text2seg(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run text2seg/text2seg.py, Text2Seg.predict_CLIPS.

    It resizes a tensor, which the torchvision of its time did without antialias.
    """
    import torch

    module, model = _text2seg(checkout, folder, spec)
    module.Resize = partial(module.Resize, antialias=False)
    choose = module.clips.similarity_map_to_points

    def one(case: dict[str, Any]) -> Found:
        kept: dict[str, Any] = {}

        def chosen(cells: Any, shape: tuple[int, int], t: float) -> Any:
            kept["map"], (points, labels) = _over(cells, shape), choose(cells, shape, t=t)
            kept["facts"] = {"points": len(labels)}
            return points, labels

        module.clips.similarity_map_to_points = chosen

        def answer() -> Found:
            mask = np.asarray(model.predict_CLIPS(case["image"], case["texts"][:1])[0]).astype(bool)
            return Found(mask=mask, **kept)

        return stopped(answer, threshold=None)

    with torch.no_grad():
        return each(one, spec["cases"])


def clip_surgery_sam(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run xmed-lab/CLIP_Surgery: demo.py, its image and texts replaced, its label sets shortened.

    Its last example, of texts combined, is left out. The demo reads an RGB image; other modes are converted first.
    """
    import matplotlib as mpl
    import PIL.Image
    import segment_anything
    import torch

    mpl.use("agg")
    clip, state = openai_clip(spec), _clip_state(folder)
    network = sam("segment_anything", folder, spec)
    source = ast.parse((checkout / "demo.py").read_text(encoding="utf-8"))
    source.body = list(itertools.takewhile(lambda node: not _gives(node, "text"), source.body))

    def load(name: str, **_: Any) -> Any:  # a new one each time: it keeps the positions of its last image's size
        return clip.build_model(name, dict(state)).float(), clip.clip._transform(224)

    def one(case: dict[str, Any]) -> Found:
        given = {"all_texts": ["wood"], "target_texts": [], "texts": case["texts"][:1]}
        script = ast.fix_missing_locations(_Given(given).visit(copy.deepcopy(source)))
        with PIL.Image.open(case["image"]) as opened:
            image = opened.convert("RGB")
        names: dict[str, Any] = {}

        def answer() -> Found:
            with (
                mock.patch.object(PIL.Image, "open", lambda _: image),
                mock.patch.object(clip, "load", load),
                mock.patch.object(segment_anything, "sam_model_registry", {"vit_h": lambda **_: network}),
                mock.patch("matplotlib.pyplot.imshow"),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                exec(compile(script, "demo.py", "exec"), names)
            # The demo scales its map to [0, 1] before it draws it, ours stays as it is.
            drawn = _over(names["similarity"][1:, 0], (image.height, image.width))
            facts = {"points": len(names["labels"])}
            return Found(
                map=drawn, mask=names["mask"].astype(bool), scores=(float(names["scores"].max()),), facts=facts
            )

        return stopped(answer, threshold=None)

    with torch.no_grad():
        return each(one, spec["cases"])


def _gives(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name


def _over(cells: Any, size: tuple[int, int]) -> Any:
    """Draw the similarity of patches, (g * g,), over an image of (H, W)."""
    import torch

    side = round(len(cells) ** 0.5)
    return torch.nn.functional.interpolate(cells.reshape(1, 1, side, side), size, mode="bilinear")[0, 0].numpy()


class _Given(ast.NodeTransformer):
    """Gives names of a script other values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id in self.values:
            node.value = ast.parse(repr(self.values[target.id]), mode="eval").body
        return node


def openai_clip(spec: dict[str, Any]) -> Any:
    """Import CLIP Surgery's copy of OpenAI's ``clip``, with ``build_model`` beside what it exports."""
    from tests.parity.official.theirs_clip import stand_in

    sys.path.insert(0, spec["clip_surgery"])
    stand_in("pkg_resources")
    clip: Any = importlib.import_module("clip")
    clip.build_model = importlib.import_module("clip.build_model").build_model
    return clip


def _clip_state(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "clip.safetensors")


def _text2seg(checkout: Path, folder: Path, spec: dict[str, Any]) -> tuple[Any, Any]:
    """Return the module and its class with CLIP and SAM, without GroundingDINO."""
    import torch

    clip = openai_clip(spec)
    module = _module(checkout, clip)
    model = module.Text2Seg.__new__(module.Text2Seg)
    model.device, model.sam = torch.device("cpu"), sam("segment_anything", folder, spec)
    model.sam_predictor = module.SamPredictor(model.sam)
    model.clip_model = clip.build_model("ViT-B/16", _clip_state(folder)).float()
    model.clip_preprocess = clip.clip._transform(224)
    return module, model


def _module(checkout: Path, clip: Any = None) -> Any:
    """Import the module; what it imports for its other pipelines is not needed."""
    absent: dict[str, Any] = {name: Absent(name) for name in ("IPython", "IPython.display", "CLIP_Surgery")}
    absent |= {name: clip or Absent(name) for name in ("CLIP_Surgery.clip", "clip")}
    setattr(absent["CLIP_Surgery"], "clip", absent["CLIP_Surgery.clip"])  # noqa: B010
    sys.path.insert(0, str(checkout))
    with mock.patch.dict(sys.modules, absent):
        return importlib.import_module("text2seg.text2seg")
