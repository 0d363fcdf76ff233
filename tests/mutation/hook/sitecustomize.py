"""Loads one module from another file: every Python process below a mutant's tests finds this on its path."""

import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType

VARIABLE = "STAGEWRIGHT_MUTANT"  # "module=file"


class _Uncached(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Mutant:
    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        module, _, file = os.environ.get(VARIABLE, "").partition("=")
        if fullname != module:
            return None
        return spec_from_file_location(fullname, file, loader=_Uncached(fullname, file))


if VARIABLE in os.environ:
    sys.meta_path.insert(0, _Mutant)  # type: ignore[arg-type]


def install() -> None:
    """The same in a process that runs already."""
    if _Mutant not in sys.meta_path:
        sys.meta_path.insert(0, _Mutant)  # type: ignore[arg-type]
