"""Find how a model is served best on this CPU, publish it with these settings and serve it."""

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.optimization.serving_settings.component import benchmark_model
from stagewright.components.registry.component import register_model
from stagewright.components.serving.component import publish_model
from stagewright.pipelines.shared_steps import deploy_and_promote


@dsl.pipeline(name="optimize-inference", display_name="Find how a model is served best")
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
    """Find how a model is served best on this CPU, publish it with these settings and serve it.

    The steps: import the model, try settings and prove the best of them on the real predictor (the gate), register what came of
    it as a patch version, publish, deploy. Where nothing is proved to be better the model keeps its version.

    Args:
        model: A model folder, an .onnx file, an s3:// address, or a registered model such as models:/churn@champion.
        name: Name under which to publish and serve it: lower-case letters, digits and dashes.
        data: Rows to measure with: a file, an s3:// or http(s):// address; by default the model's own baseline.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        batch_sizes: Batch sizes to try.
        threads: Numbers of threads of one inference to try; none: 1, 2, 4 and so on up to the CPUs.
        batch_milliseconds: Longest waits of a request for others to try beside the predictor's own 2.
        request_rows: Rows in each request that is sent.
        seconds: How long each rate is asked for; up to three times as long for a slow model.
        rounds: How often the largest rate is looked for in the proof; at least 5, and 8 can bear one that was disturbed.
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service; empty for the one that the steps run in.
        gitops: Folder or git working tree that receives the manifest, for deploy_to=gitops.

    Returns:
        Version under which the model was published, like v1.0.1.
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
