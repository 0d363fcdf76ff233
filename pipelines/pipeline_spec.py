"""Compiled specs of pipelines and components as plain dictionaries."""

import json
from typing import Any

from google.protobuf import json_format
from kfp.dsl.graph_component import GraphComponent


def spec_of(pipeline: GraphComponent) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline spec and the platform spec of a pipeline, as plain dictionaries with sorted keys."""
    # protobuf's order of map entries differs between processes
    spec, platform = (
        json.loads(json_format.MessageToJson(message, sort_keys=True))
        for message in (pipeline.pipeline_spec, pipeline.platform_spec)
    )
    return spec, platform
