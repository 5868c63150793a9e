"""The same classifier over a model in this process: a tiny one with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.chat.answers import AnswerStore
from benchmark.core.errors import WeightsError
from benchmark.core.questions import DETECTION, MultipleChoice, Questions
from tests.pipelines.vlm.toys import context, images, pipeline, predict

TEMPLATE = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} "
    "{% endif %}{% endfor %}{% endfor %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llava model of a few thousand weights, its processor and a tokenizer of single letters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("model")
    words = ["<pad>", "<s>", "</s>", "<unk>", "<image>", *map(chr, range(32, 127))]
    letters = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = CLIPVisionConfig(image_size=16, patch_size=8, **sizes)
    text = LlamaConfig(vocab_size=len(words), eos_token_id=2, pad_token_id=0, bos_token_id=1, **sizes)
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=4, vision_feature_layer=-1)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def test_a_local_model_answers_and_is_not_asked_twice(tmp_path: Path, model: Path) -> None:
    given = (f"pipeline.provider.access.path={model}", "pipeline.provider.max_output_tokens=6")
    samples = images(tmp_path / "images", 2)
    where = context(tmp_path, samples)
    predictions = predict(pipeline(tmp_path, *given, name="vlm_local"), where)
    assert [p.outcome for p in predictions] == ["invalid"] * 2  # random weights speak no JSON
    assert {p.extra["output_tokens"] for p in predictions} <= set(range(1, 7))
    assert where.weights["local"].sha256 and where.counters["vlm/answered"] == 2
    (record, _) = AnswerStore(tmp_path / "answers").records()
    assert record.request["files"] == where.weights["local"].sha256 and record.reply is not None
    again = context(tmp_path, samples)
    assert predict(pipeline(tmp_path, *given, name="vlm_local"), again) == predictions
    assert again.counters["vlm/reused"] == 2 and "vlm/answered" not in again.counters


def test_other_formats_than_safetensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    where = context(tmp_path, images(tmp_path / "images", 1))
    with pytest.raises(WeightsError, match="safetensors"):
        predict(pipeline(tmp_path, f"pipeline.provider.access.path={tmp_path}", name="vlm_local"), where)
    with pytest.raises(WeightsError, match="name its folder"):
        predict(pipeline(tmp_path, name="vlm_local"), where)


def test_a_local_model_is_asked_multiple_choice_questions_in_plain_text(tmp_path: Path, model: Path) -> None:
    asked = MultipleChoice(task=DETECTION, text="Any defect?", options=(("A", "Yes."), ("B", "No.")), key="A")
    (bare,) = images(tmp_path / "images", 1)
    sample = replace(bare, questions=Questions(asked=(asked, replace(asked, task="Defect Analysis"))))
    given = (f"pipeline.provider.access.path={model}", "pipeline.provider.max_output_tokens=6", "pipeline.shots=0")
    where = context(tmp_path, (sample,))
    (prediction,) = predict(pipeline(tmp_path, *given, name="multiple_choice_local"), where)
    assert prediction.choices is not None and len(prediction.choices) == 2
    (record,) = AnswerStore(tmp_path / "answers").records()
    assert record.request["instruction"] is None, "two equal questions are asked once"
    (*_, text) = [part["text"] for part in record.request["parts"] if "text" in part]
    assert text.endswith("A. Yes.\nB. No.\n\nAnswer with the letter of the right option and nothing else.")


def test_a_local_model_s_own_logits_make_an_image_score(tmp_path: Path, model: Path) -> None:
    """Random weights never write a label, so the likeliest tokens are looked at in the reply itself."""
    import json
    import math

    given = (f"pipeline.provider.access.path={model}", "pipeline.provider.max_output_tokens=3")
    where = context(tmp_path, images(tmp_path / "images", 1))
    predict(pipeline(tmp_path, *given, "pipeline.image_score=logprobs", name="vlm_local"), where)
    (record,) = AnswerStore(tmp_path / "answers").records()
    reply = json.loads(str(record.body))
    assert record.request["logprobs"] == 5 and len(reply["logprobs"]["content"]) == reply["output_tokens"]
    for token in reply["logprobs"]["content"]:
        likely = [one["logprob"] for one in token["top_logprobs"]]
        assert likely == sorted(likely, reverse=True) and len(likely) == 5
        assert likely[0] == token["logprob"]  # the likeliest token is taken
        assert 0 < sum(math.exp(value) for value in likely) <= 1 + 1e-6
