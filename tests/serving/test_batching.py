"""Requests that are answered together: each gets what it would have got alone."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.asgi_client import Reply
from support.asking import V2, Watched, application, ask, held_by
from support.mixed_rows import ROWS

from stagewright.components.predictor.inference.latency_estimator import LatencyEstimator
from stagewright.components.predictor.wire.errors import ModelNotReady

NAMES = ("tenure", "charges", "contract", "senior", "since", "note")
VALUES = {
    "tenure": st.none() | st.integers(0, 72) | st.floats(0, 72, width=32),
    "charges": st.floats(0, 200, width=32),
    "contract": st.sampled_from([None, "Month-to-month", "One year", 1, True, "seltsam"]),
    "senior": st.sampled_from([None, True, False, 0, 1]),
    "since": st.sampled_from([None, "2019-03-01T00:00:00Z", "2024-02-29"]),
    "note": st.sampled_from(["angry", "calm", "müde"]),
}
ROWS_OF = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=5)
FORMS = st.sampled_from(["objects", "lists", "columns", "tensors"])


@pytest.fixture
def model(models: dict[str, Path]) -> Watched:
    return Watched(models["mixed"])


def request(form: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows in one of the forms that a request can have."""
    if form == "objects":
        return {"document": {"instances": rows}}
    if form == "lists":
        return {"document": {"instances": [[row[name] for name in NAMES] for row in rows]}}
    columns = {name: [row[name] for row in rows] for name in NAMES}
    if form == "columns":
        return {"document": {"inputs": columns}}
    datatypes = {"tenure": "FP32", "charges": "FP32", "senior": "BOOL"}
    tensors = [
        {"name": name, "datatype": datatypes.get(name, "BYTES"), "shape": [len(rows)], "data": _fitting(name, values)}
        for name, values in columns.items()
    ]
    return {"document": {"inputs": tensors}, "path": V2}


def _fitting(name: str, values: list[Any]) -> list[Any]:
    if name == "contract":
        return [value if value is None or isinstance(value, str) else str(value).lower() for value in values]
    return [bool(value) if name == "senior" and value is not None else value for value in values]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(FORMS, ROWS_OF), min_size=2, max_size=8), st.sampled_from([0.0, 1.0]))
def test_merged_answers_are_those_of_single_requests(
    models: dict[str, Path], asked: list[tuple[str, list[dict[str, Any]]]], short: float
) -> None:
    model = Watched(models["mixed"])
    served = application(model, short=short)

    async def together() -> list[Reply]:
        return await asyncio.gather(*(ask(served, **request(form, rows)) for form, rows in asked))

    merged = asyncio.run(together())
    assert model.rows == [sum(len(rows) for _, rows in asked)]
    alone = [asyncio.run(ask(served, **request(form, rows))) for form, rows in asked]
    assert [reply.status for reply in merged] == [200] * len(asked)
    assert [reply.body for reply in merged] == [reply.body for reply in alone]


def test_one_wrong_request_of_a_batch_is_refused_alone(model: Watched) -> None:
    served = application(model)
    wrong = [*ROWS[:2], ROWS[2] | {"charges": "much"}]

    async def together() -> list[Reply]:
        return await asyncio.gather(*(ask(served, {"instances": rows}) for rows in (ROWS, wrong, ROWS[:1])))

    good, bad, small = asyncio.run(together())
    assert (bad.status, bad.json) == (400, {"error": "column 'charges', row 2: 'much' is not a number"})
    assert good.status == small.status == 200
    assert small.json["predictions"] == good.json["predictions"][:1]
    assert model.rows == [5]  # the good ones, still together


def test_one_request_that_the_model_fails_on_fails_alone(models: dict[str, Path]) -> None:
    class Choosy(Watched):
        def run(self, feeds: dict[str, np.ndarray]) -> Any:
            if (feeds["tenure"] == 66).any():
                raise ValueError("the kernel failed")
            return super().run(feeds)

    served = application(Choosy(models["mixed"]))

    async def together() -> list[Reply]:
        rows = [ROWS[0], ROWS[0] | {"tenure": 66}, ROWS[3]]
        return await asyncio.gather(*(ask(served, {"instances": [row]}) for row in rows))

    assert [reply.status for reply in asyncio.run(together())] == [200, 500, 200]


def test_a_model_that_cannot_answer_now_is_asked_once_for_all(models: dict[str, Path]) -> None:
    class Resting(Watched):
        def run(self, feeds: dict[str, np.ndarray]) -> Any:
            super().run(feeds)
            raise ModelNotReady("churn")

    model = Resting(models["mixed"])
    served = application(model)

    async def together() -> list[Reply]:
        return await asyncio.gather(*(ask(served, {"instances": [row]}) for row in ROWS))

    assert [reply.status for reply in asyncio.run(together())] == [503] * 4
    assert model.rows == [4]


def test_what_arrives_during_an_inference_is_answered_by_the_next(models: dict[str, Path]) -> None:
    model = Watched(models["mixed"], batch_rows=4)
    served = application(model)

    async def story() -> list[Reply]:
        first = await held_by(model, served, ROWS[0])
        others = [asyncio.create_task(ask(served, {"instances": ROWS[:rows]})) for rows in (1, 2, 1, 4, 3, 3)]
        await asyncio.sleep(0.05)
        assert model.rows == [1]
        model.free.set()
        return await asyncio.gather(first, *others)

    assert [reply.status for reply in asyncio.run(story())] == [200] * 7
    assert model.rows == [1, 4, 4, 3, 3]


def test_a_request_larger_than_a_batch_is_computed_alone(models: dict[str, Path]) -> None:
    model = Watched(models["mixed"], batch_rows=2)

    assert asyncio.run(ask(application(model), {"instances": ROWS})).status == 200
    assert model.rows == [4]


def test_who_waited_long_enough_takes_another_thread(models: dict[str, Path]) -> None:
    model = Watched(models["mixed"], batch_milliseconds=20)
    served = application(model, workers=2)

    async def story() -> None:
        first = await held_by(model, served, ROWS[0])
        second = asyncio.create_task(ask(served, {"instances": ROWS}))
        assert await asyncio.to_thread(model.begun.acquire, timeout=10)
        model.free.set()
        assert [(await reply).status for reply in (first, second)] == [200, 200]

    asyncio.run(story())
    assert model.rows == [1, 4]


def test_what_is_short_runs_on_the_loop_once_that_is_known(model: Watched) -> None:
    served = application(model, short=0.2)

    async def story() -> None:
        for _ in range(3):
            assert (await ask(served, {"instances": ROWS})).status == 200

    asyncio.run(story())
    assert model.threads[0] != threading.get_ident()  # how long it takes was not known
    assert model.threads[1:] == [threading.get_ident()] * 2


def test_what_becomes_long_leaves_the_loop(model: Watched) -> None:
    served = application(model, short=0.2)

    async def story() -> None:
        for _ in range(2):
            await ask(served, {"instances": ROWS})
        model.free.clear()
        threading.Timer(3.0, model.free.set).start()
        await ask(served, {"instances": ROWS})
        model.threads.clear()
        await ask(served, {"instances": ROWS})

    asyncio.run(story())
    assert model.threads != [threading.get_ident()]


def test_answers_are_written_the_same_for_one_row_and_many(model: Watched) -> None:
    served = application(model)
    many = asyncio.run(ask(served, {"instances": ROWS})).json
    each = [asyncio.run(ask(served, {"instances": [row]})).json for row in ROWS]

    assert many["predictions"] == [one["predictions"][0] for one in each]
    assert many["probabilities"] == [one["probabilities"][0] for one in each]
    assert list(json.loads(json.dumps(each[0]))) == ["predictions", "probabilities", "model_name", "model_version"]


def test_the_pace_learns_what_is_shorter_faster_than_what_is_longer() -> None:
    estimator = LatencyEstimator()
    assert estimator.seconds(1) == float("inf")
    estimator.record(1, 0.010)
    assert estimator.seconds(1) == 0.010
    assert estimator.seconds(16) == pytest.approx(0.16)  # at worst, rows cost what the first one did
    estimator.record(1, 0.002)
    assert estimator.seconds(1) == pytest.approx(0.006)
    estimator.record(1, 0.016)
    assert estimator.seconds(1) == pytest.approx(0.007)
    estimator.record(64, 0.5)
    assert estimator.seconds(64) == 0.5
    assert estimator.retry_after(640, 64) == 5
    assert LatencyEstimator().retry_after(10, 64) == 1
    assert estimator.retry_after(10**9, 64) == 60
