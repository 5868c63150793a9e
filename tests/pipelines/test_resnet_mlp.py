"""The supervised baseline: folds, thresholds, leakage, determinism, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.config.schema import option_settings
from benchmark.core.errors import DataError, WeightsError
from benchmark.core.samples import Manifest, Prediction, Sample
from benchmark.models import head
from benchmark.pipelines.resnet_mlp import ResnetMlp, fold_scores
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import compose, plan_of, predict

HEAD = head.Head(hidden=(8,), alpha=0.01, epochs=60, balance=True)


def settings(**changes: Any) -> ResnetMlp:
    network = {key: changes.pop(key) for key in ("weights", "side") if key in changes}
    name = changes.pop("backbone", "resnet18")
    values = compose("pipeline=resnet_mlp", f"backbone@pipeline.backbone={name}")[0]["pipeline"]
    values["backbone"] |= {"weights": "random", "side": 32, **network}
    toy = {"epochs": 40, "hidden": [8], "inner_folds": 2}
    built = option_settings("pipeline", {**values, **toy, **changes})
    assert isinstance(built, ResnetMlp)
    return built


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    """40 grey images in groups of two; the 16 defective ones have a bright square."""
    import hashlib

    from PIL import Image

    folder = tmp_path_factory.mktemp("toy")
    draw = np.random.default_rng(0)
    made = []
    for i in range(40):
        defective = i < 16
        pixels = draw.integers(60, 120, (36 + i % 3, 40), dtype=np.uint8)
        if defective:
            pixels[8:24, 10:26] = 250
        path = folder / f"{i:02}.png"
        Image.fromarray(pixels).save(path)
        made.append(
            Sample(
                id=path.name,
                image=path,
                mask=None,
                defective=defective,
                category="left" if i % 4 < 2 else "right",
                defect_type="square" if defective else "good",
                group=f"g{i // 2}",
                split="test",
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        )
    return tuple(made)


def context(samples: tuple[Sample, ...], root: Path, *, seed: int = 0, **options: Any) -> Context:
    manifest = Manifest(dataset="toy", samples=samples)
    return Context(manifest=manifest, samples=samples, store=Store(root), seed=seed, device="cpu", workers=0, **options)


def facts(pairs: list[tuple[Sample, Prediction]]) -> list[tuple[str, float | None, bool | None, Any, Any]]:
    return [(s.id, p.image_score, p.label, p.extra["fold"], p.extra["threshold"]) for s, p in pairs]


def test_every_sample_is_predicted_once_in_order_and_groups_stay_whole(
    tree: tuple[Sample, ...], tmp_path: Path
) -> None:
    ran = context(tree, tmp_path)
    pairs = predict(settings(), ran)
    assert [s.id for s, _ in pairs] == [s.id for s in tree]
    fold_of_group: dict[str, Any] = {}
    for sample, prediction in pairs:
        assert prediction.image_score is not None
        assert 0 <= prediction.image_score <= 1
        assert prediction.label == (prediction.image_score >= prediction.extra["threshold"])
        assert fold_of_group.setdefault(sample.group, prediction.extra["fold"]) == prediction.extra["fold"]
    assert {p.extra["fold"] for _, p in pairs} == set(range(5))
    right = sum(p.label == s.defective for s, p in pairs)
    assert right >= 36, "bright squares are easy to tell, even from random features"


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    cold = context(tree, tmp_path)
    first = facts(predict(settings(), cold))
    warm = context(tree, tmp_path)
    assert facts(predict(settings(batch_size=3), warm)) == first
    assert warm.stats["resnet_features"].computed == 0
    elsewhere = context(tree, tmp_path / "other")
    assert facts(predict(settings(batch_size=3), elsewhere)) == first
    assert facts(predict(settings(), context(tree, tmp_path, seed=1))) != first


def test_threshold_policies_share_the_probabilities(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    fixed = facts(predict(settings(threshold=0.5), context(tree, tmp_path)))
    chosen = facts(predict(settings(threshold="f2_inner"), context(tree, tmp_path)))
    assert {row[4] for row in fixed} == {0.5}
    assert [row[1] for row in fixed] == [row[1] for row in chosen]
    assert len({(row[3], row[4]) for row in chosen}) == 5


def test_an_image_that_cannot_be_read_is_left_to_the_run(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    from dataclasses import replace

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    samples = (*tree, replace(tree[-1], id="broken.png", image=broken, group="broken", sha256="0" * 64))
    with pytest.raises(DataError, match=r"broken\.png"):
        predict(settings(), context(samples, tmp_path))
    ran = context(samples, tmp_path, on_error="record")
    assert len(predict(settings(), ran)) == len(tree)
    assert set(ran.failed) == {"broken.png"}


def test_one_class_only_is_refused_before_any_work(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    ran = context(tree[:10], tmp_path)
    with pytest.raises(DataError, match="all 10 samples are defective"):
        predict(settings(), ran)
    assert not ran.stats


def test_too_few_groups_are_refused_with_the_fix(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    few = tree[:6] + tree[16:]
    with pytest.raises(DataError, match=r"at least 5 groups with defective images, there are 3 \(6 images\)"):
        predict(settings(), context(few, tmp_path))
    assert len(predict(settings(folds=3, threshold=0.5), context(few, tmp_path))) == len(few)


def test_missing_imagenet_weights_end_the_run_before_any_work(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    ran = context(tree, tmp_path, weights_root=tmp_path / "none_here")
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth[\s\S]*make weights PIPELINE=resnet18_imagenet"):
        predict(settings(weights="published"), ran, option="resnet_mlp")
    assert not ran.stats


def test_the_choice_of_weights_is_checked(tree: tuple[Sample, ...], tmp_path: Path) -> None:
    assert settings(weights="published", backbone="resnet50").networks().registered() == ("resnet50_imagenet",)
    assert settings(weights="resnet50_imagenet_v2", backbone="resnet50").networks().registered() == (
        "resnet50_imagenet_v2",
    )
    assert settings(weights="random").networks().registered() == ()
    assert settings(weights="folder/own.pth").networks().registered() == ()
    with pytest.raises(WeightsError, match="no weights file at"):
        plan_of(settings(weights=str(tmp_path / "absent.pth")), context(tree, tmp_path))


def test_the_weights_that_took_part_are_recorded(
    tree: tuple[Sample, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import torchvision

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    ran = context(tree, tmp_path)
    (none,) = plan_of(settings(), ran).distinct
    assert set(ran.weights) == {"resnet18 with random initial values"}
    own = tmp_path / "own.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), own)
    ran = context(tree, tmp_path)
    (mine,) = plan_of(settings(weights=str(own)), ran).distinct
    assert ran.weights["own.pth"].trained_on is None
    assert len(ran.weights["own.pth"].sha256) == 64
    assert none.fingerprint != mine.fingerprint
    predict(settings(weights=str(own)), ran)


def test_the_inner_threshold_never_sees_the_held_out_fold() -> None:
    draw = np.random.default_rng(1)
    labels = np.arange(60) % 3 == 0
    features = draw.normal(labels[:, None] * 1.5, 1, (60, 4)).astype(np.float32)
    groups = np.arange(60)
    options: dict[str, Any] = {"folds": 3, "head": HEAD, "threshold": None, "inner_folds": 2, "seed": 0}
    plain = head.cross_validate(features, labels, groups, **options)
    held = plain.fold == 0
    spoilt = features.copy()
    spoilt[held] = draw.normal(0, 50, (int(held.sum()), 4))
    again = head.cross_validate(spoilt, labels, groups, **options)
    assert np.array_equal(plain.fold, again.fold)
    assert np.array_equal(plain.threshold[held], again.threshold[held])
    assert not np.array_equal(plain.probability[held], again.probability[held])


def test_a_held_out_group_has_no_part_in_its_own_prediction() -> None:
    draw = np.random.default_rng(2)
    labels = np.arange(60) % 3 == 0
    features = draw.normal(0, 1, (60, 4)).astype(np.float32)
    options: dict[str, Any] = {"folds": 3, "head": HEAD, "threshold": 0.5, "inner_folds": 2, "seed": 0}
    plain = head.cross_validate(features, labels, np.arange(60), **options)
    one = int(np.flatnonzero(plain.fold == 1)[0])
    spoilt = features.copy()
    spoilt[one] = 1e4
    again = head.cross_validate(spoilt, labels, np.arange(60), **options)
    others = (plain.fold == 1) & (np.arange(60) != one)
    assert np.array_equal(plain.probability[others], again.probability[others])
    assert not np.array_equal(plain.probability[plain.fold != 1], again.probability[plain.fold != 1])


def test_balancing_raises_the_probability_of_the_rare_class() -> None:
    draw = np.random.default_rng(3)
    labels = np.arange(200) % 20 == 0
    features = draw.normal(labels[:, None] * 0.7, 1, (200, 3)).astype(np.float32)
    train, held = np.arange(0, 100), np.arange(100, 200)
    means = [
        head.fit_predict(
            features, labels, train, held, head=head.Head(hidden=(8,), alpha=0.1, epochs=400, balance=balance), seed=0
        ).mean()
        for balance in (True, False)
    ]
    assert means[0] > means[1] + 0.1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_the_best_threshold_is_that_of_a_plain_search(drawn: list[tuple[int, bool]]) -> None:
    probability = np.array([p / 5 for p, _ in drawn])
    labels = np.array([label for _, label in drawn])
    if not labels.any():
        labels[0] = True

    def f2(cut: float) -> float:
        called = probability >= cut
        return float(5 * (called & labels).sum() / (4 * labels.sum() + called.sum()))

    best = max(f2(cut) for cut in probability)
    chosen = head.best_f2_threshold(probability, labels)
    assert f2(chosen) == pytest.approx(best, abs=1e-12)
    assert chosen == max(cut for cut in probability if f2(cut) > best - 1e-12)


def test_groups_that_share_a_content_become_one() -> None:
    merged = head.merge_groups(["a", "a", "b", "c", "d"], ["1", "2", "3", "2", "4"])
    assert merged[0] == merged[1] == merged[3]
    assert len({merged[0], merged[2], merged[4]}) == 3


def test_fold_scores_are_those_of_the_definition() -> None:
    rows = [
        {"fold": 1, "defective": False, "label": False, "threshold": 0.4},
        *({"fold": 0, "defective": d, "label": c, "threshold": 0.3} for d, c in [(1, 1), (1, 0), (0, 1), (0, 0)]),
        {"fold": None, "defective": True, "label": None},
        {"defective": True, "label": None},
    ]
    first, second = fold_scores(rows)
    assert first == {
        "fold": 0,
        "n": 4,
        "n_defective": 2,
        "threshold": 0.3,
        "precision": 0.5,
        "recall": 0.5,
        "f2": 0.5,
    }
    assert second["f2"] is None
    assert second["precision"] is None
    assert settings().tables(rows) == {"folds": [first, second]}


@pytest.mark.realdata
def test_a_slice_of_real_tiles(real_data: Path, tmp_path: Path) -> None:
    import hashlib

    chosen = [("MT_Break", True, 15), ("MT_Free", False, 25)]
    samples = []
    for folder, defective, n in chosen:
        files = sorted((real_data / "mtd" / folder / "Imgs").glob("*.jpg"))[:n]
        assert len(files) == n
        samples += [
            Sample(
                id=f"{folder}/{file.name}",
                image=file,
                mask=file.with_suffix(".png"),
                defective=defective,
                category="mtd",
                defect_type=folder,
                group=file.stem,
                split="test",
                sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            )
            for file in files
        ]
    pairs = predict(settings(side=64), context(tuple(samples), tmp_path))
    assert [s.id for s, _ in pairs] == [s.id for s in samples]
    assert (
        sum(
            row["n_defective"]
            for row in fold_scores({**p.extra, "defective": s.defective, "label": p.label} for s, p in pairs)
        )
        == 15
    )
