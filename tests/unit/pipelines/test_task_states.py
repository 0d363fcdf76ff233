"""The steps of a run as the API tells of them: names, times, and the newest of several errors."""

from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api
import pytest

from stagewright.pipelines.kubeflow.task_states import container_tasks, pending, tasks_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def status(message: str | None) -> kfp_server_api.GoogleRpcStatus | None:
    return None if message is None else kfp_server_api.GoogleRpcStatus(code=2, message=message)


def detail(name: str, *, told: str | None = None, history: tuple[str | None, ...] = (), **known: Any) -> Any:
    """What the API says of a node; `history` are the errors of its states, oldest first."""
    states = [kfp_server_api.V2beta1RuntimeStatus(state="FAILED", error=status(message)) for message in history]
    fields = {"task_id": name, "state": "FAILED"} | known
    return kfp_server_api.V2beta1PipelineTaskDetail(
        display_name=name, error=status(told), state_history=states or None, **fields
    )  # fmt: skip


def run(*details: Any) -> kfp_server_api.V2beta1Run:
    return kfp_server_api.V2beta1Run(run_details=kfp_server_api.V2beta1RunDetails(task_details=list(details)))


def error(*details: Any) -> str:
    [found] = tasks_of(run(*details), {"fit"})
    return found.error


@pytest.mark.parametrize(
    ("told", "history", "shown"),
    [
        (None, ("the first", "the second"), "the second"),
        (None, ("the first", None), "the first"),
        (None, ("the first", ""), "the first"),
        ("the task's own", ("the first", "the second"), "the task's own"),
        ("", ("the first",), "the first"),
        (None, (), ""),
        ("two\n  lines", (), "two lines"),
    ],
)
def test_of_several_errors_the_newest_is_shown(told: str | None, history: tuple[str | None, ...], shown: str) -> None:
    assert error(detail("fit", told=told, history=history)) == shown


def test_an_error_of_a_steps_own_nodes_counts_where_the_step_has_none() -> None:
    inner = detail("executor", told="of the pod", parent_task_id="fit")
    stranger = detail("executor", told="of another step", task_id="x", parent_task_id="evaluate")

    assert error(detail("fit"), stranger, inner) == "of the pod"
    assert error(detail("fit", told="of the step"), inner) == "of the step"
    assert error(detail("fit"), stranger) == ""


def test_a_node_without_a_parent_belongs_to_no_step() -> None:
    assert error(detail("fit", task_id=None), detail("executor", told="of nobody", parent_task_id=None)) == ""


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"start_time": BEGAN, "end_time": BEGAN + timedelta(seconds=90)}, 90.0),
        ({"start_time": UNKNOWN, "create_time": BEGAN, "end_time": BEGAN + timedelta(seconds=90)}, 90.0),
        ({"create_time": BEGAN, "end_time": BEGAN}, 0.0),
        ({"start_time": BEGAN, "end_time": UNKNOWN}, 0.0),
        ({"start_time": BEGAN}, 0.0),
        ({"end_time": BEGAN}, 0.0),
        ({"start_time": datetime(1971, 1, 1, tzinfo=UTC), "end_time": datetime(1971, 1, 1, 0, 1, tzinfo=UTC)}, 60.0),
    ],
)
def test_a_step_takes_the_time_from_its_start_to_its_end(times: dict[str, datetime], seconds: float) -> None:
    [found] = tasks_of(run(detail("fit", **times)), {"fit"})

    assert found.seconds == seconds


def test_steps_are_in_the_order_in_which_they_began() -> None:
    later, first = BEGAN + timedelta(seconds=1), BEGAN
    nodes = [detail("c"), detail("b", start_time=later), detail("a", create_time=first), detail("no step", start_time=first)]

    assert [task.name for task in tasks_of(run(*nodes), {"a", "b", "c"})] == ["a", "b", "c"]


def test_a_step_without_an_id_or_a_state_is_known_by_its_name() -> None:
    [found] = tasks_of(run(detail("fit", task_id="", state=None)), {"fit"})

    assert (found.key, found.state) == ("fit", "")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("train-model", True), ("executor", False), ("executor(0)", False), ("root", False), ("root-driver", False),
        ("train-model-driver", False), ("condition-1", False), ("condition-branches-2", False), ("for-loop-3", False),
        ("iteration-item(0:1)", False), ("exit-handler-1", False), ("conditional", True), ("executors", True), ("", False),
        (None, False),
    ],
)  # fmt: skip
def test_machinery_is_left_out_where_the_spec_is_gone(name: str | None, step: bool) -> None:
    assert bool(tasks_of(run(detail(name)), ())) is step  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("empty"),
    [kfp_server_api.V2beta1Run(), kfp_server_api.V2beta1Run(run_details=kfp_server_api.V2beta1RunDetails()), run()],
)
def test_a_run_that_has_not_begun_has_no_steps(empty: kfp_server_api.V2beta1Run) -> None:
    assert tasks_of(empty, ()) == []
    assert pending(empty) == []


def test_what_waits_is_a_node_without_others_below_it() -> None:
    below = kfp_server_api.PipelineTaskDetailChildTask(pod_name="a-pod")
    unnamed = kfp_server_api.PipelineTaskDetailChildTask(pod_name="")
    nodes = [
        detail("train-model", state="PENDING", child_tasks=[below]),
        detail("executor", state="PENDING", child_tasks=[unnamed]),
        detail("fit-driver", state="PENDING"),
        detail("done", state="SUCCEEDED"),
        detail(None, state="PENDING"),  # type: ignore[arg-type]
    ]

    assert pending(run(*nodes)) == ["executor", "fit-driver", ""]


def test_container_tasks_are_those_with_an_executor() -> None:
    spec = {
        "root": {"dag": {"tasks": {"fit": {"componentRef": {"name": "comp-fit"}}, "group": {"componentRef": {"name": "g"}}}}},
        "components": {
            "comp-fit": {"executorLabel": "exec-fit"},
            "comp-import": {"executorLabel": "exec-gone"},
            "g": {
                "dag": {
                    "tasks": {"again": {"componentRef": {"name": "comp-fit"}}, "x": {"componentRef": {"name": "comp-import"}}}
                }
            },
        },
        "deploymentSpec": {"executors": {"exec-fit": {}}},
    }

    assert container_tasks(spec) == {"fit", "again"}
    assert container_tasks({}) == set()
