"""Find the cheapest serving configuration that meets a latency objective."""

from typing import Any

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.optimization.cost.component import measure_size, optimize_cost, plan_sizes
from stagewright.pipelines.inherited_texts import described_by


@dsl.pipeline(name="cost-optimize", display_name="Optimize serving cost")
@described_by(optimize_cost)
def cost_optimize(
    model: str,
    name: str,
    trace: str = "",
    data: str = "",
    objective_ms: float = 50.0,
    cpu_limits: list[str] = ["500m", "1", "2"],  # noqa: B006  KFP writes the default into the spec
    prices: dict[str, Any] = {},  # noqa: B006
    present: str = "",
    mode: str = "Standard",
    namespace: str = "",
    headroom: float = 0.3,
    longest_wait_seconds: float = 0.0,
    pod_start_seconds: float = 3.0,
    sampled: float = 1.0,
    prometheus: str = "",
    queries: dict[str, str] = {},  # noqa: B006
    hours: float = 168.0,
    seconds: float = 2.0,
    rounds: int = 3,
) -> float:
    """Find the cheapest serving configuration that meets a latency objective.

    Steps: import the model; measure the model server under several CPU limits, one step per limit (or query Prometheus);
    calculate the cost of the load per hour; write a report and a patch of the InferenceService with requests, limits, replicas
    and autoscaling. The patch is not applied.

    Args:
        model: Model folder, .onnx file, s3:// address (also of a variant), or registered model, e.g.
            models:/churn@champion.
        mode: KServe deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service. Default: the namespace of the steps.

    Returns:
        Cost per million predictions.
    """
    planned = plan_sizes(
        name=name,
        trace=trace,
        objective_ms=objective_ms,
        cpu_limits=cpu_limits,
        prices=prices,
        present=present,
        mode=mode,
        headroom=headroom,
        longest_wait_seconds=longest_wait_seconds,
        pod_start_seconds=pod_start_seconds,
        sampled=sampled,
        prometheus=prometheus,
        seconds=seconds,
        rounds=rounds,
    )
    imported = import_model(source=model).after(planned)
    # On a cluster the sizes are measured in parallel, in local runs one after another.
    with dsl.ParallelFor(planned.output, name="sizes") as size:
        sized = measure_size(
            model=imported.outputs["model"],
            cpus=size,
            data=data,
            objective_ms=objective_ms,
            prometheus=prometheus,
            seconds=seconds,
            rounds=rounds,
        )
        # A pod cannot set a limit by itself. Requests equal it: what was not promised may not be there while it is measured.
        sized.set_cpu_request(size).set_cpu_limit(size)
    found = optimize_cost(
        model=imported.outputs["model"],
        name=name,
        trace=trace,
        data=data,
        objective_ms=objective_ms,
        cpu_limits=cpu_limits,
        prices=prices,
        present=present,
        mode=mode,
        namespace=namespace,
        headroom=headroom,
        longest_wait_seconds=longest_wait_seconds,
        pod_start_seconds=pod_start_seconds,
        sampled=sampled,
        prometheus=prometheus,
        queries=queries,
        hours=hours,
        seconds=seconds,
        rounds=rounds,
        measured=dsl.Collected(sized.output),
    )
    return found.outputs["Output"]
