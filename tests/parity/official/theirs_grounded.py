"""The official side of the methods on GroundingDINO and SAM; nothing of their code is part of this project."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from tests.parity.official.found import Found, between
from tests.parity.official.networks import SAM

TINY_LANGUAGE = {
    "vocab_size": 128,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
"""As in ``benchmark.models.grounding_dino_build``."""


def detector(package: str, folder: Path, spec: dict[str, Any]) -> Any:
    """Build the GroundingDINO of an importable package, tiny or full, and give it the weights of the folder."""
    import torch
    from transformers import BertConfig, BertModel

    from benchmark.models.bert_encoder import BertEncoder
    from benchmark.models.toy_tokenizer import bert_tokenizer

    words = bert_tokenizer(folder / "vocab.txt")
    tiny = spec["size"] == "tiny"
    language = BertConfig(**(TINY_LANGUAGE if tiny else {}), attn_implementation="eager")
    tokenlizer = importlib.import_module("groundingdino.util.get_tokenlizer")
    models, config = importlib.import_module(f"{package}.models"), importlib.import_module(f"{package}.util.slconfig")
    file = Path(str(models.__file__)).parents[1] / "config" / "GroundingDINO_SwinT_OGC.py"
    settings = config.SLConfig.fromfile(str(file))
    settings.device, settings.use_checkpoint, settings.use_transformer_ckpt = "cpu", False, False
    if tiny:
        settings.enc_layers = settings.dec_layers = 1
        settings.num_queries, settings.dim_feedforward = 30, 64
    with (
        mock.patch.object(tokenlizer, "get_tokenlizer", lambda _: words),
        mock.patch.object(tokenlizer, "get_pretrained_language_model", lambda _: BertModel(language)),
        mock.patch(f"{package}.models.GroundingDINO.groundingdino.BertModelWarper", BertEncoder),
    ):
        network = models.build_model(settings)
    network.load_state_dict(torch.load(folder / "detector.pth", weights_only=True)["model"], strict=False)
    return network.eval()


def sam(package: str, folder: Path, spec: dict[str, Any]) -> Any:
    """Build the SAM of an importable package, tiny or ViT-B, and give it the weights of the folder."""
    import torch

    from benchmark.models import sam_build

    names = {"segment_anything": package, "segment_anything.modeling": f"{package}.modeling"}
    theirs = {ours: importlib.import_module(name) for ours, name in names.items()}
    with mock.patch.dict(sys.modules, theirs):
        network = sam_build._make(SAM[spec["size"]])  # type: ignore[arg-type]
    network.load_state_dict(torch.load(folder / "sam.pth", weights_only=True))
    return network.eval()


def resized(transforms: Any, sides: Sequence[int]) -> Any:
    """Return the official preparation of an image for the detector, short and long side of its input given."""
    short, long = sides
    normal = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return transforms.Compose([transforms.RandomResize([short], max_size=long), transforms.ToTensor(), normal])


def saa_plus(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run caoyunkang/Segment-Any-Anomaly, branch SAA-plus: SAA/model.py, Model.forward."""
    sys.path[:0] = [str(checkout / "GroundingDINO"), str(checkout)]
    import cv2
    import timm
    import torch

    create = timm.create_model

    def with_our_weights(model_name: str, pretrained: bool, checkpoint_path: str, **options: Any) -> Any:
        network = create(model_name, pretrained=False, **options)
        network.load_state_dict(torch.load(folder / "saliency.pth", weights_only=True))
        return network

    with mock.patch.object(timm, "create_model", with_our_weights):
        theirs = importlib.import_module("SAA.model")
        model: Any = theirs.Model.__new__(theirs.Model)
        torch.nn.Module.__init__(model)
        model.visual_saliency_extractor = theirs.ModelINet(device="cpu")
    model.anomaly_region_generator = detector("GroundingDINO.groundingdino", folder, spec)
    predictor = importlib.import_module("SAM.segment_anything").SamPredictor
    model.anomaly_region_refiner = predictor(sam("SAM.segment_anything", folder, spec))
    model.transform = resized(theirs.T, spec["input"])
    model.device, model.out_size = "cpu", 400
    side, resize, compared = spec["between"], cv2.resize, model.visual_saliency_calculation

    def smaller(image: Any, size: tuple[int, int], **options: Any) -> Any:
        return resize(image, (side, side) if size == (1024, 1024) else size, **options)

    def saliency(*given: Any) -> Any:
        with mock.patch.object(cv2, "resize", smaller):
            return compared(*given)

    model.visual_saliency_calculation = saliency

    def one(case: dict[str, Any]) -> Found:
        model.is_sam_set = False
        model.visual_saliency_extractor.set_img_size(side)
        model.set_ensemble_text_prompts([list(question) for question in case["questions"]])
        model.object_prompt, model.object_number, model.k_mask = case["object"], case["number"], case["k"]
        model.object_max_area, model.object_min_area = 1 / case["number"], 0.0
        model.defect_area_threshold = case["area"]
        image = cv2.imread(case["image"])
        assert image is not None, f"OpenCV does not read {case['image']}"
        pixels, _ = model.transform(theirs.Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)), None)
        _, asked, _ = model.get_grounding_output(pixels, case["object"])
        share = spec["boxes"] / len(asked) if spec["boxes"] else 0.4
        model.box_threshold = model.text_threshold = between(asked.max(1)[0].numpy(), share)
        kept: dict[str, Any] = {}

        def fuse(masks: Any, scores: Any, saliency: Any) -> Any:
            kept["scores"] = np.asarray(scores)
            drawn = {}
            with mock.patch.object(theirs.cv2, "resize", lambda whole, _: drawn.setdefault("map", whole)):
                theirs.Model.confidence_prompting(model, masks, scores, saliency)
            return drawn["map"]

        model.confidence_prompting = fuse
        return stopped(lambda: _as_found(model(image)[0], kept["scores"], model), threshold=model.box_threshold)

    with torch.no_grad():
        return each(one, spec["cases"])


def _as_found(drawn: Any, scores: Any, model: Any) -> Found:
    drawn = np.asarray(drawn, dtype=np.float64)
    return Found(
        map=drawn,
        mask=drawn > 0,
        scores=tuple(float(s) for s in np.sort(scores)[-model.k_mask :] if s > 0),
        threshold=model.box_threshold,
    )


def stopped(work: Callable[[], Found], *, threshold: float | None) -> Found:
    """Carry out a case; an error of the official code is its answer."""
    try:
        return work()
    except Exception as error:
        return Found(stopped=f"{type(error).__name__}: {str(error)[:80]}", threshold=threshold)


def each(one: Callable[[dict[str, Any]], Found], cases: Sequence[dict[str, Any]]) -> list[Found]:
    """Carry out the cases; an error before there is a threshold is an answer too."""
    return [stopped(partial(one, case), threshold=None) for case in cases]


class Absent(ModuleType):
    """A library that a module of the official code imports but that no step here uses."""

    __path__ = ()
    __all__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=f"{self.__name__}.{name}")


def iap_functions(checkout: Path) -> Any:
    """Import sybeam27/IAP-ZSAS:utils/function.py; its GroundingDINO, which it lacks, is the importable one."""
    absent = ("diffusers", "spacy", "ram", "ram.models", "huggingface_hub", "matplotlib", "matplotlib.pyplot")
    theirs = ("SAA", "datasets", "utils", "utils.csv_utils", "utils.eval_utils", "utils.training_utils")
    names = (*absent, "SegmentAnything", "SegmentAnything.GroundingDINO", *(f"SegmentAnything.{n}" for n in theirs))
    stand_ins: dict[str, ModuleType] = {name: Absent(name) for name in names}
    parts = ("", ".datasets", ".datasets.transforms", ".models", ".util")
    files = ("box_ops", "inference", "slconfig", "utils")
    for part in (*parts, *(f".util.{name}" for name in files)):
        module = importlib.import_module(f"groundingdino{part}")
        stand_ins[f"SegmentAnything.GroundingDINO.groundingdino{part}"] = module
    metrics = importlib.util.spec_from_file_location("metrics", checkout / "SegmentAnything" / "utils" / "metrics.py")
    assert metrics is not None and metrics.loader is not None
    stand_ins["SegmentAnything.utils.metrics"] = importlib.util.module_from_spec(metrics)
    metrics.loader.exec_module(stand_ins["SegmentAnything.utils.metrics"])
    for name, module in stand_ins.items():  # ``import a.b as c`` looks for b in a
        parent, _, child = name.rpartition(".")
        if isinstance(stand_ins.get(parent), Absent):
            setattr(stand_ins[parent], child, module)
    spec = importlib.util.spec_from_file_location("iap_function", checkout / "utils" / "function.py")
    assert spec is not None and spec.loader is not None
    functions = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, stand_ins):
        spec.loader.exec_module(functions)
    return functions


class _Answering:
    """A language model, and its tokenizer, that give one answer."""

    device = "cpu"
    eos_token_id = 0

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def apply_chat_template(self, messages: Any, **_: Any) -> Any:
        import torch

        self.asked.append(messages)
        return torch.zeros((1, 1), dtype=torch.long)

    def convert_tokens_to_ids(self, _: str) -> int:
        return 0

    def generate(self, ids: Any, **_: Any) -> Any:
        return ids

    def decode(self, *_: Any, **__: Any) -> str:
        return self.answer


def in_order(parts: Any) -> list[str]:
    """Stand in for ``set`` in their ``clean_string``, whose order differs from process to process."""
    return sorted(dict.fromkeys(parts), key=lambda part: (not part, part))


def iap_as(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run sybeam27/IAP-ZSAS: the steps of test_zsas.py in its own functions, for one good and one test image."""
    if spec["groundingdino"]:
        sys.path.insert(0, spec["groundingdino"])
    import torch

    fn = iap_functions(checkout)
    fn.set = in_order
    network = detector("groundingdino", folder, spec)
    sam_model = importlib.import_module("segment_anything").SamPredictor(sam("segment_anything", folder, spec))
    transforms = fn.T
    fn.T = SimpleNamespace(**(vars(transforms) | {"Compose": lambda _: resized(transforms, spec["input"])}))
    cpu = torch.device("cpu")

    def tag(case: dict[str, Any], threshold: float) -> tuple[str, float]:
        fn.inference_ram = lambda *_: (case["tags"],)
        phrases: list[str] = []
        scores: list[Any] = []
        limits = (threshold, threshold, 0.5, cpu)
        fn.process_single_image(case["good"], mock.MagicMock(), network, *limits, phrases, scores)
        return phrases[0], float(scores[0])

    def one(case: dict[str, Any]) -> Found:
        image, source, raw, *_ = fn.load_image(case["image"], case["image"])
        good, *_ = fn.load_image(case["good"], case["good"])
        written = case["tags"].strip(" ").replace("  ", " ").replace(" |", ".")
        logits = fn.get_grounding_output(network, good, written, -1.0, 0.0, cpu, with_logits=False)[2]
        threshold = between(logits.numpy(), 0.6)

        def answer() -> Found:
            name, score = tag(case, threshold)
            model = _Answering(case["answer"])
            caption = fn.process_anomaly_tags_2(model, model, [name])
            *_, size = fn.process_object_output(network, image, name, threshold, threshold, raw, 0.5, cpu)
            boxes, words, scores = fn.process_box_output(network, image, caption, threshold, threshold, cpu, raw, 0.5)
            candidates = len(boxes)
            boxes, words, scores = fn.process_size_output(raw, size, boxes, words, scores, 0.8)
            masks, _, scores = fn.process_anomaly_segmentation(raw, source, sam_model, boxes, scores, cpu)
            maps = [masks[i].cpu().numpy() * scores[i].item() for i in range(len(masks))]
            drawn = fn.normalize(np.sum(maps, axis=0)[0])
            return Found(
                map=np.asarray(drawn),
                mask=(sum(masks[i][0] for i in range(len(masks))) > 0).numpy(),
                scores=tuple(float(s) for s in scores if float(s) > 0),
                facts={
                    "object": name,
                    "object score": round(score, 5),
                    "caption": caption.lower().strip(),
                    "object size": round(float(size), 5),
                    "candidates": candidates,
                },
                threshold=threshold,
            )

        return stopped(answer, threshold=threshold)

    with torch.no_grad():
        return each(one, spec["cases"])
