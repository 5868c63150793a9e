"""EVF-SAM's process boundary, with a small checkout in place of the real one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError, ConfigError, WeightsError
from benchmark.models.evf_sam import EvfSam
from benchmark.pipelines.evf_sam import EvfSamPipeline
from tests.harness import SMALL_SAT, run, typed

MODEL = """
import torch
print("a library talks while it loads")
class EvfSamModel(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, folder, **settings):
        assert settings["torch_dtype"] is torch.float32
        network = cls()
        network.weight = torch.nn.Parameter(torch.zeros(1))
        return network
    def inference(self, sam, small, words, resize_list, original_size_list):
        if words.shape[1] > 20:
            raise ValueError("the text is too long for this network")
        assert sam.shape == (1, 3, 1024, 1024) and small.shape == (1, 3, 224, 224)
        height, width = resize_list[0]
        assert float(sam[0, :, height:].abs().sum()) == float(sam[0, :, :, width:].abs().sum()) == 0
        drawn = torch.nn.functional.interpolate(small.mean(1, keepdim=True), original_size_list[0], mode="bilinear")
        return drawn[0] - words.shape[1] / 100
"""
TRANSFORMERS = """
import torch
class AutoTokenizer:
    @classmethod
    def from_pretrained(cls, folder, padding_side, use_fast):
        return lambda text, return_tensors: {"input_ids": torch.zeros(1, len(text), dtype=torch.int64)}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> dict[str, Path]:
    folder, weights = tmp_path / "EVF-SAM", tmp_path / "evf-sam"
    utils = folder / "model" / "segment_anything" / "utils"
    utils.mkdir(parents=True)
    weights.mkdir()
    (folder / "model" / "evf_sam.py").write_text(MODEL)
    (folder / "transformers.py").write_text(TRANSFORMERS)
    (utils / "transforms.py").write_text("from segment_anything.utils.transforms import ResizeLongestSide\n")
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(b"weights")
    return {"checkout": folder, "python": Path(sys.executable), "weights": weights}


def test_a_run_goes_through_the_checkout(tmp_path: Path, checkout: dict[str, Path]) -> None:
    asked = [f"pipeline.{name}={path}" for name, path in checkout.items()]
    finished = run(tmp_path, *SMALL_SAT, "run.limit=4", "pipeline=evf_sam", "pipeline.precision=fp32", *asked)
    assert finished.result.outcomes["ok"] == 4
    (used,) = finished.result.weights
    assert used.name == "EVF-SAM evf-sam" and len(used.sha256) == 64 and used.trained_on is None
    values = {m.metric: m.value for m in finished.result.metrics if m.category == "mean" and m.level == "pixel"}
    assert values["ap"] is not None


@pytest.mark.slow
def test_what_the_process_said_stands_in_the_error(checkout: dict[str, Path]) -> None:
    network = EvfSam(**checkout, device="cpu", precision="fp32", semantic=True)
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    first, second = network.logits(image, ["crack", "deep hole"])
    assert np.allclose(first - second, 0.04, atol=1e-6)  # four letters more; the prefix stands before both
    with pytest.raises(BenchmarkError, match="too long for this network"):
        network.logits(image, ["a long text about defects"])


@pytest.mark.slow
def test_the_process_ends_with_its_object(checkout: dict[str, Path]) -> None:
    network = EvfSam(**checkout, device="cpu", precision="fp32", semantic=False)
    process, folder = network._process, Path(network._folder.name)
    assert process.poll() is None and folder.is_dir()
    del network
    assert process.returncode is not None and not folder.exists()


def test_what_is_absent_is_named_with_the_way_to_get_it(tmp_path: Path, checkout: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="clone hustvl/EVF-SAM"):
        run(tmp_path, *SMALL_SAT, "pipeline=evf_sam")
    asked = [f"pipeline.checkout={checkout['checkout']}"]
    with pytest.raises(ConfigError, match=r"pipeline\.python=None"):
        run(tmp_path, *SMALL_SAT, "pipeline=evf_sam", *asked)
    asked += [f"pipeline.python={sys.executable}", f"pipeline.weights={tmp_path}", "pipeline.precision=fp32"]
    with pytest.raises(WeightsError, match="no EVF-SAM weights there"):
        run(tmp_path, *SMALL_SAT, "pipeline=evf_sam", *asked)


def test_a_table_learns_what_is_missing(checkout: dict[str, Path]) -> None:
    absent = typed("pipeline=evf_sam").pipeline
    assert isinstance(absent, EvfSamPipeline)
    told = absent.missing()
    assert told is not None and "checkout" in told[0] and "evf_sam.checkout=" in told[1]
    present = typed("pipeline=evf_sam", *(f"pipeline.{name}={path}" for name, path in checkout.items())).pipeline
    assert isinstance(present, EvfSamPipeline) and present.missing() is None
