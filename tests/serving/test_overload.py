"""More requests than can be answered: what is refused, what is given up, what is dropped."""

import asyncio
from pathlib import Path

import pytest
from support.asgi_client import Reply
from support.asking import V2, Watched, application, ask, held_by
from support.mixed_rows import ROWS

TENSORS = [
    {"name": "charges", "datatype": "FP32", "shape": [1], "data": [70.0]},
    {"name": "note", "datatype": "BYTES", "shape": [1], "data": ["calm"]},
]


@pytest.fixture
def model(models: dict[str, Path]) -> Watched:
    return Watched(models["mixed"])


def counted(served: object, name: str) -> list[str]:
    text = served.metrics.exposition().body.decode()  # type: ignore[attr-defined]
    return [line for line in text.splitlines() if line.startswith(name)]


def test_a_full_queue_refuses_and_says_when_to_come_again(model: Watched) -> None:
    served = application(model, queue_requests=3)

    async def story() -> list[Reply]:
        first = await held_by(model, served, ROWS[0])
        asking = [asyncio.create_task(ask(served, {"instances": [ROWS[0]]})) for _ in range(5)]
        await asyncio.sleep(0.05)
        refused = [task.result() for task in asking if task.done()]
        model.free.set()
        return [*refused, *await asyncio.gather(first, *(task for task in asking[:3]))]

    replies = asyncio.run(story())
    assert [reply.status for reply in replies] == [429, 429, 200, 200, 200, 200]
    assert 1 <= int(replies[0].headers["retry-after"]) <= 60
    assert replies[0].json["error"].startswith("model 'churn' is busy: 3 requests before this one; try again in ")
    assert counted(served, 'stagewright_rejected_total{model="churn",reason="queue_full"}')[0].endswith(" 2.0")
    assert model.rows == [1, 3]


def test_rows_that_wait_are_bounded_but_one_large_request_finds_room(model: Watched) -> None:
    served = application(model, queue_rows=3)

    async def story() -> list[int]:
        first = await held_by(model, served, ROWS[0])
        large = asyncio.create_task(ask(served, {"instances": ROWS}))
        await asyncio.sleep(0.02)
        small = await ask(served, {"instances": ROWS[:1]})
        model.free.set()
        return [(await first).status, (await large).status, small.status]

    assert asyncio.run(story()) == [200, 200, 429]


@pytest.mark.parametrize("header", ["X-Request-Timeout-Ms", "X-Envoy-Expected-Rq-Timeout-Ms"])
def test_what_waits_past_its_deadline_is_answered_without_being_computed(model: Watched, header: str) -> None:
    served = application(model)

    async def story() -> Reply:
        first = await held_by(model, served, ROWS[0])
        late = await asyncio.wait_for(ask(served, {"instances": ROWS}, headers={header: "40"}), 5)
        model.free.set()
        assert (await first).status == 200
        return late

    late = asyncio.run(story())
    assert late.status == 504
    assert late.json["error"].endswith("ms for model 'churn', past its deadline; nothing was computed")
    assert counted(served, 'stagewright_rejected_total{model="churn",reason="deadline"}')[0].endswith(" 1.0")
    assert model.rows == [1]


def test_the_servers_own_timeout_and_v2s_parameter(model: Watched) -> None:
    served = application(model, timeout_seconds=0.04)
    patient = application(model)

    async def story(served: object, **request: object) -> int:
        first = await held_by(model, served, ROWS[0])
        late = await asyncio.wait_for(ask(served, **request), 5)  # type: ignore[arg-type]
        model.free.set()
        await first
        return late.status

    assert asyncio.run(story(served, document={"instances": ROWS})) == 504
    asked = {"inputs": TENSORS, "parameters": {"timeout": 30_000}}
    assert asyncio.run(story(patient, document=asked, path=V2)) == 504


def test_a_deadline_in_time_changes_nothing(model: Watched) -> None:
    reply = asyncio.run(ask(application(model), {"instances": ROWS}, headers={"X-Request-Timeout-Ms": "10000"}))

    assert reply.status == 200


@pytest.mark.parametrize("value", ["soon", "0", "-5", "1.5", "9" * 20])
def test_a_timeout_that_is_none_is_refused(model: Watched, value: str) -> None:
    reply = asyncio.run(ask(application(model), {"instances": ROWS}, headers={"X-Request-Timeout-Ms": value}))

    assert (reply.status, reply.json) == (400, {"error": f"x-request-timeout-ms is '{value}'; expected milliseconds above 0"})


def test_who_went_away_is_not_computed_for(model: Watched) -> None:
    served = application(model)

    async def story() -> list[Reply]:
        left = asyncio.Event()
        first = await held_by(model, served, ROWS[0])
        gone = asyncio.create_task(ask(served, {"instances": ROWS}, left=left))
        stays = asyncio.create_task(ask(served, {"instances": ROWS[:2]}))
        await asyncio.sleep(0.1)
        left.set()
        model.free.set()
        return await asyncio.gather(first, gone, stays)

    assert [reply.status for reply in asyncio.run(story())] == [200, 0, 200]
    assert model.rows == [1, 2]


def test_large_bodies_in_flight_are_bounded(model: Watched) -> None:
    served = application(model, held_bytes=300_000)
    large = {"instances": [ROWS[0] | {"note": "x" * 200_000}]}

    async def story() -> list[int]:
        first = await held_by(model, served, ROWS[0])
        held = asyncio.create_task(ask(served, large))
        await asyncio.sleep(0.05)
        refused = await ask(served, large)
        small = asyncio.create_task(ask(served, {"instances": ROWS}))
        await asyncio.sleep(0.02)
        model.free.set()
        statuses = [(await reply).status for reply in (first, held, small)]
        assert refused.headers["retry-after"] == "1"
        return [*statuses, refused.status, (await ask(served, large)).status]

    assert asyncio.run(story()) == [200, 200, 200, 429, 200]


def test_an_application_that_ends_answers_what_it_took(model: Watched) -> None:
    served = application(model)

    async def story() -> list[int]:
        first = await held_by(model, served, ROWS[0])
        waiting = [asyncio.create_task(ask(served, {"instances": ROWS})) for _ in range(3)]
        await asyncio.sleep(0.02)
        model.free.set()
        statuses = [(await reply).status for reply in (first, *waiting)]
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> dict[str, str]:
            return messages.pop(0)

        async def send(message: dict[str, str]) -> None:
            statuses.append(len(message["type"]) and 0)

        await served({"type": "lifespan"}, receive, send)
        return statuses

    assert asyncio.run(story()) == [200, 200, 200, 200, 0, 0]
