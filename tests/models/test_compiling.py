"""Compiled networks and half precision: near to the network itself, and how near is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Manifest
from benchmark.models.choice import Networks, choose
from benchmark.models.compiling import Quick, quicken
from benchmark.models.runtime import Device
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.models.clip_models import write_clip, write_open_clips
from tests.models.hf_models import write_detector, write_sam
from tests.models.test_hf_detectors import option as detector_option
from tests.models.test_hf_sam import option as sam_option
from tests.models.test_text_image import option as clip_option
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401

CPU = Device(name="cpu")


def loaded(folder: Path, settings: Any) -> Any:
    context = Context(manifest=Manifest(dataset="none", samples=()), samples=(), store=Store(folder), workers=0)
    return settings.load(context, choose(context, Networks(wanted=settings.wanted()), pipeline="test"))


def test_the_largest_difference_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch, "compile", lambda own: lambda *values: own(*values) * 1.001)
    layer = torch.nn.Linear(3, 3)
    quicken(layer, what="a layer", compiled=True, device=CPU)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            layer(torch.ones(2, 3))
    assert [record.getMessage() for record in caplog.records] == [
        "a layer: torch.compile changes its output by up to 1.0e-03 of the largest value (of the first image)"
    ]
    nothing = Quick(lambda x: (x, x * 0), what="both", compiled=True, device=CPU)
    nothing._quick = lambda x: (x, x * float("nan"))
    nothing(torch.ones(1))
    assert np.isnan(nothing.difference), "of several outputs one that is no number is not hidden by the others"
    plain = torch.nn.Linear(3, 3)
    quicken(plain, what="a layer", compiled=False, device=CPU)
    assert not isinstance(plain.forward, Quick)


def test_a_compiler_that_is_not_there_is_named_and_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no working C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda own: fails)
    with pytest.raises(ConfigError, match=r"does not work here \(no working .* set compile=false"):
        Quick(torch.relu, what="a layer", compiled=True, device=CPU)(torch.ones(1))
    with pytest.raises(RuntimeError, match=r"^no working"):
        Quick(fails, what="a layer", compiled=True, device=CPU)(torch.ones(1))


def test_half_precision_is_told_and_near(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_clip(tmp_path / "clip", "clip")
    exact, half = (clip_option("hf", folder, *words) for words in ((), ("pipeline.clip.precision=bf16",)))
    with caplog.at_level(logging.WARNING):
        pair = [one.embed(loaded(tmp_path, one), [picture(0)]) for one in (exact, half)]
    told = [r.getMessage() for r in caplog.records if "changes its output" in r.getMessage()]
    assert len(told) == 1 and "clip's image side: bf16 changes" in told[0]
    difference = float(np.abs(pair[0] - pair[1]).max() / np.abs(pair[0]).max())
    assert 0 < difference < 0.05


def test_a_stage_knows_whether_its_network_is_compiled(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip", "clip")
    plain, compiled = (clip_option("hf", folder, *words) for words in ((), ("pipeline.clip.compile=true",)))
    assert compiled.facts() == {**plain.facts(), "compile": True} and plain.text_facts() == compiled.text_facts()


@pytest.mark.slow
@pytest.mark.parametrize("network", ["siglip", "open_clip", "owlv2", "sam"])
def test_compiled_networks_give_their_own_numbers(
    network: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, found = [picture(0), picture(4)], []
    for compiled in ("false", "true"):
        if network == "owlv2":
            folder = tmp_path / network
            folder.is_dir() or write_detector(folder, network)
            detector = detector_option(folder, f"pipeline.detector.compile={compiled}", "pipeline.detector.floor=0")
            boxes = loaded(tmp_path, detector).detect(images[0], ["black hole. scratch."], floor=0.0)
            found.append(np.sort(boxes.scores))
        elif network == "sam":
            folder = tmp_path / network
            folder.is_dir() or write_sam(folder, network)
            sam = loaded(tmp_path, sam_option(folder, f"pipeline.sam.compile={compiled}"))
            found.append(np.concatenate([level.ravel() for one in sam.embed(images) for level in one]))
        else:
            words = [f"pipeline.clip.compile={compiled}"]
            if network == "open_clip":
                files = write_open_clips(tmp_path / compiled)
                words.append(f"pipeline.clip.weights={files['toy-plus']}")
                clip = clip_option("open_clip", "toy-plus", *words)
            else:
                folder = tmp_path / network
                folder.is_dir() or write_clip(folder, network)
                clip = clip_option("hf", folder, *words)
            found.append(clip.embed(loaded(tmp_path, clip), images))
    difference = float(np.abs(found[0] - found[1]).max() / np.abs(found[0]).max())
    assert difference < 1e-5, f"{network}: compiling changes results by {difference:.1e}"
    told = [r.getMessage() for r in caplog.records if "torch.compile changes" in r.getMessage()]
    assert len(told) == 1
