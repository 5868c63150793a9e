"""The official side of WinCLIP and SDP, on LAION's CLIP; nothing of their code is part of this project.

Both repositories bring an ``open_clip`` of their own and write ``.cuda()``; here tensors stay where they are. Their
``test`` is run whole, on a ``meta.json`` of one image, up to the first metric. Maps are drawn over the image itself,
as ours are, where the released codes draw them over the square that CLIP sees, and resize the truth to that.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from tests.parity.official.found import Found
from tests.parity.official.networks import PLUS_SIDE
from tests.parity.official.theirs_grounded import Absent, each, stopped

PLUS = "ViT-B-16-plus-240"
TRUTH = "truth.png"
TINY: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 96, "layers": 12, "width": 128, "patch_size": 16, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
"""As ``toy_plus`` in ``benchmark.models.clip_build``."""


class _Enough(Exception):
    """All that is compared was computed."""


def winclip(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run zqhang/Accurate-WinCLIP-pytorch: reproduce_WinCLIP.py, test, zero-shot or with the good images of a case."""
    import torch

    sys.path[:0] = [str(checkout), str(checkout / "src")]
    stand_in("tabulate")
    theirs = importlib.import_module("reproduce_WinCLIP")
    side = PLUS_SIDE[spec["size"]]
    make = _made_once(theirs.open_clip, "create_customer_model_and_transforms", folder, spec)
    interpolate, ask, remember, scale = (
        torch.nn.functional.interpolate,
        theirs.prepare_text_future,
        theirs.memory,
        theirs.patch_scale,
    )
    theirs.patch_scale = lambda _: scale((side, side))
    theirs.memory = lambda model, _, *rest: remember(model, ["carpet"], *rest)
    theirs.tqdm = lambda images: images
    arguments = SimpleNamespace(model=PLUS, dataset="mvtec", image_size=side, features_list=[], few_shot_features=[])

    def one(case: dict[str, Any]) -> Found:
        # Twice the image: of a batch of one their squeeze() leaves rows.
        meta = {"train": {"carpet": _listed(case["good"])}, "test": {"carpet": _listed([case["image"]] * 2)}}
        arguments.data_path, arguments.save_path = _written(folder, meta), str(folder)
        arguments.k_shot = len(case["good"])
        theirs.prepare_text_future = lambda model, _: ask(model, [case["category"]])
        theirs.F = SimpleNamespace(
            normalize=torch.nn.functional.normalize,
            interpolate=lambda cells, size, mode: interpolate(cells, size=_size(case["image"]), mode=mode),
        )
        kept: list[Any] = []

        def metric(_: Any, predicted: Any) -> float:
            kept.append(predicted)
            if len(kept) == 2:
                raise _Enough
            return 0.0

        theirs.roc_auc_score = metric

        def answer() -> Found:
            try:
                theirs.test(arguments)
            except _Enough:
                drawn, scores = np.asarray(kept[0]).reshape(2, *_size(case["image"])), kept[1]
                return Found(map=drawn[0], scores=(float(scores[0]),))
            raise AssertionError("no metric was asked for")

        return stopped(answer, threshold=None)

    with (
        mock.patch.object(theirs.open_clip, "create_customer_model_and_transforms", make),
        mock.patch.object(torch.Tensor, "cuda", lambda self, *_: self),
        mock.patch.object(torch, "randint", lambda _, high, size: torch.arange(size[0]) % high),
        torch.no_grad(),
    ):
        return each(one, spec["cases"])


def sdp(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run ByChelsea/CLIP-AD: test.py, test, with ``rep_vec=dbscan``.

    Its vectors of texts are half precision, which a processor does not multiply with the image's single one; they are
    widened behind the rounding.
    """
    import torch

    sys.path[:0] = [str(checkout)]
    stand_in("tabulate", "pkg_resources")
    theirs = importlib.import_module("test")
    side = PLUS_SIDE[spec["size"]]
    make, ask = (
        _made_once(theirs.open_clip, "create_model_and_transforms", folder, spec),
        theirs.encode_text_with_prompt_ensemble,
    )
    theirs.encode_text_with_prompt_ensemble = lambda *given: {
        text: found.float() for text, found in ask(*given).items()
    }
    theirs.open_clip.create_model_and_transforms = make
    theirs.init_logger, theirs.tqdm = mock.MagicMock(), lambda images, **_: images
    arguments = SimpleNamespace(
        model=PLUS,
        pretrained=None,
        dataset="mvtec",
        image_size=side,
        features_list=[3, 6, 9, 12],
        rep_vec="dbscan",
        batch_size=1,
        obj_name=None,
        smoothing=8,
        save_path=str(folder),
    )

    def one(case: dict[str, Any]) -> Found:
        arguments.data_path = _written(folder, {"test": {case["category"]: _listed([case["image"]], case["category"])}})
        kept: dict[str, Any] = {}

        def metrics(results: dict[str, Any], *_: Any) -> None:
            kept.update(results)
            raise _Enough

        theirs.calculate_metrics = metrics

        def answer() -> Found:
            try:
                theirs.test(arguments)
            except _Enough:
                square = torch.from_numpy(kept["pr_px"][0])[None, None]
                drawn = torch.nn.functional.interpolate(square, _size(case["image"]), mode="bilinear")[0, 0].numpy()
                return Found(map=drawn, scores=(float(kept["pr_sp0"][0]),))
            raise AssertionError("no metric was asked for")

        return stopped(answer, threshold=None)

    return each(one, spec["cases"])


def stand_in(*names: str) -> None:
    """Stand in for libraries that are imported but not needed here, where they are not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = Absent(name)
            sys.modules[name].__spec__ = ModuleSpec(name, None)
    if isinstance(sys.modules.get("pkg_resources"), Absent):
        sys.modules["pkg_resources"].packaging = importlib.import_module("packaging")  # type: ignore[attr-defined]
        importlib.import_module("packaging.version")


def _made_once(open_clip: Any, name: str, folder: Path, spec: dict[str, Any]) -> Callable[..., Any]:
    """Return their function that makes the network, which then makes it once, with the weights of the folder."""
    from safetensors.torch import load_file

    make = getattr(open_clip, name)
    if spec["size"] == "tiny":
        open_clip.factory._MODEL_CONFIGS[PLUS] = TINY
    made: list[Any] = []

    def once(*given: Any, **_: Any) -> Any:
        if not made:
            network, *rest = make(*given)
            network.load_state_dict(load_file(folder / "clip.safetensors"))
            made.append((network.eval(), *rest))
        return made[0]

    return once


def _listed(images: list[str], category: str = "carpet") -> list[dict[str, Any]]:
    # Called defective, with the truth that _written makes: the one made up for good images breaks under a new Pillow.
    plain = {"mask_path": TRUTH, "cls_name": category, "specie_name": "any", "anomaly": 1}
    return [{"img_path": image, **plain} for image in images]


def _written(folder: Path, meta: dict[str, Any]) -> str:
    from PIL import Image

    Image.new("L", (8, 8)).save(folder / TRUTH)
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return str(folder)


def _size(image: str) -> tuple[int, int]:
    from PIL import Image

    with Image.open(image) as opened:
        return opened.height, opened.width
