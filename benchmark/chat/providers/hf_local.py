"""An open-weight model on this machine, through transformers."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.chat.form import Form
from benchmark.chat.logprobs import LOGPROBS, tokens_of_chat
from benchmark.chat.profiles import Sampling
from benchmark.chat.providers.base import CallError, Raw
from benchmark.chat.question import Question
from benchmark.chat.reply import Reply, body_text, number, object_in, part, word
from benchmark.chat.verdict import Reading, Usage
from benchmark.core.errors import WeightsError
from benchmark.core.settings import FolderPath, Settings
from benchmark.stages.context import Context
from benchmark.weights.used import WeightsUsed

if TYPE_CHECKING:
    import torch


class LocalAccess(Settings):
    """Where the model lies; nothing here changes an answer."""

    path: FolderPath | None
    """Folder with config, processor and safetensors files."""


class LocalSettings(Settings):
    """The provider ``hf_local``."""

    toy = None

    kind: Literal["hf_local"]
    model: str
    """Name in results, such as the repository that the files come from."""
    licence: str | None
    trained_on: tuple[str, ...] | None
    """Training data by name; null: not known."""
    precision: Literal["fp32", "bf16", "fp16"]
    sampling: Sampling
    """Without a temperature the likeliest token is taken each time."""
    max_output_tokens: int = Field(ge=1)
    access: LocalAccess


class LocalModel:
    """One model in this process; questions are answered one after the other."""

    name = "hf_local"

    def __init__(self, settings: LocalSettings, *, form: Form | None, context: Context) -> None:
        """Check the files and take their digest; the model is loaded with the first question.

        Without a form nothing is said of the answer's.

        Raises:
            WeightsError: there is no such folder, or it holds no safetensors.
        """
        self.settings = settings
        self.model = settings.model
        self.form = form
        self.context = context
        self.sha256 = model_digest(settings.access.path)
        context.note_weights(
            WeightsUsed(
                name=settings.model,
                sha256=self.sha256,
                licence=settings.licence,
                trained_on=settings.trained_on,
                target_data=None,
            )
        )
        self._one_at_a_time = threading.Lock()

    def facts(self) -> dict[str, Any]:
        """Return what changes an answer beside the question."""
        s = self.settings
        return {
            "provider": self.name,
            "model": s.model,
            "files": self.sha256,
            "precision": s.precision,
            "sampling": s.sampling.given(),
            "max_output_tokens": s.max_output_tokens,
            "instruction": None if self.form is None else self.form.instruction(),
            **({"logprobs": LOGPROBS} if self._logprobs else {}),
        }

    @property
    def _logprobs(self) -> bool:
        return self.form is not None and self.form.logprobs

    def open(self) -> None:
        """Load the model."""
        self._loaded()

    def _loaded(self) -> tuple[Any, Any]:
        device, precision = self.context.device, self.settings.precision
        key = ("hf_local", self.sha256, device, precision)
        return self.context.model(key, lambda: _load(str(self.settings.access.path), device, precision))

    def ask(self, question: Question) -> Raw:
        """Answer one question; raises CallError where memory does not suffice."""
        import torch
        import transformers

        s = self.settings
        processor, model = self._loaded()
        with self._one_at_a_time, torch.inference_mode():
            try:
                inputs = self._inputs(processor, question).to(model.device)
                given = {k: v for k, v in s.sampling.given().items() if k != "seed"}
                torch.manual_seed((s.sampling.seed or 0) + question.draw)
                made = model.generate(
                    **inputs,
                    max_new_tokens=s.max_output_tokens,
                    do_sample="temperature" in given,
                    return_dict_in_generate=True,
                    output_logits=self._logprobs,
                    **given,
                )
            except torch.OutOfMemoryError:
                raise CallError("out of memory: use a smaller pipeline.image.max_side", kind="request") from None
        sent = int(inputs["input_ids"].shape[1])
        new = made.sequences[0, sent:]
        ends = model.generation_config.eos_token_id
        ended = len(new) > 0 and int(new[-1]) in (ends if isinstance(ends, list) else [ends])
        text = processor.decode(new, skip_special_tokens=True)
        reply = {"text": text, "prompt_tokens": sent, "output_tokens": len(new), "ended": ended, "model": s.model}
        if self._logprobs:
            reply["logprobs"] = {"content": _likeliest(processor, new.tolist(), made.logits)}
        return Raw(body=body_text(json.dumps(reply)), software=f"transformers {transformers.__version__}")

    def _inputs(self, processor: Any, question: Question) -> Any:
        from PIL import Image

        words = question.parts if self.form is None else (*question.parts, self.form.instruction())
        content = [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in words]
        images = [Image.open(io.BytesIO(p.data)).convert("RGB") for p in question.parts if not isinstance(p, str)]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return processor(text=prompt, images=images, return_tensors="pt")

    def read(self, reply: Reply) -> Reading:
        """Read a reply; raises Unreadable."""
        found = object_in(reply)
        ended = bool(part(found, "ended"))
        return Reading(
            text=word(part(found, "text")),
            truncated=not ended,
            finish="stop" if ended else "length",
            model_version=word(part(found, "model")),
            usage=Usage(prompt=number(part(found, "prompt_tokens")), output=number(part(found, "output_tokens"))),
            tokens=tokens_of_chat(part(found, "logprobs")),
        )

    def count_tokens(self, question: Question) -> int | None:
        """Count with the model's own processor."""
        processor, _ = self._loaded()
        return int(self._inputs(processor, question)["input_ids"].shape[1])

    def close(self) -> None:
        """Nothing is closed: the model stays loaded for the next job of a sweep."""


def _likeliest(processor: Any, chosen: list[int], logits: Any) -> list[dict[str, Any]]:
    """Return the tokens of an answer with their likeliest rivals, in the shape of chat completions.

    Args:
        processor: knows the tokens' texts.
        chosen: (T,) numbers of the tokens.
        logits: T tensors (1, vocabulary), before anything was done to them.
    """
    import torch

    def named(token: int, logprobs: torch.Tensor) -> dict[str, Any]:
        return {"token": processor.decode([token]), "logprob": float(logprobs[token])}

    found = []
    for token, raw in zip(chosen, logits, strict=True):
        logprobs = torch.log_softmax(raw[0].float(), dim=-1).cpu()
        best = torch.topk(logprobs, min(LOGPROBS, len(logprobs))).indices.tolist()
        found.append({**named(token, logprobs), "top_logprobs": [named(each, logprobs) for each in best]})
    return found


def model_digest(folder: Path | None) -> str:
    """Return the digest over the files that make the model."""
    from benchmark.weights.digests import file_digests

    if folder is None or not folder.is_dir():
        raise WeightsError(
            f"pipeline.provider.access.path={folder}: no such folder; download a model in the layout of transformers "
            "(config.json, *.safetensors, processor files) and name its folder"
        )
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".txt", ".model", ".jinja"))
    if not any(p.suffix == ".safetensors" for p in files):
        raise WeightsError(f"{folder} holds no *.safetensors; other formats can run code and are not loaded")
    listing = "\n".join(f"{p.name} {file_digests(p)[0]}" for p in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _load(path: str, device: str, precision: str) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    return load_local(AutoProcessor, AutoModelForImageTextToText, path, device=device, precision=precision)


def load_local(reader: Any, network: Any, path: str, *, device: str, precision: str) -> tuple[Any, Any]:
    """Load a model of the user's own folder: nothing is fetched, and no code of the folder runs.

    Args:
        reader: class of transformers that prepares texts, and images where the model takes them.
        network: class of transformers that answers.
        path: folder of the model.
        device: as torch names it.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """
    import torch

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    strict = {"local_files_only": True, "trust_remote_code": False}
    read = reader.from_pretrained(path, **strict)
    model = network.from_pretrained(path, dtype=kind, use_safetensors=True, **strict)
    return read, model.to(device).eval()
