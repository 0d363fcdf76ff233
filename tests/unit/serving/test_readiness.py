"""What KServe's status says of a deployment."""

from typing import Any

import pytest

from stagewright.components.serving.targets.readiness import Readiness, readiness

URLS = {"url": "http://churn.example", "address": {"url": "http://churn.default.svc"}}


def state(generation: int = 1, **status: Any) -> Readiness:
    """The state at generation 1 of a service that was observed at some generation."""
    return readiness({"status": {"observedGeneration": generation, **status}}, 1)


def condition(name: str, status: str = "True", **words: str) -> dict[str, str]:
    return {"type": name, "status": status, **words}


READY = [condition("PredictorReady"), condition("Ready")]


@pytest.mark.parametrize(
    ("transition", "ready", "failed"),
    [
        (None, True, False),
        ("UpToDate", True, False),
        ("InProgress", False, False),  # the old replicas are ready, the new ones not yet
        ("BlockedByFailedLoad", False, True),
        ("InvalidSpec", False, True),
    ],
)
def test_ready_is_ready_only_when_no_rollout_goes_on(transition: str | None, ready: bool, failed: bool) -> None:
    found = state(conditions=READY, modelStatus={"transitionStatus": transition}, **URLS)

    assert (found.ready, found.failed) == (ready, failed)
    assert (found.url, found.address) == ("http://churn.example", "http://churn.default.svc")
    assert found.summary == f"{transition or 'UpToDate'}, waiting for the model"


@pytest.mark.parametrize(("generation", "ready"), [(0, False), (1, True), (2, True)])
def test_a_status_of_an_earlier_generation_says_nothing(generation: int, ready: bool) -> None:
    found = state(generation, conditions=READY)

    assert (found.ready, found.failed) == (ready, False)
    if not ready:
        assert found.failures == ("KServe has not looked at it yet; is its controller running?",)
        assert found.summary == "not yet seen by KServe"


@pytest.mark.parametrize("service", [{}, {"status": None}, {"status": {"observedGeneration": None}}])
def test_no_status_is_not_seen(service: dict[str, Any]) -> None:
    assert readiness(service, 1) == readiness({}, 1)
    assert not readiness(service, 1).ready


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_condition_that_is_not_true_is_told_those_with_words_first(status: str) -> None:
    found = state(
        conditions=[
            condition("Ready", status),
            condition("IngressReady", "True", message="fine"),
            condition("PredictorReady", status, reason="Failing", message="no  image\nto pull"),
        ]
    )

    assert not found.ready
    assert not found.failed
    assert found.failures == (f"PredictorReady is {status} (Failing: no image to pull)", f"Ready is {status}")
    assert found.summary == "UpToDate, waiting for PredictorReady, Ready"


def test_a_rollout_that_goes_on_is_what_is_waited_for() -> None:
    found = state(conditions=READY, modelStatus={"transitionStatus": "InProgress"})

    assert found.failures == ("the replicas of the version before are still being replaced",)


def test_without_conditions_it_is_not_ready() -> None:
    found = state()

    assert (found.ready, found.failures) == (False, ("its status has no conditions yet",))
    assert (found.url, found.address) == ("", "")


def test_the_last_failure_of_the_model_comes_first() -> None:
    failure = {"reason": "ModelLoadFailed", "message": "no  file\nthere", "exitCode": 3}
    found = state(
        conditions=[condition("Ready", "False", message="m" * 400)],
        modelStatus={"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure},
    )

    assert found.failed
    assert found.failures == ("ModelLoadFailed (exit code 3): no file there", f"Ready is False ({'m' * 300})")


@pytest.mark.parametrize(
    ("failure", "clause"),
    [({"message": "x" * 400}, f"failed: {'x' * 300}"), ({"reason": "Odd", "exitCode": 0}, "Odd: ")],
)
def test_a_failure_without_all_its_words_is_told(failure: dict[str, Any], clause: str) -> None:
    assert state(modelStatus={"lastFailureInfo": failure}).failures == (clause,)


def test_a_failure_of_the_past_is_not_told_of_what_is_ready() -> None:
    found = state(conditions=READY, modelStatus={"lastFailureInfo": {"message": "gone"}})

    assert (found.ready, found.failures) == (True, ())
