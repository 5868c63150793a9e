"""SAM 3 asked in two parts gives what one call gives; a folder of it is found; texts share the stored image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from benchmark.core.errors import ConfigError
from benchmark.models.runtime import Device
from benchmark.models.sam3 import Sam3, load_sam3
from tests.harness import SMALL_SAT, run
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401

CPU = Device(name="cpu")
TEXTS = ["scratch", "black hole"]


@pytest.fixture(scope="module")
def toy() -> Sam3:
    return load_sam3("toy", weights=None, device=CPU)


def test_an_image_encoded_once_is_asked_as_in_one_call(toy: Sam3) -> None:
    images = [picture(0), picture(1)]
    for image, maps in zip(images, toy.encode(images), strict=True):
        scores, presence = toy.ask(maps, TEXTS)
        assert scores.shape == (2, 16, 16) and scores.dtype == np.float32 and presence.shape == (2,)
        assert ((scores > 0) & (scores < 1)).all() and np.abs(scores[0] - scores[1]).max() > 1e-4
        processor = transformers.Sam3Processor(toy.processor, toy.tokenizer)
        for text, score, there in zip(TEXTS, scores, presence, strict=True):
            inputs = processor(images=image, text=text, return_tensors="pt")
            with torch.no_grad():
                own = toy.network(**{n: inputs[n] for n in ("pixel_values", "input_ids", "attention_mask")})
            said = toy.processor.post_process_semantic_segmentation(own, return_segmentation_scores=True)[0]
            np.testing.assert_allclose(score, said["segmentation_scores"][0], atol=1e-5)
            assert there == pytest.approx(float(own.presence_logits.sigmoid()), abs=1e-5)


def test_a_text_that_is_too_long_is_refused(toy: Sam3) -> None:
    with pytest.raises(ConfigError, match="SAM 3 reads 32: shorten it"):
        toy.ask(toy.encode([picture(0)])[0], ["defect " * 6])


def test_a_folder_is_found_and_another_text_reads_the_stored_image(toy: Sam3, tmp_path: Path) -> None:
    folder = tmp_path / "sam3"
    for part in (toy.network, toy.processor, toy.tokenizer):
        part.save_pretrained(folder)
    words = (*SMALL_SAT, "run.limit=2", "pipeline=sam3", f"pipeline.model={folder}")
    first = run(tmp_path, *words).result
    assert first.measured.samples_computed == {"sam3_image": 2, "sam3_answers": 2}
    assert not first.meaningless and len(first.weights[0].sha256) == 64
    second = run(tmp_path, *words, "pipeline.prompts.default=[scratch,dent]").result
    assert second.measured.samples_computed.get("sam3_image", 0) == 0
    assert second.measured.samples_computed["sam3_answers"] == 2 == second.measured.samples_reused["sam3_image"]
