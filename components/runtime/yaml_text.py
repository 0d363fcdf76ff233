"""YAML as we write it: the same bytes for the same object, and no text that a reader takes for something else.

Readers disagree. PyYAML reads YAML 1.1, where `yes`, `012` and `12:30` are no texts, but `1e3` and `0o7` are. Kubernetes,
kubectl and Kubeflow read YAML with Go, where those two are numbers. What all of them take for text is written plainly, the rest
in quotes.
"""

import re
from typing import Any

import yaml

# Plain only where YAML 1.1, YAML 1.2 and Kubernetes agree that it is a string; everything else is quoted.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/-]*(:[A-Za-z0-9._/-]+)*")
_WORDS = {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}
# Readers differ in what else ends a line, and in blanks at a line's end.
_NO_BLOCK = re.compile(r"[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    style = None if plain else "|" if _fits_block(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _fits_block(value: str) -> bool:
    """Whether every reader reads these lines as they are."""
    lines = value.split("\n")
    return len(lines) > 1 and value[0] not in " \t\n" and not _NO_BLOCK.search(value) and all(_kept(line) for line in lines)


def _kept(line: str) -> bool:
    return line == line.rstrip(" \t")


_Dumper.add_representer(str, _string)


def to_yaml(*objects: dict[str, Any], sort_keys: bool = False) -> str:
    """One document for each object.

    Args:
        sort_keys: Put keys into the order of the alphabet; else they stand as they were given.
    """
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=sort_keys, width=120, explicit_start=len(objects) > 1)
