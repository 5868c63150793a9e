"""Taggers: the vocabulary with a tiny CLIP, RAM's interface with a stand-in, and votes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config.options import options
from benchmark.config.schema import option_settings
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Manifest, Sample
from benchmark.models.choice import Networks, ResolvedWeights, choose
from benchmark.pipelines.iap.objects import by_vote, plain_phrase, without_words
from benchmark.pipelines.iap.taggers.base import ROLE, ImageTags, Tag, plain_name
from benchmark.pipelines.iap.taggers.clip_vocab import OWN_WORDS, read_words
from benchmark.pipelines.iap.taggers.ram import prepared, tags_of
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from benchmark.weights.used import WeightsUsed
from tests.harness import compose
from tests.pipelines.vlm.toys import images
from tests.tiny_models import TAGGER, one_thread  # noqa: F401


def tagger(name: str, *overrides: str) -> Any:
    values, _ = compose("pipeline=iap_as", f"tagger@pipeline.tagger={name}", *overrides)
    return option_settings("pipeline.tagger", values["pipeline"]["tagger"])


def context(folder: Path, samples: tuple[Sample, ...]) -> Context:
    manifest = Manifest(dataset="toy", samples=samples)
    return Context(manifest=manifest, samples=samples, store=Store(folder / "store"), workers=0)


@pytest.mark.parametrize("name", options("tagger"))
def test_every_tagger_composes_into_the_pipeline(name: str) -> None:
    assert type(tagger(name)).__module__.startswith("benchmark.pipelines.iap.taggers.")


def test_the_vocabulary_is_of_objects_and_has_no_defects_or_colours() -> None:
    words = read_words(OWN_WORDS)
    assert 200 <= len(words) <= 400 and len(set(words)) == len(words)
    dropped = set(compose("pipeline=iap_as")[0]["pipeline"]["object"]["dropped_words"])
    assert not [word for word in words if dropped & set(word.split())]


def test_the_nearest_words_are_the_tags_and_are_computed_once(tmp_path: Path) -> None:
    from benchmark.models.clip_stages import tokens_stage

    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("# things\nscrew\nnut  # of metal\n\ncarpet\nscrew\n", encoding="utf-8")
    chosen = tagger("clip_vocab", *TAGGER, f"pipeline.tagger.vocabulary={vocabulary}", "pipeline.tagger.number=2")
    assert chosen.words() == ("screw", "nut", "carpet")
    where = context(tmp_path, images(tmp_path / "images", 3, side=40))
    weights = choose(where, Networks(wanted=chosen.wanted(), allow_random=True), pipeline="iap_as")
    found = chosen.look(where, weights, where.samples, dataset="toy", category="toy").images
    assert [len(one.tags) for one in found] == [2, 2, 2]
    clip = {"clip": weights[ROLE]}
    network = chosen.clip.load(where, clip)
    texts = np.stack([network.text([t.format(w) for t in chosen.templates]) for w in chosen.words()])
    ((_, tokens),) = where.run(
        tokens_stage(where, chosen.clip, clip, surgery=0, image_path="squashed"), [found[0].sample]
    )
    seen = tokens["tokens"][0]
    cosines = dict(zip(chosen.words(), texts @ seen / np.linalg.norm(seen), strict=True))
    best = sorted(cosines, key=lambda word: -cosines[word])[:2]
    assert [tag.word for tag in found[0].tags] == best
    assert found[0].tags[0].score == pytest.approx(float(cosines[best[0]]), abs=1e-5)
    again = chosen.look(where, weights, where.samples, dataset="toy", category="toy").images
    assert again == found and where.stats["clip_vocabulary"].computed == 1 and where.stats["clip_tokens"].computed == 3


def test_a_vocabulary_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.txt"):
        tagger("clip_vocab", f"pipeline.tagger.vocabulary={tmp_path / 'nowhere.txt'}").check()
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="no word"):
        tagger("clip_vocab", f"pipeline.tagger.vocabulary={tmp_path / 'empty.txt'}").check()


def test_ram_is_asked_as_its_authors_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: dict[str, Any] = {}

    class Network(torch.nn.Module):
        pass

    def build(**given: Any) -> Network:
        built.update(given)
        return Network()

    package, models = ModuleType("ram"), ModuleType("ram.models")
    package.__spec__ = models.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("ram", None)
    package.inference_ram = lambda pixels, network: (f"metal | nut | {tuple(pixels.shape)[1]}", "中文")  # type: ignore[attr-defined]
    models.ram = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ram", package)
    monkeypatch.setitem(sys.modules, "ram.models", models)
    chosen = tagger("ram")
    chosen.check()
    where = context(tmp_path, images(tmp_path / "images", 2))
    used = WeightsUsed(name="ram", sha256="0" * 64, licence=None, trained_on=None, target_data=None)
    weights = {ROLE: ResolvedWeights(sha256="0" * 64, path=tmp_path / "ram.pth", used=used)}
    found = chosen.look(where, weights, where.samples, dataset="toy", category="toy").images
    assert [tag.word for tag in found[0].tags] == ["metal", "nut", "3"]
    assert built == {"pretrained": str(tmp_path / "ram.pth"), "image_size": 384, "vit": "swin_l"}
    assert prepared(np.zeros((5, 9, 3), np.uint8), 384).shape == (3, 384, 384)


@pytest.mark.parametrize(
    ("answer", "tags"),
    [
        (("a | b  c | ", "x"), ("a", "b  c")),
        ("a | b", ("a", "b")),
        ((["a", "b"], ["x"]), ("a", "b")),
    ],
)
def test_public_copies_of_ram_answer_in_two_ways(answer: Any, tags: tuple[str, ...]) -> None:
    assert tags_of(answer) == tags


def test_a_copy_of_ram_that_gives_probabilities_is_refused() -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        tags_of((torch.zeros(3), None))


def test_votes_go_by_images_then_certainty_then_the_alphabet() -> None:
    seen = [
        (("nut", 0.2), ("tile", 0.9)),
        (("nut", 0.3), ("wall", 0.95), ("floor", 0.95)),
        (("nut", 0.1), ("nut", 0.1)),
    ]
    tagged = [ImageTags(sample=None, tags=tuple(Tag(*t) for t in tags)) for tags in seen]  # type: ignore[arg-type]
    assert [name.text for name in by_vote(tagged, 4)] == ["nut", "floor", "wall", "tile"]
    kept = without_words(tagged, ["NUT"])
    assert [[t.word for t in one.tags] for one in kept] == [["tile"], ["wall", "floor"]]


def test_names_are_plain_phrases() -> None:
    assert plain_name("Metal_nut") == "metal nut" and plain_name("tile") == "tile"
    assert plain_phrase("[CLS] metal. nut [SEP]") == "metal nut"


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [("iap_as", "write tagger@pipeline.tagger=…"), ("constant", "the chosen pipeline has no tagger")],
)
def test_a_tagger_without_its_place_is_explained(pipeline: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose(f"pipeline={pipeline}", "tagger=ram")
