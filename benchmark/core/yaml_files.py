"""The one way in which this package reads a YAML file: it means what it shows."""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ConfigError

if TYPE_CHECKING:
    import yaml

DEEPEST = 50
"""Values inside each other that a file may have; options have five."""
MOST_VALUES = 1_000_000
"""Values of a file with every alias written out; the largest table of prompts has a few thousand."""
_PLAIN = (
    # What an unquoted word may be beside text: YAML 1.2's core schema, in decimal, without leading zeros.
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        list("-+0123456789."),
    ),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of ours or of a user.

    Keys are text as they are written: ``01``, ``no`` and ``1.0`` are the keys "01", "no" and "1.0". Unquoted values are
    null, true, false, decimal numbers or text; what older YAML takes for something else than it shows (``no``, ``010``,
    ``1_000``, ``12:30``, a date) is text, and a setting that wants a number or a yes refuses or understands it.

    Raises:
        ConfigError: the file cannot be read, is no YAML, holds several documents, gives a key twice or a key that is
            no text, is nested more than ``DEEPEST``, or swells by its aliases; file, line and fix are named.
    """
    import yaml

    try:
        return copy.deepcopy(_parsed(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path}: {place}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"{path}: a value that is none: {str(error).splitlines()[0]}; quote texts") from None


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    """Parse a text; options and tables are read again for every run of a process, parsing is slow."""
    import yaml

    return yaml.load(text, Loader=_loader())  # noqa: S506  # a SafeLoader


def _weigh(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for, each alias as often as it is used.

    Args:
        node: with all that is inside.
        known: what earlier nodes weigh, by id; None: the node is being weighed.
    """
    import yaml

    if id(node) in known:
        weight = known[id(node)]
        if weight is None:
            raise yaml.MarkedYAMLError(problem="an alias of what it stands in", problem_mark=node.start_mark)
        return weight
    known[id(node)] = None
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
    weight = 1 + sum(_weigh(part, known) for part in parts)
    if weight > MOST_VALUES:
        said = f"more than {MOST_VALUES:,} values, aliases counted as often as they are used"
        raise yaml.MarkedYAMLError(problem=said, problem_mark=node.start_mark)
    known[id(node)] = weight
    return weight


@functools.cache
def _loader() -> Any:
    """Make the loader when a file is first read: yaml is not imported before."""
    import yaml
    from yaml._yaml import CParser
    from yaml.composer import Composer
    from yaml.constructor import SafeConstructor
    from yaml.resolver import BaseResolver

    class Loader(Composer, CParser, SafeConstructor, BaseResolver):
        """Builds plain containers, strings, numbers and truth values alone; libyaml reads the characters."""

        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            for part in (Composer, SafeConstructor, BaseResolver):
                part.__init__(self)

        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Read a value and what is inside."""
            if self.depth == DEEPEST:
                said = f"nested more than {DEEPEST} deep"
                event: Any = self.peek_event()
                raise yaml.MarkedYAMLError(problem=said, problem_mark=event.start_mark)
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def get_single_node(self) -> yaml.Node | None:
            """Read the whole document, as long as its aliases do not swell it."""
            node: yaml.Node | None = super().get_single_node()
            if node is not None:
                _weigh(node, {})
            return node

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            """Read a mapping; its keys are the words that stand in the file, each once."""
            node: yaml.MappingNode = super().compose_mapping_node(anchor)
            lines: dict[str, int] = {}
            for key, _ in node.value:
                where = key.start_mark
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a text; quote it", problem_mark=where)
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.value in lines:
                    said = f"the key {key.value!r} stands in line {lines[key.value]} already; keep one of them"
                    raise yaml.MarkedYAMLError(problem=said, problem_mark=where)
                lines[key.value] = where.line + 1
                key.tag = "tag:yaml.org,2002:str"
            return node

    for tag, pattern, first in _PLAIN:
        Loader.add_implicit_resolver(tag, re.compile(rf"^{pattern}$"), first)
    return Loader
