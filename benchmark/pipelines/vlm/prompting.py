"""The texts of a question, and the order of texts and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, model_validator

from benchmark.chat.question import Part, SentImage
from benchmark.config.prompt_files import prompt_file
from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.settings import Settings, first_problem
from benchmark.core.yaml_files import read_yaml

Place = Literal["reference", "image", "prompt"]


class Texts(Settings):
    """The prompts for one dataset, as a file of the prompt tables/gemini gives them."""

    source: str
    """Who wrote them."""
    basic: str
    """A short question."""
    refined: str | None
    """What the object is and what its defects look like; None: only single categories have one."""
    refined_by_category: dict[str, str]
    """In place of ``refined``."""


class Layout(Settings):
    """Which parts stand where."""

    order: tuple[Place, ...]
    """Each of ``image`` and ``prompt`` once; ``reference`` before ``image``, left out where none is shown."""
    reference_caption: str | None
    """Text before the reference image."""
    image_caption: str | None
    """Text before the image to inspect."""

    @model_validator(mode="after")
    def _checked(self) -> Layout:
        if sorted(self.order) not in (["image", "prompt"], ["image", "prompt", "reference"]):
            raise ValueError("order needs image and prompt, and at most one reference")
        if "reference" in self.order and self.order.index("reference") > self.order.index("image"):
            raise ValueError("the reference has to come before the image: prompts speak of the last image given")
        return self

    def parts(self, *, references: Sequence[SentImage], image: SentImage, prompt: str) -> tuple[Part, ...]:
        """Put texts and images in order, each reference under its caption."""
        parts: list[Part] = []
        for place in self.order:
            if place == "prompt":
                parts.append(prompt)
                continue
            is_reference = place == "reference"
            caption = self.reference_caption if is_reference else self.image_caption
            for sent in references if is_reference else [image]:
                parts += [caption, sent] if caption else [sent]
        return tuple(parts)


def texts_file(name: str, *, dataset: str) -> Path:
    """Return the file of a dataset's prompts; arguments and errors as of ``prompt_file``."""
    return prompt_file(name, dataset=dataset, among="*/*.yaml", usual="gemini/generic")


def load_texts(name: str, *, dataset: str) -> Texts:
    """Read the prompts of a dataset.

    Args:
        name: name below the prompt tables, or the path of a YAML file; ``{dataset}`` stands for ``dataset``.
        dataset: name of the dataset.

    Raises:
        ConfigError: there is no such file (with near names), or it is not valid.
    """
    path = texts_file(name, dataset=dataset)
    try:
        return Texts.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"the prompts {path} are not valid: {first_problem(error)}") from None


def text_for(texts: Texts, prompt: Literal["basic", "refined", "custom"], *, custom: str | None, category: str) -> str:
    """Return the prompt of a category.

    Raises:
        ConfigError: there is no such text.
    """
    if prompt == "custom":
        if not custom:
            raise ConfigError("pipeline.prompt=custom needs a text: pipeline.custom_prompt='…'")
        return custom.replace("{category}", category)
    if prompt == "basic":
        return texts.basic
    found = texts.refined_by_category.get(category, texts.refined)
    if found is None:
        raise ConfigError(
            f"the prompts have no refined text for {category!r}; add one, or use pipeline.prompt=basic; "
            f"{near_matches(category, texts.refined_by_category)}"
        )
    return found.replace("{category}", category)
