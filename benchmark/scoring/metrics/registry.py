"""Every metric by name: what it is computed from, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.questions import TASKS
from benchmark.scoring.metrics import choices, each_image, labels, operating, pixel, variants
from benchmark.scoring.metrics.variants import Grid

Source = Literal["pixels", "masks", "image_scores", "labels", "each_image", "choices"]
"""What a prediction must bring: a score map or regions; a binary mask; an image score; a label; what its function
asks of each image; answers to multiple-choice questions."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One metric: a name, its source and a pure function."""

    name: str
    level: Literal["pixel", "image"]
    source: Source
    function: Callable[..., Any]
    """Of Counts (pixels, image_scores), MaskCounts (masks), Confusion (labels) or ChoiceCounts (choices); or of each
    SeenImage (each_image), whose mean over the images where it is defined is the metric. NaN where undefined."""
    description: str
    beta: float | None = None
    """Set where the threshold of the largest F-beta is reported as well."""
    limited: bool = False
    """Takes the protocol's AUPRO limit as ``limit=``, and needs component overlaps."""
    regional: bool = False
    """Needs component overlaps, as every limited metric does."""
    oracle: bool = False
    """Its threshold is chosen on the very images that are scored: no method reaches it without their labels."""
    both_classes: bool = False
    """Undefined where good pixels or images are missing, not only where defects are."""
    proportions: Callable[[labels.Confusion], tuple[tuple[int, int], ...]] | None = None
    """Of the confusion of labels: successes and trials of the proportions whose mean the metric is."""
    grid: Grid | None = None
    """Thresholds of a published variant; None is every distinct score."""
    higher_is_better: bool = True
    """Which end is the best one, for sweeps, leaderboard and ranks."""

    @property
    def title(self) -> str:
        """The name as tables show it."""
        return f"{self.name} (oracle)" if self.oracle else self.name


def _spec(name: str, source: Source, function: Callable[..., Any], description: str, **facts: Any) -> MetricSpec:
    pixels = facts.pop("pixels", source in ("pixels", "masks"))
    level: Literal["pixel", "image"] = "pixel" if pixels else "image"
    oracle = facts.pop("oracle", facts.get("beta") is not None)
    return MetricSpec(
        name=name, level=level, source=source, function=function, description=description, oracle=oracle, **facts
    )


def _of(name: str) -> dict[str, Any]:
    return {"proportions": partial(labels.proportions, name=name)}


_f = pixel.f_beta_max
_REGIONAL: dict[str, Any] = {"limited": True, "both_classes": True}
_AT_100: dict[str, Any] = {"beta": 1.0, "grid": variants.LINSPACE_100}
_AT_21: dict[str, Any] = {"beta": 1.0, "grid": variants.STEPS_21}
_CHOICES = (
    _spec("mmad_accuracy", "choices", choices.mean_accuracy, "accuracy of multiple-choice answers, mean over 7 tasks"),
    _spec(
        "mmad_accuracy_released",
        "choices",
        choices.released_accuracy,
        "variant: mmad_accuracy as the released scorer, which drops unreadable answers and the one behind each",
    ),
    *(
        _spec(
            f"mmad_{name.lower().replace(' ', '_')}",
            "choices",
            partial(choices.task_accuracy, task=at),
            f"accuracy of multiple-choice answers: {name.lower()}"
            + (", mean over good and defective images" if at == 0 else ""),
        )
        for at, name in enumerate(TASKS)
    ),
)
_SPECS = (
    _spec("ap", "pixels", pixel.ap, "pixel average precision, step sum"),
    _spec("f1_max", "pixels", _f, "best pixel F1 over every threshold", beta=1.0),
    _spec("f2_max", "pixels", partial(_f, beta=2.0), "best pixel F2 over every threshold", beta=2.0),
    _spec("max_iou", "pixels", pixel.iou_max, "best pixel IoU over every threshold", beta=1.0),
    _spec("auroc", "pixels", pixel.auroc, "pixel area under the ROC curve", both_classes=True),
    _spec(
        "aupro", "pixels", pixel.aupro, "per-region overlap up to the FPR limit, exact", limited=True, both_classes=True
    ),
    _spec("iou", "masks", labels.iou_mean_defective, "mean over defective images of the IoU of the binary mask"),
    _spec("iou_pooled", "masks", labels.iou_pooled, "IoU of the binary masks over all pixels together"),
    *_CHOICES,
    _spec("f1", "labels", partial(labels.f_beta, beta=1.0), "image F1 of the labels"),
    _spec("f2", "labels", partial(labels.f_beta, beta=2.0), "image F2 of the labels: recall counts twice"),
    _spec("precision", "labels", labels.precision, "share of images called defective that are", **_of("precision")),
    _spec("recall", "labels", labels.recall, "share of defective images called defective", **_of("recall")),
    _spec(
        "balanced_accuracy",
        "labels",
        labels.balanced_accuracy,
        "mean of recall and specificity",
        both_classes=True,
        **_of("balanced_accuracy"),
    ),
    _spec("image_ap", "image_scores", pixel.ap, "image average precision, step sum"),
    _spec("image_auroc", "image_scores", pixel.auroc, "image area under the ROC curve", both_classes=True),
    _spec("image_f1_max", "image_scores", _f, "best image F1 over every threshold", beta=1.0),
    _spec("image_f2_max", "image_scores", partial(_f, beta=2.0), "best image F2 over every threshold", beta=2.0),
    _spec("brier", "each_image", each_image.brier, "mean squared distance of score and label", higher_is_better=False),
    _spec(
        "map_error",
        "each_image",
        each_image.map_error,
        "mean absolute distance of score map and ground truth",
        pixels=True,
        higher_is_better=False,
    ),
    _spec(
        "region_recall",
        "each_image",
        each_image.region_recall,
        "share of an image's defect regions that its binary mask touches",
        pixels=True,
    ),
    _spec(
        "false_regions",
        "each_image",
        each_image.false_regions,
        "regions of the binary mask without a defect pixel, in an image",
        pixels=True,
        higher_is_better=False,
    ),
    _spec("ap_trapezoid", "pixels", variants.ap_trapezoid, "variant: trapezoid under the precision-recall curve"),
    _spec(
        "f1_max_linspace100",
        "pixels",
        _f,
        "variant: best pixel F1 of 100 even thresholds",
        beta=1.0,
        grid=variants.LINSPACE_100,
    ),
    _spec("f1_max_21", "pixels", _f, "variant: best pixel F1 of 21 even thresholds", **_AT_21),
    _spec(
        "iou_max_21",
        "pixels",
        pixel.iou_max,
        "variant: best pixel IoU of 21 even thresholds",
        beta=1.0,
        grid=variants.STEPS_21,
    ),
    _spec(
        "aupro_200step",
        "pixels",
        variants.aupro_200step,
        "variant: AUPRO over 200 even thresholds, rescaled",
        **_REGIONAL,
        grid=variants.STEPS_200,
    ),
)
_OPERATING: dict[str, Any] = {"both_classes": True, "oracle": True}
_AT_RATES = tuple(
    spec
    for percent in (1, 5)
    for spec in (
        _spec(
            f"image_tpr_at_fpr_{percent}",
            "image_scores",
            partial(operating.recall_at_false_alarms, rate=percent / 100),
            f"share of defective images found where at most {percent} % of the good ones raise an alarm",
            **_OPERATING,
        ),
        _spec(
            f"image_tnr_at_fnr_{percent}",
            "image_scores",
            partial(operating.passed_at_misses, rate=percent / 100),
            f"share of good images passed where at most {percent} % of the defective ones are missed",
            **_OPERATING,
        ),
        _spec(
            f"pro_at_fpr_{percent}",
            "pixels",
            partial(operating.overlap_at_false_alarms, rate=percent / 100),
            f"mean overlap of defect regions where at most {percent} % of the good pixels are marked",
            regional=True,
            **_OPERATING,
        ),
        _spec(
            f"tnr_at_pro_{100 - percent}",
            "pixels",
            partial(operating.unmarked_at_overlap, overlap=1.0 - percent / 100),
            f"share of good pixels left unmarked where at most {percent} % of defect regions are missed, on average",
            regional=True,
            **_OPERATING,
        ),
    )
)
METRICS = MappingProxyType({spec.name: spec for spec in (*_SPECS, *_AT_RATES)})
"""Name to spec, in the order in which a report lists them; read-only."""
ORACLE_NOTE = "oracle: the best threshold for these very images and labels"
"""What a table says below itself where a title in it says ``oracle``."""


def best_of(name: str, values: Iterable[float]) -> float:
    """Return the best of some values of a metric; one that is not registered is better the higher it is."""
    spec = METRICS.get(name)
    return max(values) if spec is None or spec.higher_is_better else min(values)


def metric(name: str) -> MetricSpec:
    """Return the spec of a metric; raises ConfigError with near names for an unknown one."""
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}; {near_matches(name, METRICS)}")
    return METRICS[name]


def metrics(names: Iterable[str]) -> tuple[MetricSpec, ...]:
    """Return the specs of names, in their order, each once; raises ConfigError for an unknown one."""
    return tuple(metric(name) for name in dict.fromkeys(names))


def title(name: str) -> str:
    """Return a metric's name as tables show it: one whose threshold is chosen on the scored images says ``oracle``."""
    return METRICS[name].title if name in METRICS else name
