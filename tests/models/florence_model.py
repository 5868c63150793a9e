"""A tiny Florence-2 of transformers' real class, whose words are mostly places."""

from __future__ import annotations

from typing import Any


def florence2_config() -> Any:
    """Return the configuration of a network of a hundred thousand parameters."""
    import transformers as t

    tokens = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    size = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": len(_florence2_words())}
    return t.Florence2Config(
        text_config={"model_type": "bart", **tokens, **layers, **size, "max_position_embeddings": 96},
        vision_config={
            "embed_dim": [8, 16, 32, 32],
            "num_heads": [1, 2, 2, 2],
            "num_groups": [1, 2, 2, 2],
            "depths": [1, 1, 1, 1],
            "window_size": 4,
            "projection_dim": 32,
        },
        image_token_id=_florence2_words()["<image>"],
    )


def spread_florence2(network: Any) -> None:
    """Let random weights write places, and none twice."""
    words = _florence2_words()
    network.model.language_model.shared.weight.normal_(std=1.0)
    network.generation_config.no_repeat_ngram_size = 1
    network.generation_config.suppress_tokens = [n for word, n in words.items() if word[:4] not in ("<loc", "</s>")]


def _florence2_words() -> dict[str, int]:
    """Letters, and mostly places, which a network of random weights therefore mostly writes."""
    import string

    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "Ġ"]
    words = [*special, *letters, *(f"<loc_{n}>" for n in range(1000))]
    return {word: number for number, word in enumerate(words)}


def florence2_processor() -> tuple[Any, Any]:
    import transformers as t

    places = [f"<loc_{n}>" for n in range(1000)]
    tokenizer = t.BartTokenizer(vocab=_florence2_words(), merges=[], additional_special_tokens=["<image>", *places])
    size = {"height": 96, "width": 96}
    return t.CLIPImageProcessor(size=size, do_center_crop=False), tokenizer
