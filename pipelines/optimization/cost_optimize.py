"""Find the cheapest way to serve a model within an objective."""

from typing import Any

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.optimization.cost.component import measure_size, optimize_cost, plan_sizes


@dsl.pipeline(name="cost-optimize", display_name="Find what serving costs, and could cost")
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
    """Find the cheapest way to serve a model within an objective.

    The steps: import the model; measure the predictor under several CPU limits, each in a step that has this limit (or ask
    Prometheus); cost the load hour by hour, and write requests, limits, replicas and autoscaling as a patch of the
    InferenceService, with a report. Nothing is changed.

    Args:
        model: A model folder, an .onnx file, an s3:// address (of a variant too), or a registered model such as
            models:/churn@champion.
        name: The service's name.
        trace: The load: requests a second as a number, a table with the columns time and requests_per_second, or the folder or
            s3:// prefix of a payload log. With prometheus, empty takes the load that it has seen.
        data: Rows to ask for: a file, an s3:// or http(s):// address; by default the model's own baseline.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        cpu_limits: Sizes to try, as Kubernetes quantities.
        prices: Prices of a CPU and a GiB for an hour, of a machine, or the name of an example machine, as JSON.
        present: The present InferenceService, a YAML file or its text; by default what deploying asks for by itself.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service; empty for the one that the steps run in.
        headroom: Share of a load that must fit on top of it.
        longest_wait_seconds: Longest that the first request after a pause may wait for a replica; 0 never scales to zero.
        pod_start_seconds: Seconds until a container begins to run on the cluster, which is not measured.
        sampled: Share of the requests that the payload log given as trace holds.
        prometheus: Address of a Prometheus whose figures are used in place of a measurement here.
        queries: PromQL in place of our own, by name, as JSON: requests, replicas, p99_ms, cpus, memory.
        hours: How many hours Prometheus is asked back.
        seconds: How long each rate is measured in each round.
        rounds: How often each rate is measured.

    Returns:
        Cost of a million predictions.
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
    # On a cluster all at once, where it has room; local runs take one after the other.
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
