from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import ViTImageProcessorPil

from benchmark.core.errors import ConfigError
from benchmark.models.clip import token_ids
from benchmark.models.clipseg import load_clipseg, logits, prepare
from benchmark.models.runtime import Device
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401

CPU = Device(name="cpu")


@pytest.mark.parametrize("number", [0, 2, 4])
def test_preparation_and_logits_are_those_of_transformers(number: int) -> None:
    network = load_clipseg("toy", weights=None, device="cpu")
    processor = ViTImageProcessorPil(
        size={"height": 96, "width": 96}, resample=2, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    )
    expected = processor(picture(number), return_tensors="pt").pixel_values
    found = prepare(picture(number), side=96, resize="pixels")
    np.testing.assert_allclose(found.numpy(), expected[0].numpy(), atol=1e-5)
    texts = ["defect", "a scratched metal plate"]
    answers = logits(network, found, texts, device=CPU)
    assert answers.shape == (2, 96, 96)
    for text, answer in zip(texts, answers, strict=True):
        ids = token_ids([text], most=77)
        unpadded = ids[:, : int(ids.argmax()) + 1]  # as transformers' tokenizer gives one text
        with torch.no_grad():
            own = network(input_ids=unpadded, pixel_values=expected).logits
        np.testing.assert_allclose(answer, own.reshape(96, 96).numpy(), rtol=1e-5, atol=1e-4)
    assert np.abs(answers[0] - answers[1]).max() > 1e-4


def test_the_quickstart_normalises_before_it_resizes() -> None:
    image = picture(0)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((torch.from_numpy(image) / 255 - mean) / deviation).permute(2, 0, 1)[None]
    expected = F.interpolate(normalised, (64, 64), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(prepare(image, side=64, resize="tensor").numpy(), expected.numpy(), atol=1e-5)


def test_a_text_that_is_too_long_is_refused() -> None:
    network = load_clipseg("toy", weights=None, device="cpu")
    with pytest.raises(ConfigError, match="shorten it"):
        logits(network, prepare(picture(2), side=64, resize="pixels"), ["defect " * 90], device=CPU)


def test_of_a_text_that_is_too_long_the_beginning_is_read() -> None:
    network = load_clipseg("toy", weights=None, device="cpu")
    pixels, texts = prepare(picture(2), side=64, resize="pixels"), ["defect " * n for n in (75, 90, 74)]
    read = logits(network, pixels, texts, device=CPU, long_texts="truncate")
    np.testing.assert_allclose(read[0], read[1], atol=1e-6)
    assert np.abs(read[0] - read[2]).max() > 1e-6
