"""The sides that tests/perf/saa.py compares: ours, a literal one on the plain libraries, and the user's own checkout.

Each runs in a process of its own on the same weights, images and thresholds, which lie in a work folder, and writes
``<side>.npz`` (maps at 400 x 400) and ``<side>.json`` (seconds by step, of the clock and the processor, peak memory).
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUT = 400


class Clock:
    """Seconds by step, and those of the processor, which load from elsewhere disturbs less."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def wrap(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``work`` with its time added to a step."""

        def timed(*args: Any, **options: Any) -> Any:
            start, cpu = time.perf_counter(), time.process_time()
            try:
                return work(*args, **options)
            finally:
                self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start
                self.cpu[step] = self.cpu.get(step, 0.0) + time.process_time() - cpu

        return timed


def ours(work: Path, spec: dict[str, Any]) -> tuple[list[NDArray[Any]], Clock]:
    """Run the pipeline saa_plus as a user would, into an empty store."""
    import cv2

    from benchmark.core.samples import Manifest, Sample
    from benchmark.models.choice import choose
    from benchmark.pipelines.saa.pipeline import SegmentAnyAnomaly
    from benchmark.stages.context import Context
    from benchmark.stages.store import Store
    from tests import harness

    clock = Clock()
    maps = []
    for number, threshold in enumerate(spec["thresholds"]):
        settings = SegmentAnyAnomaly.model_validate(
            {**spec["settings"], "thresholds": {"box": threshold, "text": spec["text"]}}
        )
        file = work / f"{number}.png"
        sample = Sample(
            id=file.name,
            image=file,
            mask=None,
            defective=False,
            category="part",
            defect_type="good",
            group=file.name,
            split="test",
            sha256=f"{number}",
        )

        def within(store: Path, sample: Sample = sample) -> Context:
            return Context(
                manifest=Manifest(dataset="perf", samples=(sample,)),
                samples=(sample,),
                store=Store(store),
                workers=0,
                device=spec["device"],
            )

        def predict(context: Context, settings: SegmentAnyAnomaly = settings) -> NDArray[Any]:
            ((_, found),) = harness.predict(settings, context)
            return cv2.resize(found.regions.score_map(), (OUT, OUT))

        context = within(work / "store")
        if number == 0:
            chosen = choose(context, settings.networks(), pipeline="saa_plus")
            settings.detector.load(context, chosen)
            settings.sam.load(context, chosen)
            settings.saliency.backbone.load(context, chosen["saliency"])
            if spec["device"] != "cpu":
                predict(within(work / "warm-up"))  # a GPU is slow the first time

        maps.append(clock.wrap("total", predict)(context))
        for name, stats in context.stats.items():
            clock.seconds[name] = clock.seconds.get(name, 0.0) + stats.seconds
    return maps, clock


def literal(work: Path, spec: dict[str, Any]) -> tuple[list[NDArray[Any]], Clock]:
    """Run the method step by step on the plain libraries, one detector pass per caption."""
    import cv2
    import torch
    from groundingdino.datasets import transforms
    from PIL import Image
    from segment_anything import SamPredictor

    from benchmark.models.grounding_dino_build import load_grounding_dino
    from benchmark.models.sam_build import load_sam
    from tests.perf.saa_literal import proposals, saliency_network, saliency_of_one, score_map

    device, detector = spec["device"], spec["settings"]["detector"]
    network: Any = load_grounding_dino(
        detector["model"], weights=work / "detector.pth", vocabulary=work / "vocab.txt", device=device
    )
    sam = SamPredictor(load_sam(spec["settings"]["sam"]["model"], weights=work / "sam.pth", device=device))
    features = saliency_network(device, weights=work / "saliency.pth")
    prepare = transforms.Compose(
        [
            transforms.RandomResize([detector["short_side"]], max_size=detector["long_side"]),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    clock = Clock()
    ask = clock.wrap("detector", lambda pixels, caption: network(pixels[None].to(device), captions=[caption]))
    embed = clock.wrap("embedding", sam.set_image)
    decode = clock.wrap(
        "masks",
        lambda boxes, size: (
            sam.predict_torch(
                None, None, boxes=sam.transform.apply_boxes_torch(boxes, size).to(device), multimask_output=False
            )[0][:, 0]
            .cpu()
            .numpy()
        ),
    )
    salient = clock.wrap("saliency", lambda image: saliency_of_one(features, image, device))

    def one(number: int) -> NDArray[Any]:
        image = cv2.imread(str(work / f"{number}.png"))
        assert image is not None
        size, threshold = image.shape[:2], spec["thresholds"][number]
        pixels, _ = prepare(Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)), None)
        embed(image)
        objects, _ = proposals(network, ask, pixels, [(spec["object"], None)], threshold, spec["text"], 1.0, size)
        area = objects.area if len(objects.boxes) else 1.0
        decode(objects.boxes, size)
        found, scores = proposals(
            network, ask, pixels, spec["questions"], threshold, spec["text"], area * spec["area"], size
        )
        saliency = salient(image)
        if not len(found.boxes):
            return np.zeros((OUT, OUT))
        return cv2.resize(score_map(decode(found.boxes, size), scores, saliency, spec["k"]), (OUT, OUT))

    with torch.inference_mode():
        if device != "cpu":
            one(0)  # a GPU is slow the first time
            clock.seconds.clear()
            clock.cpu.clear()
        run = clock.wrap("total", one)
        return [run(number) for number in range(len(spec["thresholds"]))], clock


def official(work: Path, spec: dict[str, Any]) -> tuple[list[NDArray[Any]], Clock]:
    """Run the user's checkout of caoyunkang/Segment-Any-Anomaly, branch SAA-plus; nothing of it is part of this."""
    checkout = Path(spec["official"])
    sys.path[:0] = [str(checkout / "GroundingDINO"), str(checkout)]
    import cv2
    import timm
    import torch

    from tests.parity.official.theirs_grounded import detector as their_detector

    create = timm.create_model

    def with_our_weights(model_name: str, pretrained: bool, checkpoint_path: str, **options: Any) -> Any:
        network = create(model_name, pretrained=False, **options)
        network.load_state_dict(torch.load(work / "saliency.pth", weights_only=True))
        return network

    timm.create_model = with_our_weights
    import SAA.model as theirs  # type: ignore[import-not-found]
    from SAM.segment_anything import SamPredictor, sam_model_registry  # type: ignore[import-not-found]

    device, detector = spec["device"], spec["settings"]["detector"]
    model: Any = theirs.Model.__new__(theirs.Model)
    torch.nn.Module.__init__(model)
    sam = sam_model_registry[spec["settings"]["sam"]["model"]]()
    sam.load_state_dict(torch.load(work / "sam.pth", weights_only=True))
    model.anomaly_region_generator = their_detector("GroundingDINO.groundingdino", work, {"size": "full"}).to(device)
    model.anomaly_region_refiner = SamPredictor(sam.eval().to(device))
    model.transform = theirs.T.Compose(
        [
            theirs.T.RandomResize([detector["short_side"]], max_size=detector["long_side"]),
            theirs.T.ToTensor(),
            theirs.T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    model.visual_saliency_extractor = theirs.ModelINet(device=device)
    model.text_threshold, model.out_size, model.device, model.is_sam_set = spec["text"], OUT, device, False
    model.set_ensemble_text_prompts([list(question) for question in spec["questions"]])
    model.object_prompt, model.object_number, model.k_mask = spec["object"], 1, spec["k"]
    model.defect_area_threshold, model.object_max_area, model.object_min_area = spec["area"], 1.0, 0.0
    clock = Clock()
    for step, name in (
        ("detector", "get_grounding_output"),
        ("masks", "region_refine"),
        ("saliency", "visual_saliency_calculation"),
    ):
        setattr(model, name, clock.wrap(step, getattr(model, name)))
    refiner = model.anomaly_region_refiner
    refiner.set_image = clock.wrap("embedding", refiner.set_image)

    def one(number: int) -> NDArray[Any]:
        model.box_threshold = spec["thresholds"][number]
        return np.asarray(model(cv2.imread(str(work / f"{number}.png")))[0])

    with torch.no_grad():
        if device != "cpu":
            one(0)  # a GPU is slow the first time
            clock.seconds.clear()
            clock.cpu.clear()
        run = clock.wrap("total", one)
        return [run(number) for number in range(len(spec["thresholds"]))], clock


def main(side: str, folder: str) -> None:
    """Run one side and write what it found."""
    import torch

    warnings.simplefilter("ignore")
    work = Path(folder)
    spec = json.loads((work / "spec.json").read_text())
    torch.set_num_threads(spec["threads"])
    maps, clock = {"ours": ours, "literal": literal, "official": official}[side](work, spec)
    np.savez(work / f"{side}.npz", *maps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (work / f"{side}.json").write_text(json.dumps({"seconds": clock.seconds, "cpu": clock.cpu, "peak_mb": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
