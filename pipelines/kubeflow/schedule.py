"""Create, list, pause, resume and remove recurring runs on Kubeflow Pipelines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kfp_server_api
from kfp.dsl.graph_component import GraphComponent

from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean
from stagewright.pipelines import catalog
from stagewright.pipelines.description import parameters
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.client import Kubeflow, reach
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.cron import Cron
from stagewright.pipelines.kubeflow.upload import Build, build, upload
from stagewright.pipelines.parameters import check_arguments

LARGEST_CONCURRENCY = 10
ENABLED = "ENABLED"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurring run.

    Attributes:
        cron: Five cron fields, or `every N s` for an interval schedule.
        active: False while paused.
        next_run: In UTC; None while paused, or if it is not a cron schedule.
    """

    schedule_id: str
    name: str
    cron: str
    active: bool
    max_concurrency: int
    catch_up: bool
    next_run: datetime | None = None

    @classmethod
    def of(cls, found: kfp_server_api.V2beta1RecurringRun) -> "Schedule":
        """Make a schedule from the API's object."""
        cron = _cron(found)
        active = found.status == ENABLED
        return cls(
            found.recurring_run_id, found.display_name, cron, active, int(found.max_concurrency or 1),
            not found.no_catchup, _next(cron) if active else None,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The schedule as JSON."""
        return {
            "id": self.schedule_id,
            "name": self.name,
            "cron": self.cron,
            "active": self.active,
            "max_concurrency": self.max_concurrency,
            "catch_up": self.catch_up,
            "next_run": self.next_run.isoformat() if self.next_run else None,
        }


def create(
    pipeline: str | GraphComponent,
    arguments: Mapping[str, Any],
    connection: Connection,
    *,
    cron: str,
    name: str | None = None,
    experiment: str = "Default",
    run_namespace: str | None = None,
    settings: Build | None = None,
    max_concurrency: int = 1,
    catch_up: bool = False,
    pipeline_root: str | None = None,
    service_account: str | None = None,
) -> Schedule:
    """Create a recurring run of a pipeline.

    Args:
        arguments: The pipeline's parameters by name.
        cron: Five cron fields in the installation's time zone, by default UTC.
        name: Name of the schedule; None for the pipeline's name.
        run_namespace: The user's namespace in a multi-user installation.
        settings: Compile settings.
        max_concurrency: Maximum concurrent runs, 1 to 10.
        catch_up: Whether to start runs that were missed, e.g. while paused.

    Raises:
        InputError: For an invalid parameter or cron expression, or an existing name.
        ServiceUnavailable: If the host does not respond.
    """
    made = pipeline if isinstance(pipeline, GraphComponent) else catalog.pipeline(pipeline)
    checked = check_arguments(parameters(made), arguments, of=f"pipeline '{made.name}'")
    times = Cron.parse(cron)
    if not 1 <= max_concurrency <= LARGEST_CONCURRENCY:
        raise BadParameter("max_concurrency", got=max_concurrency, expected=f"a number from 1 to {LARGEST_CONCURRENCY}")
    resolved = connections.resolved(connection)
    package = build(made, settings or Build())
    kubeflow = reach(resolved, run_namespace)
    wanted = name or made.name
    _check_free(wanted, schedules(kubeflow))
    version = upload(package, kubeflow)
    with connections.explained(kubeflow.connection):
        found = kubeflow.schedule(
            kfp_server_api.V2beta1RecurringRun(
                display_name=wanted,
                experiment_id=kubeflow.experiment(experiment),
                namespace=kubeflow.namespace,
                pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
                    version.pipeline_id, version.version_id
                ),
                runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=checked, pipeline_root=pipeline_root),
                trigger=kfp_server_api.V2beta1Trigger(
                    cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=times.with_seconds)
                ),
                max_concurrency=str(max_concurrency),
                no_catchup=not catch_up,
                mode=kfp_server_api.RecurringRunMode.ENABLE,
                service_account=service_account,
            )
        )
    return Schedule(found.recurring_run_id, wanted, cron, True, max_concurrency, catch_up, times.next_after(datetime.now(UTC)))


def schedules(kubeflow: Kubeflow) -> list[Schedule]:
    """All recurring runs of the namespace."""
    with connections.explained(kubeflow.connection):
        return [Schedule.of(found) for found in kubeflow.schedules()]


def find(kubeflow: Kubeflow, wanted: str) -> Schedule:
    """Find a recurring run by name or id.

    Raises:
        InputError: If there is none, or more than one.
    """
    known = schedules(kubeflow)
    found = [one for one in known if wanted in (one.schedule_id, one.name)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(one.schedule_id for one in found)
        raise InputError(f"{len(found)} schedules have the name '{wanted}'; use the id of one: {ids}")
    there = "there are no schedules" if not known else "run 'stagewright schedule list' to see all"
    raise InputError(
        f"no schedule '{wanted}' at {connections.where(kubeflow.connection)}"
        f"{did_you_mean(wanted, [one.name for one in known])}; {there}"
    )


def pause(kubeflow: Kubeflow, wanted: str) -> Schedule:
    """Pause a recurring run; a current run continues."""
    found = find(kubeflow, wanted)
    with connections.explained(kubeflow.connection):
        kubeflow.pause(found.schedule_id)
    return found


def resume(kubeflow: Kubeflow, wanted: str) -> Schedule:
    """Resume a recurring run."""
    found = find(kubeflow, wanted)
    with connections.explained(kubeflow.connection):
        kubeflow.resume(found.schedule_id)
    return found


def remove(kubeflow: Kubeflow, wanted: str) -> Schedule:
    """Delete a recurring run; its runs are kept."""
    found = find(kubeflow, wanted)
    with connections.explained(kubeflow.connection):
        kubeflow.remove(found.schedule_id)
    return found


def _check_free(name: str, known: list[Schedule]) -> None:
    for schedule in known:
        if schedule.name == name:
            raise InputError(
                f"schedule '{name}' exists ({schedule.cron}); choose another name, or remove it with "
                f"'stagewright schedule remove {name}'"
            )


def _cron(found: kfp_server_api.V2beta1RecurringRun) -> str:
    trigger = found.trigger
    if trigger and trigger.cron_schedule and trigger.cron_schedule.cron:
        seconds, *rest = trigger.cron_schedule.cron.split()
        return " ".join(rest) if seconds == "0" and len(rest) == 5 else str(trigger.cron_schedule.cron)
    if trigger and trigger.periodic_schedule and trigger.periodic_schedule.interval_second:
        return f"every {trigger.periodic_schedule.interval_second} s"
    return ""


def _next(cron: str) -> datetime | None:
    try:
        return Cron.parse(cron.replace("?", "*")).next_after(datetime.now(UTC))
    except BadParameter:
        return None  # created by another tool, in an unsupported form
