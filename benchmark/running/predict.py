"""New images without labels: maps, masks, scores and reasons out, no metric."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config.pipeline import predictions
from benchmark.config.schema import RunConfig
from benchmark.core.errors import ConfigError, DataError, ResultsError
from benchmark.core.progress import Progress
from benchmark.core.samples import Manifest, Prediction, Sample, evenly
from benchmark.core.text import counted
from benchmark.data.dataset import Dataset
from benchmark.data.images import image_shape
from benchmark.data.unlabelled import is_calibration, unlabelled_manifest
from benchmark.results import files
from benchmark.results.export import Export
from benchmark.results.export_files import drawn, score_of
from benchmark.results.export_index import INDEX, Form, read_index
from benchmark.results.overview import Overview
from benchmark.results.schema import plain
from benchmark.running.evaluating import in_order
from benchmark.running.inside import Inside, interest_of
from benchmark.running.names import identify
from benchmark.running.recording import identity
from benchmark.running.run import make_context, plan_of, planned
from benchmark.running.thresholds import RATE, Decider, Threshold, of_good, of_run

if TYPE_CHECKING:
    from benchmark.stages.context import Context

FORMS: tuple[Form, ...] = ("maps", "masks", "csv", "coco")
SERVER_FORMS: tuple[Form, ...] = ("mvtec_ad2", "csv")
OVERVIEW = "overview.png"
FACTS = "predict.json"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be predicted, and how it is decided."""

    images: Path | None = None
    """A folder of images, or one; None: those of the dataset whose truth only a server has."""
    out: Path | None = None
    """None: below the results, named by what is predicted with what."""
    train: Path | None = None
    """Good images to learn from."""
    good: Path | None = None
    """Good images that thresholds are set by."""
    run: Path | None = None
    """Folder of a finished run with labels, of the same settings, that thresholds are set by."""
    rate: float | None = None
    """False alarms on good images that the threshold may cause."""
    threshold: float | None = None
    """Of image scores."""
    pixel_threshold: float | None = None
    category: str | None = None
    """Of all images, as prompts go by it; None: the name of their folder."""

    def __post_init__(self) -> None:
        """Refuse several sources of one threshold."""
        given = [name for name in ("threshold", "good", "run") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} each set the threshold of image scores; give one of them")
        if self.images is None and any((self.train, self.good, self.category)):
            raise ConfigError("a dataset brings its own training images and categories: train, good and category go "
                              "with in=<folder>; run=<a finished run on it> sets thresholds")  # fmt: skip
        if self.rate is not None and self.good is None and self.run is None:
            raise ConfigError("rate is that of good images: give them with good=<folder>, or run=<a finished run>")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was predicted, and where it lies."""

    folder: Path
    outcomes: Mapping[str, int]
    """Number of images by outcome."""
    called: int | None
    """Images called defective; None: nothing decides that."""
    thresholds: Mapping[str, Threshold]
    """By what is cut, ``image`` or ``pixel`` scores; none where the pipeline decides by itself, or nothing does."""
    reasons: Mapping[str, str]
    """Why images failed, by id."""
    notes: tuple[str, ...]
    written: tuple[str, ...]


def predict(config: RunConfig, composed: Mapping[str, Any], asked: Asked) -> Predicted:
    """Predict images without labels and write what is found.

    Args:
        config: the typed settings; the dataset's say how files are read and what the data are called.
        composed: the same settings as plain containers.
        asked: which images, and how they are decided.

    Raises:
        BenchmarkError: anything the user can fix; one bad image is a row that says why.
    """
    config.run.tell_cache()
    if why := config.pipeline.refuses("unlabelled"):
        raise ConfigError(f"pipeline={config.choices['pipeline']} cannot predict images without labels: {why}")
    if config.run.shard is not None:
        raise ConfigError(
            "run.shard: predictions are not shared out; leave it out, or give each job a folder of its own"
        )
    if not isinstance(config.dataset, Dataset):  # generated images
        raise ConfigError(f"dataset={config.choices['dataset']} has no images without labels; give some as in=<folder>")
    place = config.run.results_root / "predictions" if asked.out is None else asked.out
    category, manifest = _images(config.dataset, config.run.data_root, asked, leave_out=place)
    settings = identity(config, composed, manifest.dataset)
    name = identify(config, settings, manifest)
    out = place / name if asked.out is None else asked.out
    found = {} if asked.run is None else _named(*of_run(asked.run, settings, asked.rate))
    _refuse_other(out, name)
    files.ensure_writable(out, setting="run.results_root" if asked.out is None else "out")
    found |= {
        kind: Threshold(value=value, origin="given")
        for kind, value in (("image", asked.threshold), ("pixel", asked.pixel_threshold))
        if value is not None
    }
    good = tuple(s for s in manifest.test if is_calibration(s, asked.good))
    images = [s for s in manifest.test if not is_calibration(s, asked.good)]
    samples = evenly(images, len(images) if config.run.limit is None else config.run.limit)
    recording = replace(config, run=config.run.model_copy(update={"on_error": "record"}))
    context = make_context(recording, manifest, (*good, *samples))
    with Progress(f"{category} × {config.choices['pipeline']}", len(context.samples)) as progress:
        answers = _answers(config, context, asked)
        if asked.good is not None:
            found = _named(*_of_good(answers, len(good), context, asked, progress)) | found
        decide = Decider(found, given={k for k, t in found.items() if t.origin == "given"})
        forms = config.run.export or (FORMS if asked.images is not None else SERVER_FORMS)
        overview, outcomes = Overview(), dict.fromkeys(("ok", "failed", "invalid", "blocked"), 0)
        called: list[bool] = []
        with Export(out, forms, samples, run=name, threshold=config.run.export_threshold) as export:
            for sample, prediction in answers:
                decided = decide(prediction)
                _keep(export, overview, sample, decided)
                outcomes[decided.outcome] += 1
                called += [] if decided.label is None else [decided.label]
                progress.advance()
        written = [*export.finish(), *([f"overview: {out / OVERVIEW}"] if overview.write(out / OVERVIEW) else [])]
    predicted = Predicted(
        folder=out,
        outcomes={k: n for k, n in outcomes.items() if n},
        called=sum(called) if called else None,
        thresholds=found,
        reasons={s.id: context.failed[s.id] for s in samples if s.id in context.failed},
        notes=(*manifest.notes, *context.notes),
        written=tuple(written),
    )
    _write_facts(predicted, settings, context, pipeline=config.choices["pipeline"], category=category)
    return predicted


def _images(dataset: Dataset, data_root: Path, asked: Asked, *, leave_out: Path) -> tuple[str, Manifest]:
    """Return the category, or the dataset's name where it has its own, and what is learnt from and predicted."""
    if asked.images is None:
        return dataset.name, dataset.unlabelled(data_root)
    folder = asked.images if asked.images.is_dir() else asked.images.parent
    category = asked.category or folder.resolve().name
    return category, unlabelled_manifest(
        dataset, asked.images, category=category, train=asked.train, good=asked.good, leave_out=leave_out
    )


def _write_facts(
    found: Predicted, settings: Mapping[str, Any], context: Context, *, pipeline: str, category: str
) -> None:
    """Write beside the predictions what they were made with, and how it was decided."""
    facts = {
        "pipeline": pipeline,
        "settings": settings,
        "category": category,
        "thresholds": {kind: {"value": t.value, "origin": t.origin} for kind, t in found.thresholds.items()},
        "weights": [{"name": w.name, "sha256": w.sha256} for w in context.weights.values()],
        "notes": list(found.notes),
        "outcomes": dict(found.outcomes),
    }
    text = json.dumps(plain(facts), indent=1, ensure_ascii=False)
    files.write_atomically(found.folder / FACTS, f"{text}\n".encode())


def _answers(config: RunConfig, context: Context, asked: Asked) -> Iterator[tuple[Sample, Prediction]]:
    """Yield the prediction of every image in order, a failed one too.

    Raises:
        DataError: the pipeline learns from good images, and there are none; says how they are given.
    """
    try:
        plan = plan_of(config, context)
    except DataError as error:
        if asked.train is None and "good training image" in str(error):
            raise DataError(
                f"pipeline={config.choices['pipeline']} learns from good images: give them as train=<folder> ({error})"
            ) from None
        raise
    if config.run.engine == "ray":
        from benchmark.running.ray_engine import fill_store

        fill_store(config, plan, context, planned)
    return _inside(predictions(plan, context), context, Inside(interest_of(config.dataset), context))


def _inside(
    stream: Iterator[tuple[Sample, Prediction]], context: Context, inside: Inside
) -> Iterator[tuple[Sample, Prediction]]:
    for sample, prediction in in_order(stream, context.samples):
        if prediction is None:
            yield sample, _failed(sample, context)
            continue
        try:
            prediction = inside.prediction(sample, prediction, image_shape(sample.image, sample.reading))
        except DataError as error:
            context.report(sample, error, step="region of interest")
            prediction = _failed(sample, context)
        yield sample, prediction
    inside.tell()


def _failed(sample: Sample, context: Context) -> Prediction:
    if sample.id not in context.failed:
        raise ResultsError(f"the pipeline gave no prediction for {sample.id}")
    return Prediction(outcome="failed", message=context.failed[sample.id])


def _of_good(
    answers: Iterator[tuple[Sample, Prediction]], number: int, context: Context, asked: Asked, progress: Progress
) -> tuple[Threshold, Threshold | None]:
    """Take the good images from the front of the answers, and set thresholds by them."""
    images: list[float] = []
    pixels: list[float] = []
    for _ in range(number):
        sample, prediction = next(answers)
        progress.advance()
        if prediction.outcome != "ok":
            context.tell(f"{sample.id} sets no threshold: {prediction.message}")
            continue
        scores = drawn(prediction, sample.id)
        if scores is not None:
            pixels.append(float(scores.max()))
        if (score := score_of(prediction, scores)) is not None:
            images.append(score)
    rate = RATE if asked.rate is None else asked.rate
    if not images:
        raise ResultsError("no good image has a score, so that none sets a threshold; the first reason: "
                           + next(iter([*context.notes, "the pipeline gives labels alone"])))  # fmt: skip
    pixel = of_good(pixels, rate, "largest pixel scores") if len(pixels) == len(images) else None
    return of_good(images, rate, "image scores"), pixel


def _named(image: Threshold, pixel: Threshold | None) -> dict[str, Threshold]:
    return {"image": image} | ({} if pixel is None else {"pixel": pixel})


def _keep(export: Export, overview: Overview, sample: Sample, prediction: Prediction) -> None:
    scores = drawn(prediction, sample.id) if prediction.outcome == "ok" else None
    shape = next((v.shape for v in (scores, prediction.mask) if v is not None), None)
    if shape is None and prediction.outcome == "ok":
        shape = image_shape(sample.image, sample.reading)
    height, width = shape or (0, 0)
    export.add(sample, prediction, (height, width), None)
    score = score_of(prediction, scores)
    if prediction.outcome == "ok" and score is not None:
        overview.add(sample, score, prediction.label, scores, prediction.mask)


def _refuse_other(out: Path, name: str) -> None:
    """Raise ResultsError where a folder holds the predictions of other images or settings: files would mix."""
    index = read_index(out)
    if index is not None and index.run != name:
        raise ResultsError(
            f"{out / INDEX}: the folder holds other predictions ({index.run}); give another one as out=<folder>, or "
            "remove it"
        )


def lines(found: Predicted) -> Sequence[str]:
    """Say what was predicted, a line each."""
    told = [
        f"{counted(sum(found.outcomes.values()), 'image')}: " + ", ".join(f"{n} {k}" for k, n in found.outcomes.items())
    ]
    told += [f"note: {note}" for note in found.notes]
    told += [f"threshold of {kind} scores: {t.value:.6g} ({t.origin})" for kind, t in sorted(found.thresholds.items())]
    if found.called is not None:
        own = "" if "image" in found.thresholds else ", as the pipeline itself decides"
        told.append(f"{found.called} called defective{own}")
    else:
        told.append(
            "nothing decides which are defective: give threshold=<score>, good=<folder of good images>, or "
            "run=<finished run with labels>"
        )
    told += [f"  failed: {image}: {why}" for image, why in list(found.reasons.items())[:5]]
    return [*told, *found.written]
