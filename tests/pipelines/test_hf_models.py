"""A detector and a SAM that are named on the command line alone, in the pipelines whose method asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import SMALL_SAT, run
from tests.models.hf_models import write_detector, write_sam
from tests.tiny_models import one_thread  # noqa: F401

SALIENCY = (
    "backbone@pipeline.saliency.backbone=toy",
    "pipeline.saliency.backbone.side=64",
    "pipeline.saliency.between_side=64",
)
IAP = ("tagger@pipeline.tagger=category_name", "prompter@pipeline.prompter=static")
CASES = [
    ("saa_plus", "owlv2", "sam2", (*SALIENCY, "pipeline.prompts=generic")),
    ("groundingdino_sam", "mm-grounding-dino", "sam_hq", ()),
    ("iap_as", "owlvit", "edgetam", IAP),
    pytest.param("anomalyvlm", "grounding-dino", "sam", SALIENCY, marks=pytest.mark.slow),
    pytest.param("saa", "omdet-turbo", "sam3_tracker", (), marks=pytest.mark.slow),
    pytest.param("saa_plus", "florence2", "sam", (*SALIENCY, "pipeline.prompts=generic"), marks=pytest.mark.slow),
    pytest.param("iap_as_paper_code", "omdet-turbo", "sam2", IAP, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("pipeline", "detector", "sam", "words"), CASES)
def test_models_named_on_the_command_line(
    pipeline: str, detector: str, sam: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    write_detector(tmp_path / detector, detector)
    write_sam(tmp_path / sam, sam)
    named = (
        "detector@pipeline.detector=hf",
        f"pipeline.detector.model={tmp_path / detector}",
        "sam@pipeline.sam=hf",
        f"pipeline.sam.model={tmp_path / sam}",
        "pipeline.allow_random_weights=true",
    )
    asked = (*SMALL_SAT, "run.limit=2", f"pipeline={pipeline}", *words, *named)
    first = run(tmp_path, *asked).result
    stages = first.measured.samples_computed
    asked_twice = pipeline == "iap_as"  # about the object, and about defects
    assert stages["detection"] == (4 if asked_twice else 2) and stages["sam_embedding"] == 2
    used = {weights.name for weights in first.weights if not weights.random}
    assert used == {f"{detector}/model.safetensors", f"{sam}/model.safetensors"}
    again = run(tmp_path, *asked, f"run.results_root={tmp_path / 'second'}").result
    assert not any(again.measured.samples_computed.values()) and again.digest == first.digest
