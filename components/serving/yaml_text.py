"""Kubernetes objects as YAML: the same bytes for the same object, and no string that a reader takes for something else."""

import re
from typing import Any

import yaml

# Plain only where YAML 1.1, YAML 1.2 and Kubernetes agree that it is a string; everything else is quoted.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/-]*(:[A-Za-z0-9._/-]+)*")
_WORDS = {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    style = None if plain else "|" if "\n" in value else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)


def to_yaml(*objects: dict[str, Any]) -> str:
    """One document for each object; keys stand as they were given."""
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=len(objects) > 1)
