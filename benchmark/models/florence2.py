"""Florence-2 as a detector: it writes the places of a phrase as words, and the words' probabilities make the score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import WeightsError
from benchmark.models.detection_answer import END, START, Answer, Floats, phrases, prepared
from benchmark.models.once_an_image import OnceAnImage
from benchmark.models.runtime import Device

if TYPE_CHECKING:
    import torch

QUESTION = "Locate the phrases in the caption: {}"
"""What Florence-2 was trained to be asked for ``<CAPTION_TO_PHRASE_GROUNDING>``."""
BINS = 1000
"""Places are words of a thousandth of the image's width or height."""
MOST_WORDS = 512
"""Tokens of an answer: some hundred boxes, far more than a phrase has."""
Found = list[tuple[list[float], float]]
"""Boxes as fractions (x0, y0, x1, y1), each with its score."""


def image_tokens(config: Any, processor: Any) -> int:
    """Return how many tokens an image is: a grid of places, and the mean of them."""
    reduced = int(np.prod(config.vision_config.patch_stride))
    return int(processor.size["height"] // reduced) * int(processor.size["width"] // reduced) + 1


def most_tokens(config: Any, processor: Any, pieces: Callable[[str], Sequence[str]]) -> int:
    """Return how many tokens a phrase may have, special ones included: what the image and the question leave.

    Args:
        pieces: cuts a text into tokens, special ones included.
    """
    question = len(pieces(QUESTION.format(""))) - len(pieces(""))
    return int(config.text_config.max_position_embeddings) - image_tokens(config, processor) - question


class FlorenceFamily:
    """Florence-2, asked phrase by phrase where it is (``Family``).

    It gives no score. In its place stands the geometric mean of the probabilities of the four words of a box, each
    given all before it: how sure the network is of the place. It is not sure that the phrase is there at all, as it
    was trained on phrases that are, and answers every one. What it says of a phrase and a box is therefore said of
    that phrase's own boxes alone; a contrast counts for a box by the best of the contrast's boxes, its score times its
    IoU with the box.

    Raises:
        WeightsError: the tokenizer is that of another model.
    """

    by_phrase = True

    def __init__(
        self, network: Any, processor: Any, tokenizer: Any, *, device: Device, captions_per_batch: int
    ) -> None:
        self.network, self.processor, self.tokenizer, self.device = network, processor, tokenizer, device
        self.captions_per_batch = captions_per_batch
        places = tokenizer.convert_tokens_to_ids([f"<loc_{n}>" for n in range(BINS)])
        self._places = {token: number for number, token in enumerate(places) if token != tokenizer.unk_token_id}
        if not self._places:
            raise WeightsError("its tokenizer has no words for places (<loc_0> …): it is not that of a Florence-2")
        self._image = OnceAnImage(network.model.vision_tower)

    def pieces(self, caption: str) -> list[str]:
        """Return the phrases."""
        return [START, *phrases(caption), END]

    def ask(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], contrasts: Sequence[str]
    ) -> list[list[Answer]]:
        """Ask about image after image, some phrases at once."""
        asked = [phrases(caption) for caption in captions]
        every = list(dict.fromkeys([*(text for texts in asked for text in texts), *filter(None, contrasts)]))
        return [
            [
                _answer([found[text] for text in texts], found.get(contrast))
                for texts, contrast in zip(asked, contrasts, strict=True)
            ]
            for found in (dict(self._about(image, every)) for image in images)
        ]

    def _about(self, image: NDArray[np.uint8], texts: Sequence[str]) -> Iterator[tuple[str, Found]]:
        pixels = self.device.send(prepared(self.processor, [image]))
        self._image.forget()
        for start in range(0, len(texts), self.captions_per_batch):
            part = texts[start : start + self.captions_per_batch]
            ids, probabilities = self._written(pixels, part)
            for text, row, sure in zip(part, ids, probabilities, strict=True):
                yield text, boxes_of(row, sure, self._places)

    def _written(self, pixels: torch.Tensor, texts: Sequence[str]) -> tuple[list[list[int]], list[list[float]]]:
        """Return of each text the tokens of the answer, and the probability of each."""
        import torch

        inputs = {name: ids.to(self.device.name) for name, ids in self.question(texts).items()}
        most = min(MOST_WORDS, self.network.config.text_config.max_position_embeddings - 1)
        written = self.network.generate(
            **inputs,
            pixel_values=pixels.expand(len(texts), *pixels.shape[1:]),
            max_new_tokens=most,
            num_beams=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = torch.stack(written.logits, dim=1).float()
        tokens = written.sequences[:, -logits.shape[1] :]
        sure = logits.softmax(dim=-1).gather(2, tokens[..., None])[..., 0]
        return tokens.tolist(), sure.tolist()

    def question(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the tokens of what is asked about each text, with the image's places before them."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        own = self.tokenizer
        image = [self.network.config.image_token_id] * image_tokens(self.network.config, self.processor)
        asked = [f"{own.bos_token}{QUESTION.format(text)}{own.eos_token}" for text in texts]
        rows = [torch.tensor([*image, *ids]) for ids in own(asked, add_special_tokens=False)["input_ids"]]
        ids = pad_sequence(rows, batch_first=True, padding_value=own.pad_token_id)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return {"input_ids": ids, "attention_mask": mask}


def boxes_of(tokens: Sequence[int], probabilities: Sequence[float], places: dict[int, int]) -> Found:
    """Read the boxes of an answer: words of places that follow each other, by fours; what is left over is none.

    Boxes without extent are left out.

    Args:
        tokens: of the answer.
        probabilities: of each token.
        places: token to place, 0 … 999.
    """
    found: Found = []
    numbered = [(places.get(token), sure) for token, sure in zip(tokens, probabilities, strict=True)]
    for is_place, run in groupby(numbered, key=lambda one: one[0] is not None):
        words = list(run) if is_place else []
        for start in range(0, len(words) - 3, 4):
            four = words[start : start + 4]
            x0, y0, x1, y1 = ((place or 0) for place, _ in four)
            if x1 > x0 and y1 > y0:
                score = float(np.prod([sure for _, sure in four]) ** 0.25)
                found.append(([(place + 0.5) / BINS for place in (x0, y0, x1, y1)], score))
    return found


def _answer(by_phrase: Sequence[Found], contrast: Found | None) -> Answer:
    """Lay the boxes of a caption's phrases behind each other; each has a probability of its own phrase alone."""
    corners = np.array([box for found in by_phrase for box, _ in found], dtype=np.float32).reshape(-1, 4)
    wide = len(by_phrase) + 2 + (contrast is not None)
    probabilities = np.zeros((len(corners), wide), dtype=np.float32)
    row = 0
    for number, found in enumerate(by_phrase, start=1):
        for _, score in found:
            probabilities[row, number] = score
            row += 1
    if contrast:
        others = np.array([box for box, _ in contrast], dtype=np.float32)
        scores = np.array([score for _, score in contrast], dtype=np.float32)
        probabilities[:, -1] = (_overlaps(corners, others) * scores).max(axis=1)
    sides = corners[:, 2:] - corners[:, :2]
    boxes = np.concatenate([corners[:, :2] + sides / 2, sides], axis=1)
    return Answer(probabilities=probabilities, boxes=np.asarray(boxes, dtype=np.float32))


def _overlaps(one: Floats, other: Floats) -> Floats:
    """IoU of boxes (N, 4) and (M, 4) of corners: (N, M)."""
    import torch
    from torchvision.ops import box_iou

    return np.asarray(box_iou(torch.from_numpy(one), torch.from_numpy(other)).numpy(), dtype=np.float32)
