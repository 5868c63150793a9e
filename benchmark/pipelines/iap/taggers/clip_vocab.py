"""Tags from a vocabulary of nouns: those whose CLIP text vectors lie nearest to the image's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.config.group_option import group_option
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Sample
from benchmark.core.settings import FilePath
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.models.clip_stages import cut_off, image_vector, tell_cut_off, vector_stage
from benchmark.models.text_image import TextImage
from benchmark.pipelines.iap.taggers.base import ROLE, ImageTags, Tag, Tagged, Tagger
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

OWN_WORDS = Path(__file__).with_name("vocabulary.txt")


class ClipVocabulary(Tagger):
    """Zero-shot tags: cosine of the image's vector with the mean vector of each word's templates.

    Cosines only rank the words of one image; there is no threshold under which a word is absent.
    """

    clip: Annotated[TextImage, group_option("pipeline.tagger.clip", usual="benchmark.models.clip_stages.ClipSettings")]
    vocabulary: FilePath | None
    """Text file with one noun a line, ``#`` begins a comment; None: the project's own."""
    templates: tuple[str, ...] = Field(min_length=1)
    """``{}`` stands for the word."""
    number: int = Field(ge=1)
    """Tags of an image."""

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("{}" not in template for template in value):
            raise ValueError("every template needs {} where the word goes")
        return value

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return CLIP, under the tagger's role."""
        return {ROLE: self.clip.wanted()["clip"]}

    def identity(self) -> Mapping[str, Any]:
        """Return network, words and templates."""
        return {
            "kind": "clip_vocab",
            **self.clip.facts(),
            "vocabulary_sha256": hashlib.sha256("\n".join(self.words()).encode()).hexdigest(),
            "templates": list(self.templates),
            "number": self.number,
        }

    def check(self) -> None:
        """Read the vocabulary; raises ConfigError where it cannot be read."""
        self.words()

    def words(self) -> tuple[str, ...]:
        """Return the vocabulary."""
        return read_words(self.vocabulary or OWN_WORDS)

    def look(
        self,
        context: Context,
        chosen: Mapping[str, ResolvedWeights],
        normals: Sequence[Sample],
        *,
        dataset: str,
        category: str,
    ) -> Tagged:
        """Return the nearest words of every image, the nearest first."""
        clip = {"clip": chosen[ROLE]}
        words = self.words()
        vectors = self._text_vectors(context, clip, words)
        stage = vector_stage(context, self.clip, clip)
        images = []
        for sample, artifact in context.run(stage, normals):
            seen = image_vector(artifact)
            cosines = vectors @ (seen / np.linalg.norm(seen))
            best = np.argsort(-cosines, kind="stable")[: self.number]
            tags = tuple(Tag(words[int(i)], round(float(cosines[int(i)]), 6)) for i in best)
            images.append(ImageTags(sample=sample, tags=tags))
        return Tagged(images=tuple(images))

    def _text_vectors(
        self, context: Context, chosen: Mapping[str, ResolvedWeights], words: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """Unit vectors of all words, (N, E), computed once per vocabulary."""

        def compute(_: Sequence[Inputs]) -> list[Artifact]:
            network = self.clip.load(context, chosen)
            prompts = [[template.format(word) for template in self.templates] for word in words]
            rows = [network.text(one, long_texts=self.clip.long_texts) for one in prompts]
            return [{"vectors": np.stack(rows), **cut_off(network.reader, list(chain(*prompts)))}]

        stage = Stage(
            name="clip_vocabulary",
            version=1,
            settings={**self.clip.text_facts(), "words": list(words), "templates": list(self.templates)},
            weights={"clip": chosen["clip"].sha256},
            compute=compute,
            needs_image=False,
        )
        found = context.once(stage, "vocabulary")
        tell_cut_off(context, self.clip.long_texts, found)
        return np.asarray(found["vectors"])


@cache
def read_words(path: Path) -> tuple[str, ...]:
    """Read a vocabulary: one noun a line, once each, in its order.

    Raises:
        ConfigError: the file cannot be read, or has no word.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the tagger's vocabulary {path} cannot be read ({error})") from error
    words = tuple(dict.fromkeys(" ".join(line.partition("#")[0].split()).lower() for line in lines))
    found = tuple(word for word in words if word)
    if not found:
        raise ConfigError(f"the tagger's vocabulary {path} has no word; write one noun a line")
    return found
