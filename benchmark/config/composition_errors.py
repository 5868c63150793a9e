"""What Hydra says of a config that cannot be composed, in words that name the fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benchmark.config.moved import new_words
from benchmark.config.options import config_folders, groups, options, search_path
from benchmark.config.override_words import is_read, quoted_word, readable
from benchmark.core.errors import near_matches
from benchmark.core.resources import CONF

HAVE = {
    "tagger": "iap_as",
    "prompter": "iap_as",
    "backbone": "patchcore",
    "detector": "saa_plus",
    "sam": "saa_plus",
    "clip": "winclip",
}
"""A pipeline that has an option of each group that belongs into pipelines."""
FEATURE_KEYS = {"model": "model", "weights": "weights", "precision": "precision", "side": "side", "input_size": "side"}
"""Where settings of feature networks went that once stood beside the other settings of a pipeline."""


def explain_composition_error(error: Exception, overrides: Sequence[str]) -> str:
    """Say in one or two lines why Hydra refused a command line, with near matches.

    Args:
        error: what Hydra raised while composing.
        overrides: the words of the command line.
    """
    text = str(error)
    several = re.search(r"Ambiguous value for argument '([^=']+)=([^']*)'", text)
    if several:
        key, values = several.groups()
        return (
            f"{key}={values}: several values make a sweep, which wants -m (make sweep); a list is written [{values}], "
            f"and a text with a comma in quotes: {quoted_word(key, values)}"
        )
    if text.startswith("Config group override must be"):
        return f"{text}; an option is given by its name: pipeline=NAME"
    plugin = re.search(r"Could not load '(hydra/\w+)/(optuna\w*)'|In '(hydra/\w+)/(optuna\w*)'", text)
    if plugin:
        group, option = [part for part in plugin.groups() if part]
        return (
            f"{group}={option}: its package is not in this environment; make extras builds .venv-extras, which has it: "
            "then run .venv-extras/bin/python -m benchmark with the same words"
        )
    missing = re.search(r"Could not find '((?:hydra/)?\w+)/([^']*)'", text)
    if missing:
        group, option = missing.groups()
        if words := new_words(group, option):
            return f"{group}={option} is now {words}"
        if group == "metric" and (fitting := _metric(option)):
            return f"metric={option}: an option is a set of metrics; for this one alone: metric.names=[{fitting}]"
        return f"{group}={option}: no such option; {near_matches(option, options(group, overrides))}"
    if "hydra.cc/docs" in text:
        return _explain_grammar(overrides)
    unfilled = re.search(r"Interpolation key '([\w.]+)' not found", text)
    if unfilled:
        name = unfilled.group(1)
        return f"${{{name}}} means another key of the config, and there is none; a variable is written ${name}"
    unread = re.search(r"raised while resolving interpolation: (.*)\s+full_key: hydra\.sweep\.dir", text)
    if unread:
        return f"run.results_root: {unread[1]}"
    refused = re.search(r"Could not (?:override|append to|delete from) '?([\w./@]+)'?", text)
    if refused is None:
        return text.strip()
    key = refused.group(1).strip(".")
    inner = re.search(r"full_key: (\S+)", str(error.__cause__))
    if inner and inner.group(1).startswith(f"{key}."):  # of a mapping that was given whole
        key = inner.group(1)
    place = re.search(r"Did you mean to override (\S+)\?", text)
    if place:
        return f"{key}=… says nothing of where the option goes; write {place.group(1)}=…"
    if key in HAVE:
        return f"the chosen pipeline has no {key}; pipeline={HAVE[key]} has"
    name, known = first_unknown(key, overrides)
    parent, _, last = key.rpartition(".")
    if name == last and "backbone" in known and last in FEATURE_KEYS:
        return (
            f"unknown key {key!r}: settings of the feature network are now below {parent}.backbone; write "
            f"{parent}.backbone.{FEATURE_KEYS[last]}=…, and backbone@{parent}.backbone=NAME for another network"
        )
    return f"unknown key {key!r}: there is no {name!r}; {near_matches(name, known)}"


def _metric(name: str) -> str | None:
    """Return the metric that is meant by a name, if there is one."""
    from benchmark.scoring.metrics.registry import METRICS

    return next((metric for metric in METRICS if metric == name.casefold().replace("-", "_")), None)


def _explain_grammar(overrides: Sequence[str]) -> str:
    """Name the first word that Hydra's grammar refuses, and show where its quotes belong."""
    word = next((word for word in readable(overrides) if not word.startswith("-") and not is_read(word)), "")
    key, _, value = word.removeprefix("++").partition("=")
    fix = "an element of a list or mapping with such characters is written in quotes"
    example = "['…']" if value.startswith("[") else "{name: '…'}" if value.startswith("{") else "'…'"
    return (
        f"{key}={value}: cannot be read; {fix}: {key}={example}, and a text that begins with a bracket or quote too: "
        f"{quoted_word(key, value)}"
    )


def first_unknown(key: str, overrides: Sequence[str]) -> tuple[str, list[str]]:
    """Walk down a dotted key and return its first part that does not exist, and the names that do in its place.

    Args:
        key: as the user wrote it.
        overrides: the command line, of which the group choices decide what exists.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig

    from benchmark.config import loader

    chosen = [o for o in overrides if o.partition("=")[0] in groups() and "," not in o]
    if own := config_folders(overrides)[1:]:
        chosen.append(search_path(own))
    parts = key.split(".")
    try:
        if loader.composes(chosen) and not key.startswith("hydra"):
            node: Any = loader.load(chosen)[0]
        else:
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(CONF), version_base="1.3"):
                node = compose(loader.PRIMARY, chosen, return_hydra_config=True)
    except Exception:  # another override is wrong too; it is reported once this one is fixed
        return parts[0], groups()
    known = [str(k) for k in node if k != "hydra"] + groups()
    for part in parts:
        if not isinstance(node, DictConfig) or part not in node:
            return part, known
        node = node._get_node(part)  # as it stands: an interpolation need not resolve here
        known = [str(k) for k in node] if isinstance(node, DictConfig) else []
    return parts[-1], known
