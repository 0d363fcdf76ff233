"""Profiles: named cluster settings that are applied to a pipeline's tasks at compile time.

A profile is a YAML file: one in this folder, or a user's own file, given by its path. It can extend another profile:

    extends: default
    defaults:
      cpu: {request: "1", limit: "4"}
    components:
      train_model:
        memory: {limit: 32Gi}

Mappings are merged key by key, lists and plain values are replaced, and `null` removes what was inherited.
"""

from stagewright.pipelines.profiles.apply import configure
from stagewright.pipelines.profiles.load import load, names
from stagewright.pipelines.profiles.model import Profile, TaskSettings

__all__ = ["Profile", "TaskSettings", "configure", "load", "names"]
