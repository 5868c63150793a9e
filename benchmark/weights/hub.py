"""Weights of the Hugging Face hub, by name: ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``.

``hub:OWNER/NAME:open_clip`` is open_clip's file of a repository that holds a model for other libraries too.

They are downloaded where a person asks for them (``make weights``), into the hub's own cache (HF_HOME), where an
interrupted download goes on; a run reads that cache and never the network.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.core.errors import ConfigError, DownloadError, WeightsError, reason
from benchmark.weights import shards
from benchmark.weights.local import LocalWeights

PREFIX = "hub:"
OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
FILES = ("model.safetensors", shards.INDEX, OPEN_CLIP[0], "pytorch_model.bin", OPEN_CLIP[1])
"""Names of weights files, the first one that is there counts; with ``:open_clip`` only its own do."""
DESCRIPTIONS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
"""Names of what describes a model beside its weights: configuration, processor and vocabulary."""
_PART = r"(?![.-])[\w.-]+(?<![.-])"
_NAME = re.compile(
    r"hub:(?![^@:]*(?:--|\.\.|/[^@:]{97}))"
    rf"({_PART}/{_PART})(?<!\.git)(?:@((?!\S*\.\.)[\w./-]+))?(:open_clip)?",
    re.ASCII,
)
"""As the hub allows them (``huggingface_hub.utils.validate_repo_id``), and revisions as git does."""


def is_name(word: str) -> bool:
    """Whether a word names weights of the hub."""
    return word.startswith(PREFIX)


def is_well_formed(name: str) -> bool:
    """Whether a word is written as names of the hub are."""
    return _NAME.fullmatch(name) is not None


def is_here(name: str) -> bool:
    """Whether the hub's cache has the weights; the network is not asked."""
    try:
        shards.files_of(weights_file(local_folder(name), _order(name)))
    except WeightsError:
        return False
    return True


def local_folder(name: str) -> Path:
    """Return the folder of a repository's files in the hub's cache, without asking the network.

    Raises:
        ConfigError: no such form of a name.
        WeightsError: it is not there; the message names the command that gets it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, revision, _ = _split(name)
    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        raise WeightsError(f"{name} is not on this machine; get it with: make weights PIPELINE={name}") from None


def weights_file(folder: Path, order: tuple[str, ...] = FILES) -> Path:
    """Return the weights file in a model's folder, or the index of several.

    Raises:
        WeightsError: there is none of the usual names.
    """
    for name in order:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder} holds none of {', '.join(order)}")


def resolve(name: str) -> LocalWeights:
    """Find weights in the hub's cache; nothing is known of their training.

    Raises:
        ConfigError: no such form of a name.
        WeightsError: they are not there; the message names the command that gets them.
    """
    folder = local_folder(name)
    try:
        file = weights_file(folder, _order(name))
        sha256 = shards.digest(file)
    except WeightsError as error:
        raise WeightsError(f"{name}: {error}; get it with: make weights PIPELINE={name}") from None
    return LocalWeights(
        name=f"{PREFIX}{_split(name)[0]}@{folder.name[:12]}",  # the folder is named by the commit
        path=file,
        files={path.name: path for path in sorted(folder.iterdir()) if path.is_file()},
        sha256=sha256,
        licence=None,
        trained_on=None,
        target_data=None,
    )


def cached() -> list[tuple[str, int]]:
    """Return the models in the hub's cache on this machine, by name, with the bytes that they take."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    return sorted((f"{PREFIX}{repo.repo_id}", repo.size_on_disk) for repo in found if repo.repo_type == "model")


def fetch(name: str, *, offline: bool = False) -> LocalWeights:
    """Download a repository's weights and descriptions into the hub's cache, unless they are there.

    Raises:
        ConfigError: no such form of a name.
        DownloadError: the hub cannot be reached, has no such repository or wants its terms accepted.
        WeightsError: offline, and they are not there.
    """
    if offline:
        return resolve(name)
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    repository, revision, _ = _split(name)
    try:
        there = HfApi().list_repo_files(repository, revision=revision)
        weights = next((file for file in _order(name) if file in there), None)
        if weights is None:
            raise DownloadError(f"{name}: the repository holds none of {', '.join(_order(name))}")
        wanted = [weights, *(file for file in DESCRIPTIONS if file in there)]
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
        if shards.is_index(folder / weights):  # which says what files there are; of that very commit
            further = sorted(set(shards.places(folder / weights).values()))
            if absent := [file for file in further if file not in there]:
                raise DownloadError(f"{name}: its index names {', '.join(absent)}, which it does not hold")
            snapshot_download(repository, revision=folder.name, allow_patterns=further)
    except GatedRepoError:
        raise DownloadError(
            f"{name} is given to those who accept its terms: accept them at https://huggingface.co/{repository} with "
            "your account, make an access token there (Settings, Access Tokens), and give it as HF_TOKEN=… or by "
            f"hf auth login; then: make weights PIPELINE={name}"
        ) from None
    except RepositoryNotFoundError:
        raise DownloadError(
            f"{name}: the hub has no such repository, or it is a private one, for which HF_TOKEN must be set"
        ) from None
    except (HTTPError, OSError) as error:
        raise DownloadError(
            f"{name} cannot be had from the hub ({reason(error)}); get it where there is a network "
            f"with: make weights PIPELINE={name}  and bring the folder that HF_HOME names"
        ) from None
    return resolve(name)


def _split(name: str) -> tuple[str, str | None, str | None]:
    """Return repository, revision and the mark of a library."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(f"weights {name!r}: a name of the hub is written hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
    return found[1], found[2], found[3]


def _order(name: str) -> tuple[str, ...]:
    """Names of weights files, the best first."""
    return OPEN_CLIP if _split(name)[2] else FILES
