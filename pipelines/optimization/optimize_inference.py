"""Find how a model is served best on this CPU, publish it with these settings and serve it."""

from kfp import dsl

from stagewright.components.optimization.component import benchmark_model
from stagewright.components.registry.component import register_model
from stagewright.components.serving.component import import_model, publish_model
from stagewright.pipelines.production.deployment import deploy_and_promote


@dsl.pipeline(name="optimize-inference", display_name="Find how a model is served best")
def optimize_inference(
    model: str,
    name: str,
    data: str = "",
    objective_ms: float = 20.0,
    batch_sizes: list[int] = [1, 8, 32, 128, 512],  # noqa: B006  KFP writes the default into the spec
    threads: list[int] = [],  # noqa: B006
    connections: list[int] = [1, 2, 4, 8, 16, 32, 64],  # noqa: B006
    seconds: float = 0.6,
    rounds: int = 5,
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "default",
    gitops: str = "",
) -> str:
    """Find how a model is served best on this CPU, publish it with these settings and serve it.

    The steps: import the model, measure it in stages and prove the best settings on the real predictor (the gate), register
    what came of it as a patch version, publish, deploy. Where nothing is faster the model keeps its version.

    Args:
        model: A model folder, an .onnx file, an s3:// address, or a registered model such as models:/churn@champion.
        name: Name under which to publish and serve it: lower-case letters, digits and dashes.
        data: Rows to measure with: a file, an s3:// or http(s):// address; by default the model's own baseline.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        batch_sizes: Batch sizes to try.
        threads: Numbers of threads of one inference to try; none: 1, 2, 4 and so on up to the CPUs.
        connections: Loads of the latency/throughput curve, as numbers of connections that are always busy.
        seconds: How long each point is measured in each round.
        rounds: How often each point is measured.
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service.
        gitops: Folder or git working tree that receives the manifest, for deploy_to=gitops.

    Returns:
        Version under which the model was published, like v1.0.1.
    """
    imported = import_model(source=model)
    measured = benchmark_model(
        model=imported.outputs["model"],
        data=data,
        objective_ms=objective_ms,
        batch_sizes=batch_sizes,
        threads=threads,
        connections=connections,
        seconds=seconds,
        rounds=rounds,
    )
    registered = register_model(model=measured.outputs["optimized"], card=measured.outputs["card"], name=name)
    published = publish_model(
        model=measured.outputs["optimized"],
        card=measured.outputs["card"],
        name=name,
        version=registered.outputs["Output"],
    )
    deploy_and_promote(
        published,
        name=name,
        version=registered.outputs["Output"],
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
    )
    return registered.outputs["Output"]
