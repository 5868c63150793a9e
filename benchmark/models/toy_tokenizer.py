"""Vocabularies of single letters, BERT's kind and CLIP's, for language models with random weights and for tests."""

from __future__ import annotations

import string
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import WeightsError

if TYPE_CHECKING:
    from transformers import BertTokenizerFast, CLIPTokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SIGNS = string.ascii_lowercase + string.digits
LETTERS = (*SPECIAL, *string.punctuation, *_SIGNS, *(f"##{sign}" for sign in _SIGNS))


@cache
def toy_tokenizer() -> BertTokenizerFast:
    """Return a BERT tokenizer that spells every word; it needs no file of real weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(LETTERS), encoding="utf-8")
        return bert_tokenizer(path)


def bert_tokenizer(vocabulary: Path) -> BertTokenizerFast:
    """Return the lower-casing BERT tokenizer of a ``vocab.txt`` (one word piece a line).

    Raises:
        WeightsError: the file cannot be read or lacks the special tokens.
    """
    from transformers import BertTokenizerFast

    try:
        pieces = vocabulary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"the vocabulary {vocabulary} cannot be read ({error})") from error
    lacking = [token for token in (*SPECIAL, ".", "?") if token not in pieces]
    if lacking:
        raise WeightsError(f"the vocabulary {vocabulary} lacks {', '.join(lacking)}: it is not the one of BERT uncased")
    # The pieces themselves and not the file's name: that goes unread in transformers 5, and every word becomes [UNK].
    return BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=True)


def clip_letters(most: int) -> CLIPTokenizer:
    """Return a CLIP tokenizer of single letters that needs no file of real weights.

    Its first id is padding, as OWL-ViT takes a text that begins with 0 for none.

    Args:
        most: tokens of the longest text.
    """
    from transformers import CLIPTokenizer

    signs = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = ["<pad>", "<|startoftext|>", "<|endoftext|>", *signs, *(f"{sign}</w>" for sign in signs)]
    special = {"pad_token": words[0], "unk_token": words[2]}
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=most, **special)
