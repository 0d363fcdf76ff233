"""Tune serving settings for this CPU, and publish and serve the model with them."""

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.optimization.serving_settings.component import benchmark_model
from stagewright.pipelines.inherited_texts import described_by
from stagewright.pipelines.shared_steps import register_and_serve


@dsl.pipeline(name="optimize-inference", display_name="Tune serving settings")
@described_by(benchmark_model)
def optimize_inference(
    model: str,
    name: str,
    data: str = "",
    objective_ms: float = 20.0,
    batch_sizes: list[int] = [1, 2, 4, 8, 32, 128, 512],  # noqa: B006  KFP writes the default into the spec
    threads: list[int] = [],  # noqa: B006
    batch_milliseconds: list[float] = [0.5, 8.0],  # noqa: B006
    request_rows: int = 1,
    seconds: float = 0.5,
    rounds: int = 5,
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "",
    gitops: str = "",
) -> str:
    """Tune serving settings for this CPU, and publish and serve the model with them.

    Steps: import the model, try settings and verify the best ones on the model server (gate), register the model with them as a
    patch version, publish, deploy. If no settings are better, the model keeps its version.

    Args:
        model: Model folder, .onnx file, s3:// address, or registered model, e.g. models:/churn@champion.
        name: Model name to register and serve: lower-case letters, digits and dashes.
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service. Default: the namespace of the steps.
        gitops: Folder or git working tree for the manifest, for deploy_to=gitops.

    Returns:
        Published version, e.g. v1.0.1.
    """
    imported = import_model(source=model, deploy_to=deploy_to, namespace=namespace, name=name, mode=mode)
    measured = benchmark_model(
        model=imported.outputs["model"],
        data=data,
        objective_ms=objective_ms,
        batch_sizes=batch_sizes,
        threads=threads,
        batch_milliseconds=batch_milliseconds,
        request_rows=request_rows,
        seconds=seconds,
        rounds=rounds,
    )
    return register_and_serve(
        measured.outputs["optimized"],
        card=measured.outputs["card"],
        name=name,
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
    )
