"""What runs and protocols are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import ConfigError
from benchmark.running.names import protocol_name
from tests.data.dataset_trees import save
from tests.harness import SMALL_SAT, run, typed


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    image = np.zeros((24, 24, 3), dtype=np.uint8)
    for place in ("train/good", "test/good", "test/hole"):
        save(tmp_path / "parts" / "ring" / place / "0.png", image)
    mask = np.zeros((24, 24), dtype=np.uint8)
    mask[4:9, 4:9] = 255
    save(tmp_path / "parts" / "ring" / "ground_truth" / "hole" / "0_mask.png", mask)
    return tmp_path / "parts"


def test_data_of_the_users_own_goes_by_the_name_it_was_given(tmp_path: Path, parts: Path) -> None:
    words = ("dataset=folder", f"dataset.path={parts}", "pipeline=constant")
    named = run(tmp_path, *words, "dataset.name=gasket")
    assert named.folder.name.startswith("gasket-constant-") and named.result.title == "gasket × constant"
    assert run(tmp_path, *words).folder.name.startswith("folder-constant-")


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "..", ".", " ", "a\\b"])
@pytest.mark.parametrize("pipeline", ["constant", "iap_as"])
def test_no_name_leads_out_of_the_results(name: str, pipeline: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.name: .*must be a plain name"):
        typed("dataset=folder", f"pipeline={pipeline}", f'dataset.name="{name}"')


def test_an_edited_protocol_says_so_and_what_differs(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=constant")
    assert run(tmp_path, *words).result.protocol.name == "default"
    edited = run(tmp_path, *words, "protocol.border=foreground", "protocol.confidence=0.9").result.protocol
    assert edited.name == "default* (border=foreground, confidence=0.9)"


def test_the_protocol_that_a_pipeline_brings_has_its_plain_name() -> None:
    config = typed("pipeline=saa_plus")
    assert protocol_name(config.choices["protocol"], config.protocol) == config.choices["protocol"]
    assert protocol_name("my_own", config.protocol) == "my_own"
