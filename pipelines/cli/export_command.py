"""`stagewright export`: write a model in the format of another model server."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stagewright.components.runtime.errors import InputError
from stagewright.pipelines.cli.cluster_commands import OnlyJson

Model = Annotated[
    str,
    typer.Argument(help="Model folder, .onnx file, s3://BUCKET/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/VERSION."),
]
Name = Annotated[str, typer.Option(help="Model name on the target server. KServe requires the name of the InferenceService.")]

exports = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(
        exports, name="export", help="Export a model for another model server: Triton, TorchServe, TensorFlow Serving."
    )


@exports.command("triton")
def triton(
    model: Model,
    name: Name,
    folder: Annotated[
        str, typer.Option(help="Root folder of the model repository. Other models in it are kept.")
    ] = "repository",
    version: Annotated[int, typer.Option(help="Model version in Triton.")] = 1,
    max_batch_size: Annotated[int, typer.Option(help="Maximum batch size in rows.")] = 256,
    queue_microseconds: Annotated[
        int, typer.Option(help="Maximum time in microseconds that a request waits for a batch.")
    ] = 500,
    instances: Annotated[int, typer.Option(help="Model instances per device.")] = 1,
    accelerator: Annotated[str, typer.Option(help="Accelerator: none, tensorrt, or tensorrt-fp16 (half precision).")] = "none",
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="Device that the model runs on.")] = True,
    publish: Annotated[
        str,
        typer.Option(
            help="Publish the repository as variant gpu-triton of this published version instead of writing a folder."
        ),
    ] = "",
    only_json: OnlyJson = False,
) -> None:
    """Write a Triton model repository: the ONNX graph and its configuration."""
    from stagewright.components.export.targets.triton import Options, write_repository, write_variant

    options = Options(max_batch_size, queue_microseconds, instances, gpu, accelerator)
    with _imported(model) as source:
        if not publish:
            _tell({"path": str(write_repository(source, folder, name=name, version=version, options=options))}, only_json)
            return
        from stagewright.components.runtime.storage import ObjectStore
        from stagewright.components.serving.publish import publish_variant

        if not gpu:
            raise InputError("variant gpu-triton needs a GPU; remove --cpu, or remove --publish to write a folder")
        store = ObjectStore.from_environment("a variant is published to the object store")
        with tempfile.TemporaryDirectory(prefix="triton-") as scratch:
            made = Path(scratch) / "variant"
            write_variant(source, made, name=name, version=publish, options=options)
            published = publish_variant(made, store, name=name, version=publish, variant="gpu-triton")
    _tell({"path": published.uri, "changed": published.changed}, only_json)


@exports.command("torchserve")
def torchserve(
    model: Model,
    name: Name,
    archive: Annotated[str, typer.Option(help="Output: a file name ending in .mar, or a folder.")] = ".",
    version: Annotated[str, typer.Option(help="Model version in TorchServe.")] = "1.0",
    only_json: OnlyJson = False,
) -> None:
    """Write a TorchServe archive. TorchServe is no longer maintained."""
    from stagewright.components.export.targets.torchserve import WARNING, write_archive

    with _imported(model) as source:
        path = write_archive(source, archive, name=name, version=version)
    _tell({"path": str(path), "warning": WARNING}, only_json)


@exports.command("tensorflow-serving")
def tensorflow_serving(
    model: Model,
    name: Name,
    folder: Annotated[str, typer.Option(help="Output folder.")] = "tensorflow-serving",
    only_json: OnlyJson = False,
) -> None:
    """Write example requests, responses and metadata for TensorFlow Serving clients that call the predictor."""
    from stagewright.components.export.targets.tensorflow_serving import write_contract

    with _imported(model) as source:
        path = write_contract(source, folder, name=name)
    _tell({"path": str(path)}, only_json)


@contextmanager
def _imported(model: str) -> Iterator[Path]:
    """Import the model into a temporary local folder."""
    from stagewright.components.export.import_model import import_model

    with tempfile.TemporaryDirectory(prefix="export-") as scratch:
        folder = Path(scratch) / "model"
        import_model(model, folder)
        yield folder


def _tell(document: dict[str, Any], only_json: bool) -> None:
    if only_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    console = Console()
    console.print(document["path"], soft_wrap=True, highlight=False)
    if "warning" in document:
        Console(stderr=True).print(f"warning: {document['warning']}", soft_wrap=True, highlight=False)
