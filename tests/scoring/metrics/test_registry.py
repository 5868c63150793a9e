"""Names: the registry, and the config options that choose from it."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError

from benchmark.core.errors import ConfigError
from benchmark.scoring.metrics import choices, labels, pixel
from benchmark.scoring.metrics.registry import METRICS, metric, metrics
from benchmark.scoring.metrics.selection import MetricSelection
from tests.protocols import CONF


def test_unknown_names_list_near_ones():
    with pytest.raises(ConfigError, match="unknown metric 'f1max'; did you mean 'f1_max'"):
        metric("f1max")
    with pytest.raises(ValidationError, match="did you mean 'aupro'"):
        MetricSelection(names=("ap", "aupr0"))


def test_a_metric_named_twice_is_refused():
    with pytest.raises(ValidationError, match="twice"):
        MetricSelection(names=("ap", "ap"))
    assert [s.name for s in metrics(["ap", "auroc", "ap"])] == ["ap", "auroc"]


@pytest.mark.parametrize("option", sorted(p.stem for p in (CONF / "metric").glob("*.yaml")))
def test_every_option_names_known_metrics(option):
    text = (CONF / "metric" / f"{option}.yaml").read_text()
    assert text.startswith("# ")
    fields = yaml.safe_load(text)
    assert fields.pop("_target_") == "benchmark.scoring.metrics.selection.MetricSelection"
    assert MetricSelection.model_validate(fields).names


def test_full_has_no_variant_and_compat_is_full_and_variants():
    """A new metric is checked from the registry; an option may list it, and a user names it with metric.names."""
    full, compat = (
        set(yaml.safe_load((CONF / "metric" / f"{n}.yaml").read_text())["names"]) for n in ("full", "compat")
    )
    variants = {n for n, s in METRICS.items() if s.description.startswith("variant")}
    assert full and not full & variants
    assert compat == full | (compat & variants)


def test_every_metric_says_what_it_is_and_where_its_function_comes_from():
    for spec in METRICS.values():
        assert spec.description
        assert (getattr(spec.function, "func", spec.function).__doc__ or "").strip()
        if spec.source != "each_image":
            assert spec.level == ("pixel" if spec.source in ("pixels", "masks") else "image")


def test_the_registry_and_protocols_import_nothing_heavy():
    heavy = ["torch", "cv2", "sklearn", "pandas", "scipy", "matplotlib", "mlflow", "pycocotools"]
    code = f"import sys, benchmark.scoring.evaluation; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", [pixel, labels, choices])
def test_the_examples_in_docstrings_hold(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0
