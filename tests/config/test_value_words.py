"""What is said of a value that a setting cannot take: one sentence, in people's words, for every kind of setting."""

from __future__ import annotations

import pytest

from benchmark.config.compose import compose
from benchmark.config.schema import build
from benchmark.core.errors import ConfigError

AUTO_OR = "run.batch_size: give auto, or a whole number of 1 or more"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run.batch_size=0", f"{AUTO_OR} (got 0)"),
        ("run.batch_size=-3", f"{AUTO_OR} (got -3)"),
        ("run.batch_size=lots", f"{AUTO_OR} (got 'lots')"),
        ("run.batch_size=2.5", f"{AUTO_OR} (got 2.5)"),
        ("run.batch_size=", f"{AUTO_OR} (got '')"),
        ("run.limit=lots", "run.limit: give a whole number above 0, or null (got 'lots')"),
        ("run.device=gpu", "run.device: give auto, cpu, cuda or cuda:1 (got 'gpu')"),
        ("run.overwrite=maybe", "run.overwrite: give never, only_missing or always (got 'maybe')"),
        ("run.export=xyz", "run.export: give maps, masks, csv, coco, mvtec_ad2 or fiftyone (got 'xyz')"),
        ("run.ray.actors=3", "run.ray.actors: give the fewest and the most actors, such as [1,4] (got 3)"),
        ("run.ray.actors=[3]", "run.ray.actors: give the fewest and the most actors, such as [1,4] (got [3])"),
        ("protocol.size=[a,b]", "protocol.size: give a whole number of 1 or more (got 'a')"),
        ("protocol.size=[256]", "protocol.size: needs more values (got [256])"),
        (
            "pipeline=anomaly_dino pipeline.masked=xyz",
            "pipeline.masked: give all, or a list [first,second] (got 'xyz')",
        ),
        (
            "pipeline=resnet_mlp pipeline.threshold=2",
            "pipeline.threshold: give a number from 0 to 1, or f2_inner (got 2)",
        ),
        (
            "pipeline=saa_plus pipeline.decision=maybe",
            "pipeline.decision: give none or union, or a number (got 'maybe')",
        ),
        ("pipeline=iap_as pipeline.thresholds.box=2", "give a number of 0 or more and below 1, or null (got 2)"),
        (
            "pipeline=saa_plus pipeline.max_area=30",
            "pipeline.max_area: is a share, and 1 is the whole; write 0.3 for 30 % (got 30)",
        ),
        ("dataset=folder dataset.roi=3", "dataset.roi: give a path, or a mapping {name: value}, or null (got 3)"),
        ("dataset=folder dataset.roi=~nobody_here/x", "dataset.roi: there is no user 'nobody_here'"),
        (
            "pipeline=gemini pipeline.provider.media_resolution=huge",
            "pipeline.provider.media_resolution: give low, medium or high, or null (got 'huge')",
        ),
        ("pipeline=gemini pipeline.provider.kind=x", "pipeline.provider.kind: give google or openai_compatible or"),
    ],
)
def test_a_wrong_value_is_answered_with_what_may_be_given(words: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build(*compose(words.split()))
    text = str(refused.value)
    assert said in text and "\n" not in text
    assert "Input should" not in text and "Value error" not in text
