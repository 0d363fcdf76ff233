"""The executor input as Kubeflow's backend writes it on a cluster, made from a component's spec."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import executor_main
from kfp.dsl.types import artifact_types

from stagewright.components.authoring import Component
from stagewright.pipelines.pipeline_spec import spec_of

BUCKET = "pipelines"
SESSION = json.dumps({"Provider": "s3", "Params": {"endpoint": "http://minio:9000", "fromEnv": "true"}})


def uri(step: str, artifact: str) -> str:
    return f"s3://{BUCKET}/runs/train-model/1f0a/{step}/77aa/{artifact}"


def artifact(number: int, name: str, address: str, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An artifact of another step: a number for a name, no schema title, booleans as numbers."""
    numbers = {key: int(value) if isinstance(value, bool) else value for key, value in (metadata or {}).items()}
    return {
        "artifacts": [
            {
                "name": str(number),
                "type": {"instanceSchema": ""},
                "uri": address,
                "metadata": {**numbers, "display_name": name, "store_session_info": SESSION},
            }
        ]
    }


def inputs_of(component: Component) -> dict[str, Any]:
    """Declared inputs and outputs of a component, as its spec has them."""
    [(_, found)] = spec_of(component)[0]["components"].items()
    return found


def command_of(component: Component) -> list[str]:
    """The command line of a component's container, with the place of the executor's input left open."""
    [(_, executor)] = spec_of(component)[0]["deploymentSpec"]["executors"].items()
    return [*executor["container"]["command"], *executor["container"]["args"]]


def executor_input(
    component: Component,
    *,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, str],
    output_file: Path,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole input of a step.

    Args:
        artifacts: Address by name of each artifact that is there.
        output_file: Where the launcher looks for what the step returns.
        metadata: What the steps before noted on every artifact.
    """
    declared = inputs_of(component).get("outputDefinitions", {})
    made = {
        name: {"artifacts": [{"name": name, "type": spec["artifactType"], "uri": uri("this", name), "metadata": {}}]}
        for name, spec in declared.get("artifacts", {}).items()
    }
    given = {name: artifact(20 + at, name, address, metadata) for at, (name, address) in enumerate(artifacts.items())}
    values = {name: {"outputFile": f"/tmp/kfp/outputs/{name}"} for name in declared.get("parameters", {})}
    return {
        "inputs": {"parameterValues": dict(parameters), "artifacts": given},
        "outputs": {"parameters": values, "artifacts": made, "outputFile": str(output_file)},
    }


def run_executor(component: Component, document: Mapping[str, Any], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """What the compiled command line does, in this process: write the source down, and let KFP's executor run it.

    Args:
        folder: Where the object store is mounted, in place of `/s3`.
    """
    command = command_of(component)
    source = folder / "ephemeral_component.py"
    source.write_text(command[command.index("--executor_input") - 1])
    arguments = [json.dumps(document) if part == "{{$}}" else part for part in command[command.index("--executor_input") :]]
    patch.setattr(artifact_types, "_S3_LOCAL_MOUNT_PREFIX", f"{folder}/")
    patch.setattr(sys, "argv", ["executor_main.py", "--component_module_path", str(source), *arguments])
    executor_main.executor_main()
