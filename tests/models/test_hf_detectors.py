"""One contract for every family of zero-shot detectors of transformers, and each against the library's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import transformers

from benchmark.config.schema import option_settings
from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.samples import Manifest
from benchmark.models import florence2, pretrained
from benchmark.models.choice import Networks, choose
from benchmark.models.detection_answer import phrases
from benchmark.models.detection_families import CLASSES, make_family
from benchmark.models.grounding_dino import Detections
from benchmark.models.grounding_dino_build import load_grounding_dino
from benchmark.models.hf_detector import HfDetectionNetwork, HfDetector
from benchmark.models.runtime import Device
from benchmark.models.toy_tokenizer import toy_tokenizer
from benchmark.pipelines.saa.proposals import Thresholds, candidate_boxes
from benchmark.stages.context import Context, clear_models
from benchmark.stages.store import Store
from tests.harness import compose
from tests.models.hf_models import DETECTORS, write_detector
from tests.models.official_to_hf import converted
from tests.models.test_grounding_dino import adapter
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401

CAPTIONS = ["black hole. scratch.", "a b c.", "crack."]
CPU = Device(name="cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("detectors")
    return {kind: write_detector(root / kind, kind) for kind in DETECTORS}


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    manifest = Manifest(dataset="none", samples=())
    yield Context(manifest=manifest, samples=(), store=Store(tmp_path), workers=0)
    clear_models()


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Florence-2 of random weights, which does not end by itself, write some boxes and no more."""
    monkeypatch.setattr(florence2, "MOST_WORDS", 24)


def option(folder: Path | str, *words: str) -> HfDetector:
    """The option as a pipeline gets it."""
    chosen = ("detector@pipeline.detector=hf", f"pipeline.detector.model={folder}")
    composed, _ = compose("pipeline=saa_plus", *chosen, *words)
    found = option_settings("pipeline", composed["pipeline"]).detector  # type: ignore[attr-defined]
    assert isinstance(found, HfDetector)
    return found


def loaded(context: Context, settings: HfDetector) -> HfDetectionNetwork:
    return settings.load(context, choose(context, Networks(wanted=settings.wanted()), pipeline="saa_plus"))


def same(one: Detections, other: Detections) -> None:
    np.testing.assert_array_equal(one.caption, other.caption)
    for name in ("boxes", "scores", "tokens"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-5)


@pytest.mark.parametrize("kind", DETECTORS)
def test_every_family_keeps_the_contract(kind: str, folders: dict[str, Path], context: Context) -> None:
    settings = option(folders[kind], "pipeline.detector.nms=none", "pipeline.detector.floor=0")
    network = loaded(context, settings)
    images = [picture(0), picture(1), np.ascontiguousarray(picture(0)[:, ::-1])]  # two of one size go together
    together = settings.find(network, images, CAPTIONS, ["", "", ""])
    pieces = network.pieces(CAPTIONS)
    for image, found in zip(images, together, strict=True):
        assert len(found.scores) > 0 and (np.diff(found.caption) >= 0).all() and found.caption.max() < 3
        assert found.boxes.dtype == found.scores.dtype == found.tokens.dtype == np.float32
        assert np.isfinite(found.boxes).all() and (found.scores > settings.floor).all() and (found.scores <= 1).all()
        assert found.tokens.shape == (len(found.scores), max(len(words) for words in pieces))
        np.testing.assert_array_equal(found.tokens.max(axis=1), found.scores)
        for caption, tokens in zip(found.caption, found.tokens, strict=True):
            assert (tokens[len(pieces[caption]) :] == 0).all()
        same(found, network.detect(image, CAPTIONS, floor=settings.floor))
    words = ("pipeline.detector.nms=none", "pipeline.detector.captions_per_batch=1")
    one_by_one = loaded(context, option(folders[kind], *words))
    same(together[0], one_by_one.detect(images[0], CAPTIONS, floor=settings.floor))
    assert not len(network.detect(images[0], CAPTIONS, floor=1.0).scores)
    facts = settings.facts()
    assert facts["model"] == kind and len(facts["description"]) == 64


PROCESSORS = {
    "grounding-dino": "GroundingDinoProcessor",
    "mm-grounding-dino": "GroundingDinoProcessor",
    "omdet-turbo": "OmDetTurboProcessor",
    "owlv2": "Owlv2Processor",
    "owlvit": "OwlViTProcessor",
}


@pytest.mark.parametrize("kind", sorted(PROCESSORS))
def test_boxes_and_scores_are_those_of_the_librarys_own_processing(
    kind: str, folders: dict[str, Path], context: Context
) -> None:
    image, caption, floor = picture(3), "black hole. scratch.", 0.1
    found = loaded(context, option(folders[kind])).detect(image, [caption], floor=floor)
    folder = str(folders[kind])
    config = pretrained.read_config(folder, of=CLASSES, what="detector")
    cls = getattr(transformers, CLASSES[kind])
    network = pretrained.load_network(cls, config, folders[kind] / "model.safetensors", device="cpu")
    parts = pretrained.image_processor(folder, backend="pil"), pretrained.tokenizer(folder)
    processor = getattr(transformers, PROCESSORS[kind])(*parts)
    words = kind in ("grounding-dino", "mm-grounding-dino")
    text: Any = caption if words else [phrases(caption)]
    inputs = processor(images=image, text=text, return_tensors="pt")
    with torch.no_grad():
        outputs = network(**inputs)
    options: dict[str, Any] = {"threshold": floor, "target_sizes": [image.shape[:2]]}
    if words:
        options["input_ids"] = inputs["input_ids"]
    own = processor.post_process_grounded_object_detection(outputs, **options)[0]
    scores, corners = own["scores"].numpy(), own["boxes"].numpy()
    mine = found.corners(image.shape[:2])
    if kind == "omdet-turbo":  # the library lists a box once for every class above the threshold, and clips it
        height, width = image.shape[:2]
        mine = np.clip(mine, 0, np.array([width, height, width, height], dtype=np.float32))
        pairs = list(zip(scores, corners, strict=True))
        best = [max(score for score, theirs in pairs if np.allclose(theirs, box, atol=1e-2)) for box in mine]
        np.testing.assert_allclose(np.array(best, dtype=np.float32), found.scores, atol=1e-5)
        return
    order, theirs = np.argsort(-found.scores, kind="stable"), np.argsort(-scores, kind="stable")
    np.testing.assert_allclose(found.scores[order], scores[theirs], atol=1e-5)
    np.testing.assert_allclose(mine[order], corners[theirs], atol=1e-2)


@pytest.mark.parametrize("kind", ["omdet-turbo", "owlv2", "florence2"])
def test_a_phrase_that_marks_a_box_as_not_meant_is_asked_beside_the_others(
    kind: str, folders: dict[str, Path], context: Context
) -> None:
    settings = option(folders[kind], "pipeline.detector.nms=none", "pipeline.detector.floor=0")
    assert settings.by_phrase
    network = loaded(context, settings)
    found = settings.find(network, [picture(0)], ["dent on a nut.", "hole."], ["nut", ""])[0]
    pieces = network.pieces(["dent on a nut.", "hole."])
    assert pieces[0] == ["[CLS]", "dent on a nut", "[SEP]"]
    if kind == "florence2":
        found = loaded(context, settings).detect_all([picture(0)], ["nut."], ["nut"], floor=0.0)[0]
        assert (found.tokens[:, 3] >= found.tokens[:, 1] - 1e-6).all(), "a box of the contrast itself is one of it"
        found = settings.find(network, [picture(0)], ["dent on a nut.", "hole."], ["nut", ""])[0]
    assert found.tokens.shape[1] == 4 and found.tokens[found.caption == 0, 3].max() > 0
    np.testing.assert_array_equal(found.scores, found.tokens[:, 1])  # the contrast does not count for the score
    thresholds = Thresholds(box=0.0, text=float(np.median(found.tokens[found.caption == 0, 3])))
    words = [[*pieces[0], "nut"], pieces[1]]
    kept = candidate_boxes(found, words, thresholds=thresholds, dropped=["nut", ""], limit=None, by_phrase=True)
    expected = (found.caption == 1) | (found.tokens[:, 3] <= thresholds.text)
    np.testing.assert_array_equal(kept, np.flatnonzero(expected & (found.boxes[:, 2] * found.boxes[:, 3] > 0)))


def test_of_two_boxes_that_overlap_the_better_stays(folders: dict[str, Path], context: Context) -> None:
    network = loaded(context, option(folders["owlvit"], "pipeline.detector.nms=0.3"))
    free = loaded(context, option(folders["owlvit"]))
    fewer, all_of_them = (n.detect(picture(0), CAPTIONS, floor=0.1) for n in (network, free))
    assert 0 < len(fewer.scores) < len(all_of_them.scores)
    for caption in range(3):
        assert fewer.scores[fewer.caption == caption].max() == all_of_them.scores[all_of_them.caption == caption].max()


@pytest.mark.parametrize("how", ["truncate", "split", "refuse"])
def test_a_phrase_longer_than_the_network_reads(how: str, folders: dict[str, Path], context: Context) -> None:
    settings = option(folders["owlv2"], f"pipeline.detector.long_captions={how}")
    captions = ["dent. aaaa bbbb cccc dddd eeee.", "hole."]  # letters are tokens of the toy: 20 and the special ones
    if how == "refuse":
        with pytest.raises(ConfigError, match="reads 16"):
            settings.fit(context, {}, captions)
        return
    fitted = settings.fit(context, {}, captions)
    assert fitted.question == (0, 1) and bool(fitted.notes) == (how == "truncate")
    parts = phrases(fitted.captions[0])
    assert " ".join(parts) == "dent aaaa bbbb cccc dddd eeee" and (len(parts) > 2) == (how == "split")


def test_what_is_no_detector_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"of the kind bert, which is no zero-shot detector: florence2, grounding"):
        _ = option(tmp_path).by_phrase
    with pytest.raises(ConfigError, match="there is no such folder, and a name of the hub is written OWNER/NAME"):
        option("nowhere")
    with pytest.raises(ConfigError, match="is not set"):
        option_settings("pipeline", compose("pipeline=saa_plus", "detector@pipeline.detector=hf")[0]["pipeline"])


def test_a_tokenizer_that_knows_no_words_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["grounding-dino"].iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(WeightsError, match=r"tokenizer (knows no words|cannot be read)"):
        pretrained.tokenizer(str(tmp_path))
    ids = pretrained.tokenizer(str(folders["grounding-dino"]))("a b.")["input_ids"]
    assert ids == toy_tokenizer()("a b.")["input_ids"] and len(set(ids)) == 5


def test_weights_of_another_model_are_refused(folders: dict[str, Path], context: Context) -> None:
    settings = option(folders["owlv2"], f"pipeline.detector.weights={folders['owlvit'] / 'model.safetensors'}")
    with pytest.raises(WeightsError, match="does not fit Owlv2ForObjectDetection"):
        loaded(context, settings)


def test_a_fingerprint_knows_processor_and_vocabulary(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["owlv2"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = pretrained.description_digest(str(tmp_path))
    assert before == pretrained.description_digest(str(folders["owlv2"]))
    (tmp_path / "preprocessor_config.json").write_text((tmp_path / "preprocessor_config.json").read_text() + " ")
    assert pretrained.description_digest(str(tmp_path)) != before


def test_transformers_grounding_dino_is_the_official_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import groundingdino.models

    real = groundingdino.models.build_model

    def two_layers(settings: Any) -> Any:
        settings.dec_layers = 2  # transformers cannot build one with a single layer
        return real(settings)

    with mock.patch.object(groundingdino.models, "build_model", two_layers):
        official = load_grounding_dino("toy", weights=None, vocabulary=None, device="cpu")
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in official.parameters():
            if not value.any():  # what is zero at first, as the last layers of boxes are
                value.copy_(torch.randn(value.shape, generator=draw) * 0.05)
    special = toy_tokenizer().convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])
    monkeypatch.setattr("transformers.models.grounding_dino.modeling_grounding_dino.SPECIAL_TOKENS", special)
    text = transformers.BertConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    config = transformers.GroundingDinoConfig(
        text_config=text, encoder_layers=1, decoder_layers=2, num_queries=30, encoder_ffn_dim=64, decoder_ffn_dim=64
    )
    network = transformers.GroundingDinoForObjectDetection(config).eval()
    missing, unexpected = network.load_state_dict(converted(official.state_dict()), strict=False)
    assert not unexpected and all("swin.layernorm" in name for name in missing)
    processor = transformers.GroundingDinoImageProcessorPil(size={"shortest_edge": 96, "longest_edge": 200})
    ours = HfDetectionNetwork(
        make_family(network, processor, toy_tokenizer(), device=CPU, captions_per_batch=2), device=CPU, nms=None
    )
    for number in (0, 4):
        pair = [one.detect(picture(number), CAPTIONS, floor=0.0) for one in (adapter(official), ours)]
        assert len(pair[0].scores) == len(pair[1].scores) == 3 * 30
        for caption in range(3):  # as sets: of near ties the order may differ
            first, second = (
                np.concatenate([one.scores[:, None], one.boxes, one.tokens], axis=1)[one.caption == caption]
                for one in pair
            )
            order = [np.lexsort(rows[:, 4::-1].round(3).T) for rows in (first, second)]
            np.testing.assert_allclose(first[order[0]], second[order[1]], atol=1e-4)
