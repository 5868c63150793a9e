"""A chat model on this machine names the defects, through transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.chat.providers.hf_local import LocalSettings, load_local, model_digest
from benchmark.pipelines.iap.prompters.asking import own_keys
from benchmark.pipelines.iap.prompters.base import Answer, Prompter, Request
from benchmark.stages.context import Context
from benchmark.weights.used import WeightsUsed


class LocalPrompter(Prompter):
    """Asks a causal language model with a chat template; the paper's is Llama 3 8B Instruct, which is gated."""

    provider: LocalSettings

    def identity(self) -> Mapping[str, Any]:
        """Return the model's files and the sampling."""
        s = self.provider
        return {
            "kind": "hf_local",
            "model": s.model,
            "files_sha256": self._files(),
            "precision": s.precision,
            "sampling": self._sampling(),
            "seed": s.sampling.seed,
            "max_output_tokens": s.max_output_tokens,
        }

    def check(self) -> None:
        """Raise WeightsError where there is no such folder, or it holds no safetensors."""
        self._files()

    def answer(self, context: Context, request: Request) -> Answer:
        """Generate an answer; a seed makes a drawn one repeatable on one machine."""
        import torch
        import transformers

        s = self.provider
        digest = self._files()
        context.note_weights(
            WeightsUsed(name=s.model, sha256=digest, licence=s.licence, trained_on=s.trained_on, target_data=None)
        )
        path, device = str(s.access.path), context.device
        key = ("chat", digest, device, s.precision)
        tokenizer, model = context.model(key, lambda: _load(path, device, s.precision))
        talk = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
        ids = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        ids = ids.to(device)
        sampling = self._sampling()
        devices = [device] if device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(s.sampling.seed or 0)
            made = model.generate(
                input_ids=ids["input_ids"],
                attention_mask=ids["attention_mask"],
                max_new_tokens=s.max_output_tokens,
                do_sample="temperature" in sampling,
                eos_token_id=_ends(tokenizer, model),
                pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
                **sampling,
            )
        new = made[0, ids["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
        tokens = {"prompt": int(ids["input_ids"].shape[1]), "output": len(new)}
        software = f"transformers {transformers.__version__}"
        return Answer(raw=text, facts={**self.identity(), "software": software, "tokens": tokens})

    def _sampling(self) -> dict[str, Any]:
        """What ``generate`` gets: nothing without a temperature, which takes the likeliest token each time."""
        given = {k: v for k, v in self.provider.sampling.given().items() if k != "seed"}
        return given if "temperature" in given else {}

    def _files(self) -> str:
        with own_keys():
            return model_digest(self.provider.access.path)


def _ends(tokenizer: Any, model: Any) -> list[int]:
    """Tokens that end an answer: the model's own, the tokenizer's, and Llama 3's end of turn."""
    own = model.generation_config.eos_token_id
    ends = own if isinstance(own, list) else [own]
    turn = tokenizer.convert_tokens_to_ids("<|eot_id|>") if "<|eot_id|>" in tokenizer.get_vocab() else None
    found = {int(token) for token in (*ends, tokenizer.eos_token_id, turn) if token is not None}
    return sorted(found)


def _load(path: str, device: str, precision: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return load_local(AutoTokenizer, AutoModelForCausalLM, path, device=device, precision=precision)
