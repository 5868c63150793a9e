"""Hydra's composing of ``conf/``, several times faster: each file is read once, and Hydra's own settings stay out."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from benchmark.core.resources import CONF
from benchmark.core.yaml_files import read_yaml

if TYPE_CHECKING:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

PRIMARY = "config"


def composes(words: Sequence[str]) -> bool:
    """Whether the words choose nothing of Hydra's own: a launcher, a folder of the user's, a sweep's place."""
    return not any(word.lstrip("+~").startswith("hydra") for word in words)


def load(words: Sequence[str], copies: Mapping[str, str] = MappingProxyType({})) -> tuple[DictConfig, dict[str, Any]]:
    """Compose the application's config; returns it, interpolations unresolved, and the option of each group.

    The config is what ``hydra.compose`` gives for the same words, without ``hydra``.

    Args:
        words: overrides that ``composes`` holds for.
        copies: places that get what the chosen options put at another place, before any value is set.

    Raises:
        HydraException: an override is refused.
    """
    from hydra import version
    from hydra.errors import ConfigCompositionException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    version.setbase("1.3")
    loader = _loader()
    try:
        parsed, repository = loader._parse_overrides_and_create_caching_repo(PRIMARY, list(words))
        loader.validate_sweep_overrides_legal(overrides=parsed, run_mode=RunMode.RUN, from_shell=False)
        chosen = [one for one in parsed if not _sets_a_value(one)]
        config, choices, others = _options(loader, repository, chosen)
        for place, source in copies.items():
            OmegaConf.update(config, place, copy.deepcopy(OmegaConf.select(config, source)), force_add=True)
        loader._apply_overrides_to_config([one for one in parsed if _sets_a_value(one) or one in others], config)
    except OmegaConfBaseException as error:
        raise ConfigCompositionException from error
    return config, choices


def _sets_a_value(one: Override) -> bool:
    """Whether an override sets or adds a dotted key, which is no group's and so changes no choice of options."""
    return "." in one.key_or_group and one.package is None and not one.is_delete()


Options = tuple["DictConfig", dict[str, Any], "list[Override]"]
MOST_CHOICES = 16
"""Choices of options of which the config is kept, a few hundred kB each."""
_kept: OrderedDict[tuple[Any, ...], Options] = OrderedDict()


def _options(loader: ConfigLoaderImpl, repository: Any, chosen: list[Override]) -> Options:
    """Return the config of a choice of options, the option of each group, and the overrides that choose none.

    What was composed before is taken again, while no file of ``conf/`` changed.
    """
    from hydra._internal.defaults_list import create_defaults_list
    from omegaconf import OmegaConf, open_dict

    key = (*(one.input_line for one in chosen), None, *_state(str(CONF)))
    if key not in _kept:
        found = create_defaults_list(
            repo=repository, config_name=PRIMARY, overrides_list=chosen, prepend_hydra=True, skip_missing=False
        )
        config = loader._compose_config_from_defaults_list(found.defaults, repository)
        OmegaConf.set_struct(config, True)
        with open_dict(config):
            config.pop("hydra", None)
        _kept[key] = config, dict(found.overrides.known_choices), found.config_overrides
        if len(_kept) > MOST_CHOICES:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    config, choices, others = _kept[key]
    return copy.deepcopy(config), dict(choices), others


def _state(folder: str) -> Iterator[tuple[str, int, int]]:
    """Name, time and size of every file below a folder."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _state(entry.path)
        else:
            facts = entry.stat()
            yield entry.path, facts.st_mtime_ns, facts.st_size


@cache
def _loader() -> ConfigLoaderImpl:
    """Make the loader when it is first asked for: Hydra is not imported before."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import ConfigRepository
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.object_type import ObjectType
    from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
    from omegaconf import OmegaConf

    class StandIn(ConfigSource):
        """Hydra's own options, empty: those that the application chooses among them, and no schemas."""

        def __init__(self) -> None:
            super().__init__("hydra", "stand-in://")
            chosen = [entry for entry in read_yaml(CONF / f"{PRIMARY}.yaml")["defaults"] if isinstance(entry, dict)]
            pairs = [(key.split()[-1], name) for entry in chosen for key, name in entry.items() if "override" in key]
            groups = [{group.removeprefix("hydra/"): name} for group, name in pairs]
            self.options: dict[str, dict[str, Any]] = {f"{group}/{name}": {} for group, name in pairs}
            self.options["hydra/config"] = {"defaults": [*groups, "_self_"]}

        @staticmethod
        def scheme() -> str:
            """Return how its address begins."""
            return "stand-in"

        def available(self) -> bool:
            """Return that it is there."""
            return True

        def is_config(self, config_path: str) -> bool:
            """Whether it has this option."""
            return config_path in self.options

        def is_group(self, config_path: str) -> bool:
            """Whether it has options in this group."""
            return any(name.startswith(f"{config_path}/") for name in self.options)

        def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
            """Return nothing: none of its options is offered."""
            return []

        def load_config(self, config_path: str) -> ConfigResult:
            """Return an option; as a source of schemas it is asked for those of ``conf/`` too, and has none."""
            if config_path not in self.options:
                raise ConfigLoadError(f"no schema of {config_path}")
            config = OmegaConf.create(self.options[config_path])
            return ConfigResult(provider=self.provider, path=self.path, config=config, header={"package": None})

    class Repository(ConfigRepository):
        """Remembers what an option's file said, by the file's content."""

        def initialize_sources(self, config_search_path: Any) -> None:
            """Take the stand-in and ``conf/``."""
            self.known: dict[str, tuple[bytes, ConfigResult | None]] = {}
            self.stand_in = StandIn()
            self.files = SourcesRegistry.instance().resolve("file")("main", f"file://{CONF}")
            self.sources = [self.stand_in, self.files]

        def __deepcopy__(self, _: Any) -> Repository:
            """Stay the same: Hydra takes a copy before it adds a user's folders, of which there are none."""
            return self

        def get_schema_source(self) -> ConfigSource:
            """Return what has no schema."""
            return self.stand_in

        def load_config(self, config_path: str) -> ConfigResult | None:
            """Return an option as its file has it now."""
            if self._find_object_source(config_path, ObjectType.CONFIG) is not self.files:
                return super().load_config(config_path)
            try:
                content = (CONF / self.files._normalize_file_name(config_path)).read_bytes()
            except OSError:
                return super().load_config(config_path)  # which says what is wrong with it
            kept = self.known.get(config_path)
            if kept is None or kept[0] != content:
                kept = self.known[config_path] = content, super().load_config(config_path)
            return kept[1]

    class Loader(ConfigLoaderImpl):
        """Leaves what the repository remembers as it is."""

        def _load_single_config(self, default: Any, repo: Any) -> ConfigResult:
            result = super()._load_single_config(default, repo)
            if result is repo.load_config(default.config_path):  # Hydra would build the config from these very nodes
                result = copy.copy(result)
                result.config = copy.deepcopy(result.config)
            return result

    loader = Loader(config_search_path=ConfigSearchPathImpl())
    loader.repository = Repository(ConfigSearchPathImpl())
    return loader
