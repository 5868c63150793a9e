"""Prompters: the static table, and language models behind real clients against local servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.config.options import options
from benchmark.config.schema import option_settings
from benchmark.core.errors import BenchmarkError, ConfigError, WeightsError
from benchmark.core.resources import CONF
from benchmark.core.samples import Manifest
from benchmark.pipelines.iap.prompters.base import Answer, Request
from benchmark.pipelines.iap.prompters.wording import messages
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import compose
from tests.pipelines.iap.prompters.servers import Reply, busy, chat, gemini, serving

KEY = "AIza-not-a-real-key-012345678901234"
FAST = ("pipeline.prompter.retries.first_delay_s=0.01", "pipeline.prompter.retries.longest_delay_s=0.5")
Speak = Callable[..., Reply]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


def prompter(name: str, *overrides: str) -> Any:
    values, _ = compose("pipeline=iap_as", f"prompter@pipeline.prompter={name}", *overrides)
    return option_settings("pipeline.prompter", values["pipeline"]["prompter"])


def context(folder: Path) -> Context:
    return Context(manifest=Manifest(dataset="toy", samples=()), samples=(), store=Store(folder / "store"))


def request(name: str = "metal nut") -> Request:
    system, user = messages("nouns", name)
    return Request(dataset="toy", category="metal_nut", object=name, system=system, user=user)


def ask(name: str, url: str, folder: Path, *overrides: str) -> Answer:
    address = f"pipeline.prompter.provider.access.base_url={url}"
    asked = prompter(name, *(FAST if name != "hf_local" else ()), address, *overrides)
    asked.check()
    answer: Answer = asked.answer(context(folder), request())
    return answer


@pytest.mark.parametrize("name", options("prompter"))
def test_every_prompter_composes_into_the_pipeline(name: str) -> None:
    made = prompter(name)
    assert type(made).__module__ == f"benchmark.pipelines.iap.prompters.{name}"


def test_the_static_table_answers_by_words_of_object_and_category(tmp_path: Path) -> None:
    static = prompter("static")
    found = static.answer(context(tmp_path), request("metal plate")).raw.split(", ")
    assert found[:4] == ["corrosion", "rust", "bend", "pit"] and "flip" in found and "scratch" in found
    assert len(found) == len(set(found))
    plain = Request(dataset="toy", category="x", object="thing", system="", user="")
    assert static.answer(context(tmp_path), plain).raw == ", ".join(static.general)


def test_an_endpoint_gets_both_messages_and_its_answer_is_kept_as_it_came(tmp_path: Path) -> None:
    with serving(lambda _: chat("Scratch, Crack.\n")) as fake:
        answer = ask("openai_compatible", f"{fake.url}/v1", tmp_path)
    assert answer.raw == "Scratch, Crack.\n"
    assert [m["role"] for m in fake.bodies[0]["messages"]] == ["system", "user"]
    assert "metal nut" in fake.bodies[0]["messages"][1]["content"]
    assert "OK" not in str(fake.bodies[0]["messages"]), "nothing of the classifier's instruction"
    assert {k: fake.bodies[0][k] for k in ("temperature", "seed", "max_tokens")} == {
        "temperature": 0.0,
        "seed": 0,
        "max_tokens": 512,
    }
    assert (answer.facts["model_version"], answer.facts["response_id"]) == ("llama3", "c1")


def test_gemini_is_asked_in_plain_text_through_its_sdk(tmp_path: Path) -> None:
    with serving(lambda _: gemini("scratch, crack")) as fake:
        answer = ask("google_genai", fake.url, tmp_path)
    assert answer.raw == "scratch, crack" and fake.paths == ["/v1/models/gemini-3.8-flash:generateContent"]
    assert "responseMimeType" not in fake.bodies[0].get("generationConfig", {})
    assert KEY not in str(answer.facts) and answer.facts["tokens"] == {"prompt": 9, "output": 5}


@pytest.mark.parametrize(("name", "speak"), [("openai_compatible", chat), ("google_genai", gemini)])
def test_a_slow_a_busy_and_a_garbled_reply_are_asked_again(name: str, speak: Speak, tmp_path: Path) -> None:
    script = [Reply({}, delay=1.0), busy(503), Reply(b"<html>no</html>")]
    with serving(lambda n: script[n] if n < 3 else speak("crack")) as fake:
        answer = ask(name, fake.url, tmp_path, "pipeline.prompter.provider.access.timeout_s=0.3")
    assert answer.raw == "crack" and len(fake.bodies) == 4


@pytest.mark.parametrize(("name", "speak"), [("openai_compatible", chat), ("google_genai", gemini)])
def test_a_service_that_stays_down_ends_the_run_with_what_to_do(name: str, speak: Speak, tmp_path: Path) -> None:
    with serving(lambda _: busy(500)) as fake, pytest.raises(BenchmarkError) as caught:
        ask(name, fake.url, tmp_path, "pipeline.prompter.retries.attempts=3")
    assert len(fake.bodies) == 3
    assert "after 3 attempts" in str(caught.value) and "prompter@pipeline.prompter=static" in str(caught.value)
    assert "metal_nut" in str(caught.value) and KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["openai_compatible", "google_genai"])
def test_a_refused_request_and_a_closed_port_are_told_apart(name: str, tmp_path: Path) -> None:
    with serving(lambda _: busy(403)) as fake, pytest.raises(BenchmarkError, match="403"):
        ask(name, fake.url, tmp_path)
    assert len(fake.bodies) == 1, "asking again would not help"
    with pytest.raises(BenchmarkError, match="after 2 attempts"):
        ask(name, fake.url, tmp_path, "pipeline.prompter.retries.attempts=2")


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("openai_compatible", chat(None, finish="content_filter")),
        ("openai_compatible", chat(None, refusal="no")),
        ("google_genai", gemini(None, finish="SAFETY")),
        ("google_genai", Reply({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "gemini-3.8-flash"})),
    ],
)
def test_a_withheld_answer_says_so(name: str, reply: Reply, tmp_path: Path) -> None:
    with serving(lambda _: reply) as fake:
        answer = ask(name, fake.url, tmp_path)
    assert answer.raw == "" and answer.withheld


def test_another_model_than_the_one_asked_is_refused_unless_allowed(tmp_path: Path) -> None:
    with serving(lambda _: gemini("crack", model="gemini-9-other")) as fake:
        with pytest.raises(BenchmarkError, match="gemini-9-other"):
            ask("google_genai", fake.url, tmp_path)
        allowed = ask("google_genai", fake.url, tmp_path, "pipeline.prompter.allow_model_drift=true")
    assert allowed.facts["model_version"] == "gemini-9-other"


def test_a_missing_key_names_the_variable_and_the_ways_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(ConfigError, match=r"GEMINI_API_KEY.*prompter@pipeline\.prompter=static"):
        ask("google_genai", "http://127.0.0.1:9", tmp_path)
    with pytest.raises(ConfigError, match=r"pipeline\.prompter\.provider\.sampling\.temperature"):
        prompter("google_genai", "pipeline.prompter.provider.sampling.temperature=0.5").check()


def tiny_chat_model(folder: Path) -> Path:
    """A causal language model with random weights and a tokenizer of a few words, in the layout of transformers."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "<|eot_id|>", "scratch", "crack", "hole", "dent", ",", "metal", "nut", "abnormal"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="<|eot_id|>"
    )
    fast.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_local_chat_model_answers_and_a_seed_repeats_it(tmp_path: Path) -> None:
    folder = tiny_chat_model(tmp_path / "model")
    given = (f"pipeline.prompter.provider.access.path={folder}", "pipeline.prompter.provider.precision=fp32")

    def said(*more: str) -> str:
        chosen = prompter("hf_local", *given, "pipeline.prompter.provider.max_output_tokens=12", *more)
        chosen.check()
        where = context(tmp_path)
        answer = chosen.answer(where, request())
        assert where.weights and answer.facts["files_sha256"] and answer.facts["tokens"]["output"] <= 12
        return str(answer.raw)

    assert said() == said() != ""
    assert said("pipeline.prompter.provider.sampling.seed=5") != said()
    greedy = "pipeline.prompter.provider.sampling={temperature:null,top_p:null,seed:1}"
    assert said(greedy) == said("pipeline.prompter.provider.sampling={temperature:null,top_p:null,seed:2}")
    with pytest.raises(WeightsError, match=r"pipeline\.prompter\.provider\.access\.path"):
        prompter("hf_local").check()


@pytest.mark.parametrize("group", ["tagger", "prompter"])
def test_options_say_what_they_are_and_name_settings_of_this_package(group: str) -> None:
    import yaml

    for name in options(group):
        read = yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))
        assert read["_target_"].startswith(f"benchmark.pipelines.iap.{group}s.{name}.")
