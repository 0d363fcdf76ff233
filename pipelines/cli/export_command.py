"""`stagewright export`: a model in the form that another server takes."""

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
    typer.Argument(help="A model folder, an .onnx file, s3://BUCKET/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/VERSION."),
]
Name = Annotated[str, typer.Option(help="The model's name there, which KServe wants to be the service's.")]

exports = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(exports, name="export", help="Write a model for another server: Triton, TorchServe, TensorFlow Serving.")


@exports.command("triton")
def triton(
    model: Model,
    name: Name,
    folder: Annotated[str, typer.Option(help="The repository's root; other models there stay.")] = "repository",
    version: Annotated[int, typer.Option(help="Triton's version of the model.")] = 1,
    max_batch_size: Annotated[int, typer.Option(help="Most rows that Triton puts together.")] = 256,
    queue_microseconds: Annotated[int, typer.Option(help="Longest time that a request waits for others.")] = 500,
    instances: Annotated[int, typer.Option(help="Copies of the model on each device.")] = 1,
    accelerator: Annotated[str, typer.Option(help="none, tensorrt, or tensorrt-fp16 for half precision.")] = "none",
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="Where the model runs.")] = True,
    publish: Annotated[
        str, typer.Option(help="Publish it as variant gpu-triton of this published version, in place of writing a folder.")
    ] = "",
    only_json: OnlyJson = False,
) -> None:
    """Write a Triton model repository: the graph and its configuration."""
    from stagewright.components.export.targets.triton import Options, write_repository, write_variant

    options = Options(max_batch_size, queue_microseconds, instances, gpu, accelerator)
    with _imported(model) as source:
        if not publish:
            _tell({"path": str(write_repository(source, folder, name=name, version=version, options=options))}, only_json)
            return
        from stagewright.components.runtime.storage import ObjectStore
        from stagewright.components.serving.publish import publish_variant

        if not gpu:
            raise InputError("variant gpu-triton runs on GPUs; leave --cpu out, or write a folder without --publish")
        store = ObjectStore.from_environment("the object store holds the version whose variant is published")
        with tempfile.TemporaryDirectory(prefix="triton-") as scratch:
            made = Path(scratch) / "variant"
            write_variant(source, made, name=name, version=publish, options=options)
            published = publish_variant(made, store, name=name, version=publish, variant="gpu-triton")
    _tell({"path": published.uri, "changed": published.changed}, only_json)


@exports.command("torchserve")
def torchserve(
    model: Model,
    name: Name,
    archive: Annotated[str, typer.Option(help="The file to write, which ends in .mar, or a folder.")] = ".",
    version: Annotated[str, typer.Option(help="TorchServe's version of the model.")] = "1.0",
    only_json: OnlyJson = False,
) -> None:
    """Write a TorchServe archive; TorchServe itself is no longer maintained."""
    from stagewright.components.export.targets.torchserve import WARNING, write_archive

    with _imported(model) as source:
        path = write_archive(source, archive, name=name, version=version)
    _tell({"path": str(path), "warning": WARNING}, only_json)


@exports.command("tensorflow-serving")
def tensorflow_serving(
    model: Model,
    name: Name,
    folder: Annotated[str, typer.Option(help="Folder to write.")] = "tensorflow-serving",
    only_json: OnlyJson = False,
) -> None:
    """Write what clients of TensorFlow Serving need to use our predictor: requests, their answers, metadata."""
    from stagewright.components.export.targets.tensorflow_serving import write_contract

    with _imported(model) as source:
        path = write_contract(source, folder, name=name)
    _tell({"path": str(path)}, only_json)


@contextmanager
def _imported(model: str) -> Iterator[Path]:
    """The model as a folder of this machine."""
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
