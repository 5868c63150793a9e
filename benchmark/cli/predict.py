"""``predict``: maps, masks, scores and reasons for new images without labels."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from benchmark.cli.words import number, path, settings_and_names
from benchmark.core.errors import ConfigError, ResultsError, near_matches

PLACES = ("in", "out", "train", "good")
NUMBERS = ("rate", "threshold", "pixel_threshold")
KEYS = (*PLACES, *NUMBERS, "run", "category")


def predict(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="pipeline=NAME in=FOLDER [key=value]...",
            help="Also out=, train= (good images to learn from), a threshold by good= (other good images) or run= (a "
            "finished run with labels), rate= (false alarms, 0.05), threshold=, pixel_threshold=, category=; and "
            "settings of a run.",
        ),
    ] = None,
) -> int:
    """Predict images without labels: predict pipeline=patchcore in=new_parts train=good_parts good=more_good_parts."""
    from benchmark.config.compose import compose
    from benchmark.config.options import groups
    from benchmark.config.schema import build
    from benchmark.core.terminal import printable
    from benchmark.report.compare import choose_run
    from benchmark.running.predict import Asked, lines
    from benchmark.running.predict import predict as carry_out

    settings, names = settings_and_names(words)
    own = {key: value for key, _, value in (word.partition("=") for word in settings) if key in KEYS}
    rest = [word for word in settings if word.partition("=")[0] not in KEYS]
    if names:
        raise ConfigError(f"{names[0]!r} has no key; {near_matches(names[0], KEYS)}; images are given as in=<folder>")
    for key in (word.partition("=")[0] for word in rest):
        if key not in groups() and difflib.get_close_matches(key, KEYS, n=1, cutoff=0.65):
            raise ConfigError(f"predict has no {key}=…; {near_matches(key, KEYS)}")
    of_dataset = any(word.startswith("dataset=") for word in rest)
    if not own.get("in") and not of_dataset:
        raise ConfigError(
            "which images? predict pipeline=NAME in=<folder of images> (make predict PIPELINE=NAME IN=…), or "
            "dataset=mvtec_ad_2 for those that its server scores"
        )
    if own.get("in") and any(word.startswith(("dataset=", "dataset.path=")) for word in rest):
        raise ConfigError("images are those of in=<folder>, or of a dataset whose server scores them; give one of both")
    places = {key: path(own[key]) for key in PLACES if own.get(key)}
    for key in ("train", "good"):
        if key in places and not places[key].exists():
            raise ConfigError(f"{key}={own[key]}: no such folder; give one of good images")
    composed, choices = compose(rest if of_dataset else ["dataset=folder", *rest])
    if "in" in places:
        composed["dataset"]["path"] = str(places["in"])
    config = build(composed, choices)
    asked = Asked(
        images=places.get("in"),
        out=places.get("out"),
        train=places.get("train"),
        good=places.get("good"),
        run=choose_run(own["run"], config.run.results_root) if "run" in own else None,
        category=own.get("category"),
        **{key: number(key, own[key]) for key in NUMBERS if key in own},
    )
    found = carry_out(config, composed, asked)
    print("\n".join(printable(line) for line in lines(found)))
    if not found.outcomes.get("ok"):
        raise ResultsError(f"no image could be predicted; {found.folder} says why")
    return 0
