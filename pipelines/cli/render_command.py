"""`stagewright render`: write a model's manifests for a GitOps repository."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stagewright.pipelines.cli.cluster_commands import OnlyJson

if TYPE_CHECKING:
    from stagewright.components.serving.targets.gitops import WrittenFiles


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("render")(render)
    app.command("render-language-model")(render_language_model)


def render(
    name: Annotated[str, typer.Argument(help="Model name.")],
    version: Annotated[str, typer.Option(help="Published version, e.g. v1.2.0.")],
    folder: Annotated[str, typer.Option(help="Output folder; files are written to NAMESPACE/NAME/ below it.")] = ".",
    namespace: Annotated[str, typer.Option(help="Namespace of the service.")] = "default",
    variant: Annotated[str, typer.Option(help="Serving variant: cpu, cpu-int8, gpu, gpu-fp16 or gpu-triton.")] = "cpu",
    mode: Annotated[str, typer.Option(help="KServe deployment mode: Standard or Knative.")] = "Standard",
    canary: Annotated[str, typer.Option(help="New version that receives part of the traffic.")] = "",
    traffic: Annotated[int, typer.Option(help="Canary traffic in percent.", show_default=False)] = 0,
    cpu_request: Annotated[str, typer.Option(help="CPU request of a replica.")] = "250m",
    cpu_limit: Annotated[str, typer.Option(help="CPU limit of a replica.")] = "1",
    memory_request: Annotated[str, typer.Option(help="Memory request of a replica.")] = "256Mi",
    memory_limit: Annotated[str, typer.Option(help="Memory limit of a replica.")] = "512Mi",
    min_replicas: Annotated[int, typer.Option(help="Minimum replicas. 0 allows scale to zero in Knative mode.")] = 1,
    max_replicas: Annotated[int, typer.Option(help="Maximum replicas.")] = 1,
    service_account: Annotated[
        str, typer.Option(help="Kubernetes service account with the object store's Secret.")
    ] = "stagewright-predictor",
    bucket: Annotated[str, typer.Option(envvar="STAGEWRIGHT_MODELS_BUCKET", help="Bucket of published models.")] = "models",
    update: Annotated[bool, typer.Option("--update", help="Only change the version in existing manifests.")] = False,
    check: Annotated[bool, typer.Option("--check", help="First check that the version is published.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Commit the files to git. Nothing is pushed.")] = False,
    only_json: OnlyJson = False,
) -> None:
    """Write a model's manifests for a GitOps repository."""
    from stagewright.components.serving.manifests.inference_service import Replicas, Resources
    from stagewright.pipelines.cli import render as rendering

    settings = {
        "variant": variant,
        "mode": mode,
        "resources": Resources(cpu_request, cpu_limit, memory_request, memory_limit),
        "replicas": Replicas(min_replicas, max_replicas),
        "service_account": service_account,
    }
    wanted = rendering.Rendering(name, version, namespace, settings, bucket, canary, traffic)
    write = rendering.update if update else rendering.render
    written = write(wanted, folder, commit=commit, check=check)
    _tell(written, only_json)


def render_language_model(
    name: Annotated[str, typer.Argument(help="Service name, which requests use as the model name.")],
    model: Annotated[str, typer.Option(help="Hugging Face model: hf://OWNER/NAME[:REVISION] or s3://BUCKET/FOLDER.")],
    folder: Annotated[str, typer.Option(help="Output folder; files are written to NAMESPACE/NAME/ below it.")] = ".",
    namespace: Annotated[str, typer.Option(help="Namespace of the service.")] = "default",
    mode: Annotated[str, typer.Option(help="KServe deployment mode: Standard or Knative.")] = "Standard",
    quantization: Annotated[str, typer.Option(help="Weight quantization: none, awq, gptq or fp8.")] = "none",
    kernel: Annotated[
        str, typer.Option(help="Kernel for awq and gptq: marlin, or plain for GPUs older than Ampere.")
    ] = "marlin",
    dtype: Annotated[str, typer.Option(help="Data type of computation: auto, float16, bfloat16 or float32.")] = "auto",
    cache_dtype: Annotated[str, typer.Option(help="Data type of the KV cache: auto or fp8.")] = "auto",
    tensor_parallel: Annotated[int, typer.Option(help="GPUs per replica (tensor parallelism).")] = 1,
    max_model_len: Annotated[
        int, typer.Option(help="Maximum context length in tokens, prompt and completion. 0: the model's own.")
    ] = 0,
    gpu_memory: Annotated[float, typer.Option(help="Fraction of GPU memory for weights and KV cache, 0 to 1.")] = 0.9,
    max_sequences: Annotated[int, typer.Option(help="Maximum concurrent sequences. 0: vLLM's default.")] = 0,
    gpu_generation: Annotated[
        str, typer.Option(help="Minimum GPU generation: turing, ampere, ada, hopper or blackwell.")
    ] = "ampere",
    cpu: Annotated[str, typer.Option(help="CPU request of a replica.")] = "4",
    memory: Annotated[str, typer.Option(help="Memory request and limit of a replica.")] = "32Gi",
    min_replicas: Annotated[int, typer.Option(help="Minimum replicas. 0 allows scale to zero in Knative mode.")] = 1,
    max_replicas: Annotated[int, typer.Option(help="Maximum replicas.")] = 1,
    service_account: Annotated[
        str, typer.Option(help="Kubernetes service account with the object store's Secret.")
    ] = "stagewright-predictor",
    token_secret: Annotated[str, typer.Option(help="Secret with HF_TOKEN, for gated models.")] = "",
    commit: Annotated[bool, typer.Option("--commit", help="Commit the files to git. Nothing is pushed.")] = False,
    only_json: OnlyJson = False,
) -> None:
    """Write a language model's manifests for a GitOps repository. KServe's Hugging Face runtime serves it with vLLM."""
    from stagewright.components.serving.manifests.inference_service import Replicas, Resources
    from stagewright.components.serving.manifests.language_model import Engine, language_model_service
    from stagewright.components.serving.targets import gitops, gitops_tree

    engine = Engine(
        quantization, kernel, dtype, cache_dtype, tensor_parallel, max_model_len or None, gpu_memory, max_sequences or None,
        gpu_generation,
    )  # fmt: skip
    document = language_model_service(
        name, model, engine=engine, mode=mode, namespace=namespace, resources=Resources(cpu, cpu, memory, memory),
        replicas=Replicas(min_replicas, max_replicas), service_account=service_account, token_secret=token_secret,
    )  # fmt: skip
    message = f"Deploy {name} ({model}) to {namespace}"
    written = gitops.write_files(
        gitops_tree.tree(document), folder, namespace=namespace, name=name, message=message, commit=commit
    )
    _tell(written, only_json)


def _tell(written: "WrittenFiles", only_json: bool) -> None:
    if only_json:
        document = {"path": str(written.path), "changed": written.changed, "commit": written.commit}
        sys.stdout.write(json.dumps(document) + "\n")
        return
    state = f"committed {written.commit[:10]}" if written.commit else "written" if written.changed else "unchanged"
    Console().print(f"{written.path}: {state}", soft_wrap=True, highlight=False)
