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
    """Check what optimize_cost will be asked, and name the sizes that are to be measured for it.

    Args:
        name: The service's name.
        trace: The load, as optimize_cost takes it.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        cpu_limits: Sizes to try, as Kubernetes quantities.
        prices: Prices, as optimize_cost takes them.
        present: The present InferenceService, a YAML file or its text; its size is measured, too.
        mode: KServe's deployment mode: Standard or Knative.
        headroom: Share of a load that must fit on top of it.
        longest_wait_seconds: Longest that the first request after a pause may wait for a replica.
        pod_start_seconds: Until a container begins to run on a cluster.
        sampled: Share of the requests that the payload log given as trace holds.
        prometheus: Address of a Prometheus whose figures are used in place of a measurement; then there is one size, the
            present one.
        seconds: How long each rate is measured in each round.
        rounds: How often each rate is measured.

    Returns:
        The sizes, ascending, as Kubernetes quantities; never empty.
    """
    from stagewright.components.runtime.step import step

    with step("plan_sizes"):
        from stagewright.components.optimization.cost import optimize as cost
        from stagewright.components.optimization.cost import result as cost_result

        return cost.plan(
            name=name,
            trace=trace,
            wanted=cost_result.Wanted(
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
    """Measure the predictor under one CPU limit: the largest load within an objective, its memory, its start.

    Give the step the same CPU limit: a pod cannot set one itself, and measures under the one that it has. On a machine where
    control groups can be written, the step limits the predictor alone.

    Args:
        model: Exported model; a published variant will do.
        cpus: The size, as a Kubernetes quantity.
        data: Rows to ask for, anything that ingest_data reads; by default the model's own baseline.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        prometheus: If given, nothing is measured: optimize_cost asks there.
        seconds: How long each rate is measured in each round.
        rounds: How often each rate is measured.

    Returns:
        What was measured, as JSON for optimize_cost; or why this size cannot be measured here.
    """
    from stagewright.components.runtime.step import step

    with step("measure_size"):
        from stagewright.components.measurement.cpu_limit import cpus_of
        from stagewright.components.optimization.cost import measured
        from stagewright.components.optimization.cost.result import Wanted

        if prometheus:
            return measured.Measured(cpus_of(cpus), skipped="Prometheus tells").to_json()
        wanted = Wanted(objective_ms, seconds=seconds, rounds=rounds)
        wanted.check()
        return measured.measure(model.path, cpus, wanted, data=data).to_json()


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
    """Find the cheapest way to serve a model within an objective, and write it as a patch of its InferenceService.

    The predictor is measured under each CPU limit: the largest load within the objective, its memory, its start. Replicas
    follow the load hour by hour; prices make that a cost; the cheapest size becomes requests, limits, replicas and an
    autoscaling target, unless the present service bears the load with less. The report is written before the gate fails where
    no size meets the objective.

    Args:
        model: Exported model; a published variant will do.
        manifest: Merge patch for the InferenceService, as YAML.
        metrics: Cost, capacity, replicas, savings.
        report: Page with the load curves, costs, scaling to zero and the patch.
        results: Everything that was found, as JSON.
        name: The service's name.
        trace: The load: requests a second as a number, a table with the columns time and requests_per_second, or the folder or
            s3:// prefix of a payload log. With prometheus, empty takes the load that it has seen.
        data: Rows to ask for, anything that ingest_data reads; by default the model's own baseline.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        cpu_limits: Sizes to try, as Kubernetes quantities.
        prices: {"cpu_hour": .., "gib_hour": ..}, {"cpus": .., "gib": .., "hour": ..} of a machine, or {"instance": NAME} of the
            examples; with "currency" if it is not USD. Nothing takes an example machine.
        present: The present InferenceService, a YAML file or its text; by default what deploy_model asks for by itself.
        mode: KServe's deployment mode: Standard or Knative.
        namespace: The namespace of the service; empty for the one that the step runs in.
        headroom: Share of a load that must fit on top of it.
        longest_wait_seconds: Longest that the first request after a pause may wait for a replica; 0 never scales to zero.
        pod_start_seconds: Until a container begins to run on a cluster, which is not measured.
        sampled: Share of the requests that the payload log given as trace holds.
        prometheus: Address of a Prometheus whose figures are used in place of a measurement here.
        queries: PromQL in place of our own, by name: requests, replicas, p99_ms, cpus, memory.
        hours: How many hours Prometheus is asked back.
        seconds: How long each rate is measured in each round.
        rounds: How often each rate is measured.
        measured: What steps of measure_size returned; none: the sizes are measured in this step, one after another.

    Returns:
        Cost of a million predictions.
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
            wanted=cost_result.Wanted(
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
