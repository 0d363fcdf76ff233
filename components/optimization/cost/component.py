"""Components that find what serving costs, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=False)  # a trace may be another tomorrow
def plan_sizes(
    name: str,
    trace: str = "",
    objective_ms: float = 50.0,
    cpu_limits: list = ["500m", "1", "2"],  # noqa: B006
    prices: dict = {},  # noqa: B006
    present: str = "",
    mode: str = "Standard",
    headroom: float = 0.3,
    longest_wait_seconds: float = 0.0,
    pod_start_seconds: float = 3.0,
    sampled: float = 1.0,
    prometheus: str = "",
    seconds: float = 2.0,
    rounds: int = 3,
) -> list:
    """Check the parameters of optimize_cost and list the sizes to measure for it.

    Args:
        name: The service's name.
        trace: The load, as optimize_cost takes it.
        objective_ms: Largest allowed p99 latency of a request, in milliseconds.
        cpu_limits: Sizes to try, as Kubernetes quantities.
        prices: Prices, as optimize_cost takes them.
        present: The current InferenceService, as a YAML file or its text; its size is measured too.
        mode: KServe's deployment mode: Standard or Knative.
        headroom: Spare capacity, as a share of the load.
        longest_wait_seconds: Longest wait of the first request after a pause for a replica.
        pod_start_seconds: Seconds until a container starts on a cluster.
        sampled: Sampling rate of the payload log that is given as trace.
        prometheus: Address of a Prometheus whose metrics replace the measurement; the only size is then the current one.
        seconds: Seconds for each rate in each round.
        rounds: Number of measurements of each rate.

    Returns:
        The sizes as Kubernetes quantities, in ascending order; at least one.
    """
    from stagewright.components.runtime.step import step

    with step("plan_sizes"):
        from stagewright.components.optimization.cost import optimize as cost
        from stagewright.components.optimization.cost import result as cost_result

        return cost.plan(
            name=name,
            trace=trace,
            objective=cost_result.Objective(
                objective_ms,
                tuple(cpu_limits),
                mode,
                headroom=headroom,
                longest_wait_seconds=longest_wait_seconds,
                pod_start_seconds=pod_start_seconds,
                seconds=seconds,
                rounds=rounds,
            ),
            price_table=prices,
            current=present,
            sampled=sampled,
            prometheus=prometheus,
        )


@component(group="tabular", cacheable=False)  # what it measures is the machine of the day
def measure_size(
    model: dsl.Input[dsl.Model],
    cpus: str,
    data: str = "",
    objective_ms: float = 50.0,
    prometheus: str = "",
    seconds: float = 2.0,
    rounds: int = 3,
) -> str:
    """Measure the predictor under one CPU limit: the highest request rate within the objective, memory and cold start.

    Give the step the same CPU limit: a pod cannot set its own. Where the step may write control groups, it limits only the
    predictor.

    Args:
        model: Exported model or published variant.
        cpus: The size, as a Kubernetes quantity.
        data: Rows to send, in any form that ingest_data reads. Default: the model's baseline.
        objective_ms: Largest allowed p99 latency of a request, in milliseconds.
        prometheus: If given, nothing is measured; optimize_cost reads its metrics.
        seconds: Seconds for each rate in each round.
        rounds: Number of measurements of each rate.

    Returns:
        The measurement as JSON for optimize_cost, or the reason why this size cannot be measured here.
    """
    from stagewright.components.runtime.step import step

    with step("measure_size"):
        from stagewright.components.measurement.cpu_limit import cpus_of
        from stagewright.components.optimization.cost import measured
        from stagewright.components.optimization.cost.result import Objective

        if prometheus:
            return measured.Measured(cpus_of(cpus), skipped="Prometheus tells").to_json()
        objective = Objective(objective_ms, seconds=seconds, rounds=rounds)
        objective.check()
        return measured.measure(model.path, cpus, objective, data=data).to_json()


@component(group="tabular", cacheable=False)  # what it measures is the machine of the day
def optimize_cost(
    model: dsl.Input[dsl.Model],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    results: dsl.Output[dsl.Artifact],
    name: str,
    trace: str = "",
    data: str = "",
    objective_ms: float = 50.0,
    cpu_limits: list = ["500m", "1", "2"],  # noqa: B006
    prices: dict = {},  # noqa: B006
    present: str = "",
    mode: str = "Standard",
    namespace: str = "",
    headroom: float = 0.3,
    longest_wait_seconds: float = 0.0,
    pod_start_seconds: float = 3.0,
    sampled: float = 1.0,
    prometheus: str = "",
    queries: dict = {},  # noqa: B006
    hours: float = 168.0,
    seconds: float = 2.0,
    rounds: int = 3,
    measured: list = [],  # noqa: B006
) -> float:
    """Find the cheapest size and number of replicas within a latency objective, as a patch of the InferenceService.

    The step measures the predictor under each CPU limit: the highest request rate within the objective, memory and cold start.
    It then computes the replicas for each hour of the load and their cost. The cheapest size becomes requests, limits, replicas
    and an autoscaling target, unless the current service serves the load at a lower cost. If no size meets the objective, the
    step writes its report and fails.

    Args:
        model: Exported model or published variant.
        manifest: Merge patch for the InferenceService, as YAML.
        metrics: Cost, capacity, replicas and savings.
        report: Page with load curves, costs, scale-to-zero and the patch.
        results: All results, as JSON.
        name: The service's name.
        trace: The load: requests per second as a number, a table with the columns time and requests_per_second, or the folder
            or s3:// prefix of a payload log. Default with prometheus: the load that it recorded.
        data: Rows to send, in any form that ingest_data reads. Default: the model's baseline.
        objective_ms: Largest allowed p99 latency of a request, in milliseconds.
        cpu_limits: Sizes to try, as Kubernetes quantities.
        prices: {"cpu_hour": .., "gib_hour": ..}, {"cpus": .., "gib": .., "hour": ..} of a machine, or {"instance": NAME} of the
            examples; add "currency" unless it is USD. Default: an example machine.
        present: The current InferenceService, as a YAML file or its text. Default: the one that deploy_model creates.
        mode: KServe's deployment mode: Standard or Knative.
        namespace: Namespace of the service. Default: the one that the step runs in.
        headroom: Spare capacity, as a share of the load.
        longest_wait_seconds: Longest wait of the first request after a pause for a replica; 0 never scales to zero.
        pod_start_seconds: Seconds until a container starts on a cluster; this is not measured.
        sampled: Sampling rate of the payload log that is given as trace.
        prometheus: Address of a Prometheus whose metrics replace the measurement.
        queries: PromQL queries that replace the defaults, by name: requests, replicas, p99_ms, cpus, memory.
        hours: Hours of history to read from Prometheus.
        seconds: Seconds for each rate in each round.
        rounds: Number of measurements of each rate.
        measured: Outputs of measure_size. Default: this step measures the sizes, one after another.

    Returns:
        Cost per million predictions.
    """
    from stagewright.components.runtime.step import step

    with step("optimize_cost"):
        import json
        from pathlib import Path

        from stagewright.components.optimization.cost import optimize as cost
        from stagewright.components.optimization.cost import result as cost_result
        from stagewright.components.optimization.cost.measured import Measured
        from stagewright.components.optimization.cost.page import page
        from stagewright.components.runtime import logs
        from stagewright.components.runtime.cluster import own_namespace
        from stagewright.components.runtime.yaml_text import to_yaml

        namespace = namespace or own_namespace(ask_kubeconfig=False)
        found = cost.optimize_cost(
            model.path,
            name=name,
            trace=trace,
            data=data,
            objective=cost_result.Objective(
                objective_ms,
                tuple(cpu_limits),
                mode,
                namespace,
                headroom,
                longest_wait_seconds,
                pod_start_seconds,
                seconds,
                rounds,
            ),
            price_table=prices,
            current=present,
            sampled=sampled,
            prometheus=prometheus,
            queries=queries,
            hours=hours,
            measured=[] if prometheus else [Measured.from_json(text) for text in measured],
        )
        page(found).write(report.path)
        Path(results.path).write_text(json.dumps(cost_result.as_dict(found), indent=2) + "\n")
        for figure, number in cost_result.figures(found).items():
            metrics.log_metric(figure, number)
        cost.check(found)
        for notice in found.notices():
            logs.notice(notice)
        Path(manifest.path).write_text(to_yaml(found.patch))
        manifest.metadata["namespace"] = namespace
        return cost_result.figures(found)["cost_per_million"]
