"""Where prompts stand: files of conf/prompts, and files of one's own."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import ConfigError, near_matches
from benchmark.resources import CONF, shown

FOLDER = CONF / "prompts"


def prompt_file(name: str, *, dataset: str, among: str, usual: str) -> Path:
    """Return the file that ``pipeline.prompts`` names.

    Args:
        name: name below conf/prompts, or the path of a YAML file; ``{dataset}`` stands for ``dataset``.
        dataset: name of the dataset.
        among: glob of the files below conf/prompts that the pipeline can read.
        usual: name of the one that any product can use.

    Raises:
        ConfigError: there is no such file (with near names).
    """
    wanted = name.replace("{dataset}", dataset)
    known = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in FOLDER.glob(among)}
    path = known.get(wanted, Path(wanted).expanduser())
    if not path.is_file():
        raise ConfigError(
            f"pipeline.prompts={wanted}: no such file in conf/prompts, nor elsewhere; write one for your product "
            f"({shown(FOLDER / usual)}.yaml has every key), or use pipeline.prompts={usual}; "
            f"{near_matches(wanted, known)}"
        )
    return path
