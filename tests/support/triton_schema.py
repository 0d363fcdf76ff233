"""Triton's schema of `config.pbtxt`, without the rest of its client: its messages share names with KServe's in one process."""

import importlib.util
from pathlib import Path
from types import ModuleType


def load() -> ModuleType:
    """The module `model_config_pb2` of tritonclient, loaded from its file."""
    package = importlib.util.find_spec("tritonclient")
    assert package
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    specification = importlib.util.spec_from_file_location("triton_model_config", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


SCHEMA = load()
