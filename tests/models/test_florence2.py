"""Florence-2 as a detector: what it is asked, and what of its answer is a box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from benchmark.core.errors import WeightsError
from benchmark.core.samples import Manifest
from benchmark.models import florence2
from benchmark.models.florence2 import FlorenceFamily, boxes_of
from benchmark.models.hf_detector import HfDetectionNetwork
from benchmark.models.toy_tokenizer import clip_letters
from benchmark.stages.context import Context, clear_models
from benchmark.stages.store import Store
from tests.models.hf_models import write_detector
from tests.models.test_hf_detectors import CPU, loaded, option
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfDetectionNetwork:
    """One of random weights, which does not end by itself, and writes some boxes and no more."""
    monkeypatch.setattr(florence2, "MOST_WORDS", 24)
    settings = option(write_detector(tmp_path / "florence2", "florence2"), "pipeline.detector.floor=0")
    manifest = Manifest(dataset="none", samples=())
    found = loaded(Context(manifest=manifest, samples=(), store=Store(tmp_path), workers=0), settings)
    clear_models()
    return found


def test_florence_2_writes_the_boxes_that_its_own_processor_reads(network: HfDetectionNetwork) -> None:
    family: Any = network.family
    image, phrase = picture(3), "black hole"
    found = network.detect(image, [f"{phrase}."], floor=0.0)
    images, words = family.processor, family.tokenizer
    images.image_seq_length, words.image_token, words.image_token_id = 10, "<image>", words.vocab["<image>"]
    rules = {"bboxes": {}, "phrase_grounding": {"banned_grounding_tokens": []}}
    processor = transformers.Florence2Processor(images, words, post_processor_config=rules)
    asked = processor(images=image, text=f"<CAPTION_TO_PHRASE_GROUNDING>{phrase}", return_tensors="pt")
    mine = family.question([phrase])
    assert asked["input_ids"].tolist() == mine["input_ids"].tolist()
    with torch.no_grad():
        family._image.forget()
        written = family.network.generate(**asked, max_new_tokens=24, num_beams=1, do_sample=False)
    text, (height, width) = words.decode(written[0]), image.shape[:2]
    own = processor.post_process_generation(text=text, task="<REGION_PROPOSAL>", image_size=(width, height))
    boxes = np.array(own["<REGION_PROPOSAL>"]["bboxes"], dtype=np.float32)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    assert 0 < len(boxes) == len(found.scores)
    beyond = found.corners(image.shape[:2]) - boxes
    assert (beyond > -1e-3).all() and (beyond < 1).all(), "the library cuts to whole pixels"


def test_places_that_florence_2_writes_are_boxes_by_fours(network: HfDetectionNetwork) -> None:
    family: Any = network.family
    first = "crack<loc_100><loc_200><loc_300><loc_400><loc_5><loc_6><loc_70><loc_6>"
    text = f"{first}dent<loc_1><loc_2><loc_3><loc_999><loc_7>"
    ids = family.tokenizer(text, add_special_tokens=False)["input_ids"]
    sure = [0.5 if family._places.get(token) in (100, 200) else 1.0 for token in ids]
    found = boxes_of(ids, sure, family._places)
    assert [box for box, _ in found] == [[0.1005, 0.2005, 0.3005, 0.4005], [0.0015, 0.0025, 0.0035, 0.9995]]
    assert [score for _, score in found] == pytest.approx([0.25**0.25, 1.0])


def test_a_tokenizer_without_places_is_refused(network: HfDetectionNetwork) -> None:
    family: Any = network.family
    with pytest.raises(WeightsError, match="no words for places"):
        FlorenceFamily(family.network, family.processor, clip_letters(16), device=CPU, captions_per_batch=1)
