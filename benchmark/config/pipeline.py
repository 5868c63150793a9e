"""What every pipeline is: settings that plan, once a run, how images become predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.core.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.core.samples import Prediction, Sample
    from benchmark.models.choice import Networks
    from benchmark.stages.codec import Artifact
    from benchmark.stages.context import Context
    from benchmark.stages.stage import Stage

Use = Literal["unlabelled", "tiles"]
"""What a pipeline may be used for beside whole images with labels."""


@dataclass(frozen=True, kw_only=True)
class ImageResults:
    """What a prediction is made from, for one image."""

    sample: Sample
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """Stage name to its artifact."""
    image: NDArray[np.uint8] | None = None
    """(H, W, 3) RGB, where ``Plan.needs_image``."""

    @property
    def artifact(self) -> Artifact:
        """The artifact of the only stage."""
        (only,) = self.artifacts.values()
        return only

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The ``image`` of a plan that needs it."""
        assert self.image is not None
        return self.image


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the images of one run become predictions.

    The artifacts of a category's stages go to ``predict``, image by image and in the order of the samples; a plan
    that has to see all images before it can predict the first has ``predict_all`` in its place.

    Raises:
        TypeError: none or both of ``predict`` and ``predict_all``, or an image beside stages.
    """

    stages: Mapping[str, tuple[Stage, ...]] = field(default_factory=dict)
    """Category to the expensive stages whose artifacts its predictions are made from, each with a name of its own;
    empty: nothing is expensive. A shard computes them for its own samples alone."""
    predict: Callable[[ImageResults], Prediction] | None = None
    """What is cheap: from artifacts to a prediction. A BenchmarkError is the failure of that image."""
    predict_all: Callable[[Iterable[ImageResults]], Iterator[tuple[Sample, Prediction]]] | None = None
    """From all images to their predictions, in order; images that ``Context.failed`` names are left out. Its argument
    may be gone through several times: stages are computed the first time and read from the store after that."""
    samples: tuple[Sample, ...] | None = None
    """What the stages run on, and shards share out, where that is not the run's images themselves but parts of them."""
    needs_image: bool = False
    """A prediction is made from the image itself; a plan with stages reads images in those."""

    def __post_init__(self) -> None:
        if (self.predict is None) == (self.predict_all is None):
            raise TypeError("a Plan has either predict or predict_all")
        if self.needs_image and self.stages:
            raise TypeError("a Plan with stages gets no image: read it in a stage")

    @property
    def distinct(self) -> tuple[Stage, ...]:
        """Every stage once, in the order of the categories."""
        return tuple(dict.fromkeys(stage for stages in self.stages.values() for stage in stages))


class Pipeline(Settings, ABC):
    """The base of every option of the group ``pipeline``: ``plan``, and what a pipeline may say beside it."""

    @abstractmethod
    def plan(self, context: Context) -> Plan:
        """Return how the samples of the context are predicted; called once a run, after ``check``.

        The weights of ``networks`` are in ``context.chosen``. Work that is worth keeping goes into stages, which are
        computed when the plan is carried out.

        Raises:
            BenchmarkError: it cannot be carried out.
        """

    def check(self, context: Context) -> None:
        """Refuse what can be told before weights are looked for; raises ConfigError or DataError with the fix."""

    def networks(self) -> Networks:
        """Return which weights each network is to have; default: there are no networks."""
        from benchmark.models.choice import Networks

        return Networks()

    def learns(self) -> tuple[str, str] | None:
        """Return what is learnt from the data set's own images, and from which, for the result; None: nothing is."""
        return None

    def missing(self) -> tuple[str, str | None] | None:
        """Return in a phrase what else than weights keeps this from running here, and the command that fixes it.

        The command is None where there is none; all is None where nothing is known to be missing.
        """
        return None

    def reads(self, dataset: str) -> Mapping[str, Path]:
        """Return files that are found by another name than their path, by the setting that leads to them.

        What they say is part of a run, like that of every setting of type ``FilePath``.
        """
        return {}

    def refuses(self, use: Use) -> str | None:
        """Return why images without labels cannot be predicted, or images cannot be cut into tiles; None: they can."""
        return None

    def by_place(self) -> bool:
        """Whether images are compared place by place, so that tiles of each place must be learnt apart."""
        return False

    def not_in_result(self) -> tuple[str, ...]:
        """Return the dotted keys of settings that change no prediction."""
        return ()

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return tables of its own for the result, title to rows, from the per-image rows."""
        return {}


def make_plan(pipeline: Pipeline, context: Context, *, option: str) -> Plan:
    """Check a pipeline, find its weights, note for the result what takes part, and ask for its plan.

    Args:
        pipeline: the settings.
        context: of the run; gets ``chosen`` and ``weights``.
        option: name of the pipeline's option, for the command that an error names.

    Raises:
        ConfigError: settings that do not fit each other or the data, or random weights that were not allowed.
        DataError: no good training images where some are needed.
        WeightsError: weights are missing or damaged.
        BenchmarkError: anything else that stands in the way.
    """
    from benchmark.models.choice import choose, note_training

    pipeline.check(context)
    context.chosen = choose(context, pipeline.networks(), pipeline=option)
    learnt = pipeline.learns()
    if learnt is not None:
        note_training(context, *learnt)
    return pipeline.plan(context)


def predictions(plan: Plan, context: Context) -> Iterator[tuple[Sample, Prediction]]:
    """Yield one prediction for every sample of the context that did not fail, in order.

    Raises:
        BenchmarkError: an image failed (``on_error: stop``), or what every image would meet alike.
    """
    if plan.predict_all is not None:
        yield from plan.predict_all(_All(plan, context))
        return
    assert plan.predict is not None
    for one in _results(plan, context):
        try:
            prediction = plan.predict(one)
        except Exception as error:
            context.report(one.sample, error, step="prediction")
            continue
        yield one.sample, prediction


@dataclass(frozen=True)
class _All:
    """The results of all images, as often as they are asked for."""

    plan: Plan
    context: Context

    def __iter__(self) -> Iterator[ImageResults]:
        return _results(self.plan, self.context)


def _results(plan: Plan, context: Context) -> Iterator[ImageResults]:
    """Samples that share their stages run together, however many categories they are."""
    if plan.needs_image:
        for sample, image in context.images():
            yield ImageResults(sample=sample, image=image)
        return
    for stages, samples in groupby(context.samples, key=lambda sample: plan.stages.get(sample.category, ())):
        if not stages:
            yield from (ImageResults(sample=sample) for sample in samples)
            continue
        for sample, artifacts in context.run_all(stages, list(samples)):
            named = {stage.name: artifact for stage, artifact in zip(stages, artifacts, strict=True)}
            yield ImageResults(sample=sample, artifacts=named)
