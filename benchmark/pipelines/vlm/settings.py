"""Settings of the pipeline ``vlm`` that are shared by its parts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from benchmark.chat.providers.google import GoogleSettings
from benchmark.chat.providers.hf_local import LocalSettings
from benchmark.chat.providers.openai_compatible import OpenAISettings
from benchmark.core.settings import FolderPath, Settings

ProviderSettings = Annotated[GoogleSettings | OpenAISettings | LocalSettings, Discriminator("kind")]


class AnswersSettings(Settings):
    """Where answers are kept, and whether any is asked for."""

    mode: Literal["auto", "replay", "refresh"]
    """``auto`` asks what is not stored; ``replay`` asks nothing; ``refresh`` asks everything anew, once a run."""
    path: FolderPath
