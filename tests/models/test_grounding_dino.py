from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from groundingdino.models.GroundingDINO.ms_deform_attn import multi_scale_deformable_attn_pytorch
from PIL import Image

from benchmark.core.errors import DataError, WeightsError
from benchmark.models.deformable import deformable_attention
from benchmark.models.fusion import Kernels
from benchmark.models.grounding_dino import Detections, GroundingDino, normalise, phrase, scale_for_detector
from benchmark.models.grounding_dino_build import load_grounding_dino
from benchmark.models.runtime import Device
from benchmark.models.toy_tokenizer import LETTERS, bert_tokenizer, toy_tokenizer
from tests.parity.toys import picture, toy_detector
from tests.tiny_models import one_thread  # noqa: F401

CAPTIONS = ["defect.", "damage on metal_nut.", "black hole. scratch.", "a b c?.", "crack."]


def adapter(network: Any, *, batch: int = 8, kernels: Kernels = "fast") -> GroundingDino:
    cpu = Device(name="cpu")
    return GroundingDino(network, device=cpu, short_side=96, long_side=200, captions_per_batch=batch, kernels=kernels)


@pytest.fixture(scope="module")
def detector() -> GroundingDino:
    return adapter(toy_detector())


@pytest.fixture(scope="module")
def published() -> list[tuple[np.ndarray, np.ndarray]]:
    """One whole forward of the library per caption, as the official code does it."""
    network = toy_detector()
    pixels = scale_for_detector(picture(0), short_side=96, long_side=200)
    with torch.no_grad():
        outputs = [network(pixels[None], captions=[caption]) for caption in CAPTIONS]
    return [(o["pred_logits"][0].numpy(), o["pred_boxes"][0].numpy()) for o in outputs]


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_logits_and_boxes_are_the_librarys_however_captions_are_batched(
    published: list[tuple[np.ndarray, np.ndarray]], batch: int
) -> None:
    logits, boxes = adapter(toy_detector(), batch=batch).raw(picture(0), CAPTIONS)
    assert logits.shape == (5, 30, 256) and boxes.shape == (5, 30, 4)
    for i, (expected_logits, expected_boxes) in enumerate(published):
        np.testing.assert_allclose(boxes[i], expected_boxes, atol=1e-5)
        np.testing.assert_allclose(logits[i], expected_logits, atol=1e-4)


def test_the_librarys_kernels_give_the_librarys_bits(published: list[tuple[np.ndarray, np.ndarray]]) -> None:
    exact = adapter(toy_detector(), kernels="library")
    logits, boxes = exact.raw(picture(0), CAPTIONS)
    for i, (expected_logits, expected_boxes) in enumerate(published):
        np.testing.assert_array_equal(logits[i], expected_logits)
        np.testing.assert_array_equal(boxes[i], expected_boxes)


def test_detections_are_the_boxes_above_the_floor(
    detector: GroundingDino, published: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    found = detector.detect(picture(0), CAPTIONS, floor=0.65)
    for i, (logits, boxes) in enumerate(published):
        probabilities = torch.from_numpy(logits).sigmoid().numpy()
        kept = probabilities.max(axis=1) > 0.65
        mine = found.caption == i
        np.testing.assert_allclose(found.boxes[mine], boxes[kept], atol=1e-5)
        np.testing.assert_allclose(found.scores[mine], probabilities[kept].max(axis=1), atol=1e-5)
        np.testing.assert_allclose(found.tokens[mine], probabilities[kept][:, : found.tokens.shape[1]], atol=1e-5)
    assert 0 < len(found.scores) < 150
    assert found.tokens.shape[1] == max(len(p) for p in detector.pieces(CAPTIONS))


def test_a_high_floor_leaves_nothing(detector: GroundingDino) -> None:
    found = detector.detect(picture(0), CAPTIONS, floor=0.9999)
    assert found.boxes.shape == (0, 4) and found.corners((5, 6)).shape == (0, 4)


def test_corners_are_in_pixels_and_not_clipped() -> None:
    boxes = np.array([[0.5, 0.5, 0.5, 1.0], [0.0, 0.0, 0.2, 0.2]], dtype=np.float32)
    none = np.zeros(2, dtype=np.float32)
    found = Detections(boxes=boxes, scores=none, caption=np.zeros(2, dtype=np.int64), tokens=none[:, None])
    np.testing.assert_allclose(found.corners((100, 200)), [[50, 0, 150, 100], [-20, -10, 20, 10]], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((100, 100), (800, 800)), ((500, 333), (1201, 800)), ((373, 196), (1332, 700)), ((196, 373), (700, 1332))],
)
def test_images_are_scaled_as_published(size: tuple[int, int], scaled: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), dtype=np.uint8)
    assert scale_for_detector(image, short_side=800, long_side=1333).shape == (3, *scaled)


def test_scaling_is_pils_bilinear() -> None:
    image = picture(0)
    small = np.asarray(Image.fromarray(image).resize((160, 96), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    expected = (small - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    found = scale_for_detector(image, short_side=96, long_side=200).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 900), (12, 900)])
def test_an_image_too_elongated_is_refused(
    detector: GroundingDino, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector.network, "num_queries", 900)  # as the published networks have
    with pytest.raises(DataError, match="too elongated for GroundingDINO"):
        detector.raw(np.zeros((*size, 3), dtype=np.uint8), CAPTIONS[:1])


@pytest.mark.parametrize(
    ("text", "caption"), [("Defect", "defect."), (" a. B. ", "a. b."), ("", "."), ("what?", "what?.")]
)
def test_captions_are_normalised(text: str, caption: str) -> None:
    assert normalise(text) == caption


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        (
            "metal_nut on it's. don't, x!",
            ("[CLS] metal _ nut on it's. don't, x! [SEP]", "[CLS]ea _u o i '.o ',!", "[CLS]t _t i so t!"),
        ),
        ("black hole. scratch.", ("[CLS] black hole. scratch. [SEP]", "[CLS]lc hl.cac.", "[CLS]a hect.")),
        ("pcb1 a-b?", ("[CLS] pcb1 a - b? [SEP]", "[CLS]c1 -?", "[CLS]b - [SEP]")),
    ],
)
def test_phrases_are_spelt_as_when_the_released_codes_were_written(text: str, spelt: tuple[str, str, str]) -> None:
    # What tokenizer.decode of transformers 4.57.6 gave for every first, second and third piece; 5.x spells "don ' t".
    tokenizer = toy_tokenizer()
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    for step, expected in enumerate(spelt, start=1):
        keep = np.arange(len(pieces)) % step == 0
        assert phrase(pieces, keep.astype(np.float32), 0.5) == expected


def test_words_become_the_ids_of_their_pieces(tmp_path: Path) -> None:
    # A tokenizer that knows no piece gives [UNK] for every word, without an error: boxes would be nonsense.
    vocabulary = tmp_path / "vocab.txt"
    pieces = [f"[unused{i}]" for i in range(1013)]
    for number, piece in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 7: "scratch"}.items():
        pieces[number] = piece  # as in BERT's own file
    pieces[1012], pieces[8], pieces[9] = ".", "##es", "black"
    vocabulary.write_text("\n".join([*pieces, "?"]) + "\n", encoding="utf-8")
    tokenizer = bert_tokenizer(vocabulary)
    assert tokenizer("Black scratches. hole?")["input_ids"] == [101, 9, 7, 8, 1012, 100, 1013, 102]
    assert tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"]) == [101, 102, 1012, 1013]
    assert len(tokenizer) == 1014
    assert toy_tokenizer()("a b. ?")["input_ids"] == [LETTERS.index(p) for p in ("[CLS]", "a", "b", ".", "?", "[SEP]")]


def test_deformable_attention_is_the_librarys() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(7, 9), (4, 5), (2, 3), (1, 1)]
    positions = sum(h * w for h, w in shapes)
    value = torch.randn(2, positions, 4, 8, generator=generator)
    # A fifth of the sampled places lies outside, some exactly on a border.
    places = torch.rand(2, 11, 4, 4, 3, 2, generator=generator) * 1.4 - 0.2
    places[:, :3] = places[:, :3].round()
    weights = torch.rand(2, 11, 4, 4, 3, generator=generator)
    expected = multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), places, weights)
    sizes = torch.tensor([[w, h] for h, w in shapes])[:, None]
    x, y = (places * sizes - 0.5).unbind(-1)
    torch.testing.assert_close(deformable_attention(value, shapes, x, y, weights), expected, atol=1e-5, rtol=1e-5)


def test_a_wrong_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"model": {"transformer.level_embed": torch.zeros(4, 256)}}, path)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(LETTERS))
    with pytest.raises(WeightsError, match="does not fit GroundingDINO"):
        load_grounding_dino("toy", weights=path, vocabulary=vocabulary, device="cpu")
    with pytest.raises(WeightsError, match=r"vocab\.txt"):
        load_grounding_dino("toy", weights=path, vocabulary=None, device="cpu")


def test_a_checkpoint_may_carry_prefixes_and_leftovers(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in toy_detector().state_dict().items()}
    path = tmp_path / "detector.pth"
    torch.save({"model": state | {"module.label_enc.weight": torch.zeros(1)}}, path)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join([*LETTERS, *(f"[unused{i}]" for i in range(128 - len(LETTERS)))]))
    loaded = load_grounding_dino("toy", weights=path, vocabulary=vocabulary, device="cpu")
    assert torch.equal(loaded.transformer.level_embed, state["module.transformer.level_embed"])


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("a\nb\n")
    with pytest.raises(WeightsError, match=r"lacks \[PAD\]"):
        bert_tokenizer(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        bert_tokenizer(tmp_path / "absent.txt")


@pytest.mark.parametrize("extra", ["", "a b", "crack. hole. " * 40])
def test_of_a_long_caption_the_network_reads_what_the_library_reads(extra: str) -> None:
    long = "a. " + " ".join(["b"] * 260) + f" {extra}."
    with torch.no_grad():
        pixels = scale_for_detector(picture(0), short_side=96, long_side=200)
        expected = toy_detector()(pixels[None], captions=[long])
    exact = adapter(toy_detector(), kernels="library")
    logits, boxes = exact.raw(picture(0), [long])
    np.testing.assert_array_equal(logits, expected["pred_logits"].numpy())
    np.testing.assert_array_equal(boxes, expected["pred_boxes"].numpy())
    (pieces,) = exact.pieces([long])
    assert len(pieces) == 256 and exact.detect(picture(0), [long], floor=0.0).tokens.shape[1] == 256
    batched, _ = adapter(toy_detector()).raw(picture(0), ["crack.", long, "hole."])
    np.testing.assert_allclose(batched[1], logits[0], atol=1e-4)
