"""Options are read as every YAML file is: they mean what they show (``benchmark.core.yaml_files``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark.core.yaml_files import read_yaml


def read_options_strictly() -> None:
    """Let Hydra read the files of ``conf/`` and of the user's own folders with ``read_yaml``.

    Hydra's reader takes ``no`` for false and ``01`` for 1, as keys too. It asks its registry for what reads files; a
    plugin could not stand in for Hydra's own there, as the first class of a name stays.
    """
    from hydra._internal.core_plugins import file_config_source as hydras
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins
    from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
    from omegaconf import OmegaConf

    Plugins.instance()  # fills the registry
    known = SourcesRegistry.instance().types
    if known["file"].__module__ == __name__:
        return

    class FileConfigSource(hydras.FileConfigSource):
        """Reads strictly; the name is that of Hydra's, so that the registry takes one for the other."""

        def load_config(self, config_path: str) -> ConfigResult:
            path = Path(self.path) / self._normalize_file_name(config_path)
            if not path.is_file():
                raise ConfigLoadError(f"Config not found : {path}")
            values = read_yaml(path)
            if values is not None and not isinstance(values, Mapping):
                raise ConfigLoadError(f"{path}: an option is a mapping of keys to values")
            _check_defaults(path, Path(self.path), ())
            with path.open(encoding="utf-8-sig") as file:
                header = ConfigSource._get_header_dict(file.read(512))
            place = f"{self.scheme()}://{self.path}"
            return ConfigResult(
                config=OmegaConf.create(dict(values or {})), path=place, provider=self.provider, header=header
            )

    known["file"] = FileConfigSource


def _check_defaults(path: Path, root: Path, within: tuple[Path, ...]) -> None:
    """Refuse defaults that are no list, and options that build on themselves: Hydra would follow them without end.

    Args:
        path: of the option.
        root: config folder that it lies in.
        within: the options that led to it.
    """
    from hydra.plugins.config_source import ConfigLoadError

    if path in within:
        chain = " → ".join(one.stem for one in (*within[within.index(path) :], path))
        raise ConfigLoadError(f"{path}: its defaults lead back to itself: {chain}; take one of them out")
    values = read_yaml(path) if path.is_file() else None
    defaults = values.get("defaults") if isinstance(values, Mapping) else None
    if defaults is not None and not isinstance(defaults, list):
        raise ConfigLoadError(f"{path}: defaults is a list of options, such as [saa, _self_]; got {defaults!r}")
    for entry in defaults or []:
        for group, name in entry.items() if isinstance(entry, Mapping) else [("", entry)]:
            where, _, _ = str(group).rpartition(" ")[2].partition("@")
            folder = root / where[1:] if where.startswith("/") else path.parent / where
            if isinstance(name, str) and name != "_self_" and "override" not in str(group).split():
                _check_defaults(folder / f"{name.partition('@')[0]}.yaml", root, (*within, path))
