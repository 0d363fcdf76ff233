"""What a pipeline or a component compiles to, as plain dictionaries."""

import json
from typing import Any

from google.protobuf import json_format
from kfp.dsl.graph_component import GraphComponent


def spec_of(pipeline: GraphComponent) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline spec and the platform spec of a pipeline, as plain dictionaries in the order of their keys."""
    # protobuf's own order of a mapping differs from one process to the next
    spec, platform = (
        json.loads(json_format.MessageToJson(message, sort_keys=True))
        for message in (pipeline.pipeline_spec, pipeline.platform_spec)
    )
    return spec, platform
