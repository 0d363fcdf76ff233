"""Ids of Argo's nodes, and the pods behind them; the numbers are those of a run on a cluster."""

import pytest

from stagewright.pipelines.kubeflow.argo_names import Node, executors, node_id

WORKFLOW = "general-cpu-rnggt"
EXECUTOR, ATTEMPT = "general-cpu-rnggt-807657059", "general-cpu-rnggt-1467617326"


def test_an_id_is_the_hash_of_the_path() -> None:
    assert node_id(WORKFLOW, "root", "workspace-name", "executor") == EXECUTOR
    assert node_id(WORKFLOW, "root", "workspace-name", "executor(0)") == ATTEMPT


def test_a_step_that_is_not_retried_runs_in_its_executor() -> None:
    driver = node_id(WORKFLOW, "root", "workspace-name-driver")
    assert executors("workspace-name", [EXECUTOR], [driver, EXECUTOR]) == [Node(EXECUTOR)]
    assert Node(EXECUTOR).pods[0] == "general-cpu-rnggt-system-container-impl-807657059"


def test_of_a_step_that_is_retried_the_last_attempt_comes_first() -> None:
    path = ("root", "workspace-name")
    attempts = [node_id(WORKFLOW, *path, f"executor({number})") for number in range(12)]
    found = executors("workspace-name", [EXECUTOR], [node_id(WORKFLOW, "root", "workspace-name-driver"), EXECUTOR, *attempts])
    assert [node.id for node in found] == list(reversed(attempts))
    assert found[-1].pods[0] == "general-cpu-rnggt-retry-system-container-impl-1467617326"


@pytest.mark.parametrize("group", [(), ("condition-1",), ("for-loop-2", "iteration-iterations(0:0)")])
def test_nodes_of_later_steps_are_left_out(group: tuple[str, ...]) -> None:
    mine = node_id(WORKFLOW, "root", *group, "train", "executor")
    drivers = [node_id(WORKFLOW, "root", *group, f"{name}-driver") for name in ("train", "evaluate")]
    assert executors("train", [drivers[1], mine], [*drivers, mine]) == [Node(mine)]


@pytest.mark.parametrize("name", ["pod", "pod-name"])
def test_a_name_that_is_no_id_is_kept(name: str) -> None:
    assert executors("train", [name], [name]) == [Node(name)]
    assert name in Node(name).pods
