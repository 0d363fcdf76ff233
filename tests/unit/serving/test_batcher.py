"""Which requests share an inference, when it begins and where it runs; the clock is the test's.

tests/serving has the same with real models, threads and sockets.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import clocks

from stagewright.components.predictor.inference import batching
from stagewright.components.predictor.inference.batch import BatchInput
from stagewright.components.predictor.inference.batching import Batcher
from stagewright.components.predictor.wire.errors import DeadlineExceeded, Disconnected, QueueFull
from stagewright.components.predictor.wire.limits import Bounds


class Columns:
    """Merges the inputs of several requests, as the real one does."""

    @staticmethod
    def merge(feeds: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {"x": np.concatenate([one["x"] for one in feeds])}


class Model:
    """Answers each row with its double, notes how many rows it was asked, and takes as long as a test says."""

    name, columns = "churn", Columns()

    def __init__(self, **settings: Any) -> None:
        self.settings = SimpleNamespace(**{"batch_rows": None, "batch_milliseconds": None, "concurrency": None} | settings)
        self.asked: list[int] = []
        self.takes = 0.0
        self.clock = 0.0
        self.fails = False

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.asked.append(len(feeds["x"]))
        self.clock += self.takes
        if self.fails:
            raise ValueError("the kernel failed")
        return {"y": 2 * feeds["x"]}


class Pool:
    """Threads that begin when a test lets them."""

    def __init__(self, workers: int) -> None:
        self._max_workers = workers
        self.jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        self.jobs.append((work, arguments))

    def work(self) -> None:
        """The oldest inference that was handed to a thread."""
        work, arguments = self.jobs.pop(0)
        work(*arguments)


class Counted:
    """What is counted: refusals, and the rows and seconds of inferences."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []
        self.answered: list[tuple[str, int, float]] = []

    def rejected(self, name: str, reason: str) -> None:
        self.refused.append((name, reason))

    def predicted(self, name: str, rows: int, seconds: float) -> None:
        self.answered.append((name, rows, seconds))


class Scene:
    """A batcher with its model, its threads and what it counts."""

    def __init__(self, *, workers: int = 1, bounds: Bounds | None = None, model: Any = None, **settings: Any) -> None:
        self.model = model or Model(**settings)
        self.pool, self.counted = Pool(workers), Counted()
        self.batcher = Batcher(self.model, self.pool, self.counted, bounds)  # type: ignore[arg-type]

    def ask(self, rows: int = 1, **options: Any) -> "asyncio.Future[Any]":
        """A request whose first value tells it from others."""
        return self.batcher.predict(BatchInput(rows, feeds={"x": np.arange(rows, dtype=float)}), **options)

    async def busy(self, threads: int = 1) -> list["asyncio.Future[Any]"]:
        """So many threads have begun an inference that does not end."""
        asked = []
        for _ in range(threads):
            asked.append(self.ask())
            await asyncio.sleep(0.1)
        return asked

    async def finish(self) -> None:
        """Every thread does what it was given, and whatever comes of that."""
        while self.pool.jobs:
            self.pool.work()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def model_time(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """Seconds are those that the models of a test say they take."""
    made: list[Model] = []
    begin = Model.__init__

    def noted(self: Model, **settings: Any) -> None:
        begin(self, **settings)
        made.append(self)

    monkeypatch.setattr(Model, "__init__", noted)
    monkeypatch.setattr(batching, "perf_counter", lambda: sum(model.clock for model in made))
    return made


def told(story: Callable[[], Awaitable[Any]]) -> Any:
    return clocks.run(story())  # type: ignore[arg-type]


def rows_of(answers: list[Any]) -> list[list[float]]:
    return [answer.outputs["y"].tolist() for answer in answers]


def test_requests_of_one_moment_share_an_inference_and_each_gets_its_own_rows() -> None:
    scene = Scene()

    async def story() -> list[Any]:
        asked = [scene.ask(rows) for rows in (1, 3, 2)]
        assert scene.batcher.waiting == 3
        await asyncio.sleep(0.01)
        assert scene.batcher.waiting == 0
        await scene.finish()
        return await asyncio.gather(*asked)

    assert rows_of(told(story)) == [[0.0], [0.0, 2.0, 4.0], [0.0, 2.0]]
    assert scene.model.asked == [6]
    assert scene.counted.answered == [("churn", 6, 0.0)]


def test_a_request_waits_for_two_looks_at_the_sockets_and_no_longer() -> None:
    scene = Scene()

    async def story() -> list[int]:
        asked = scene.ask()
        begun = []
        for _ in range(5):
            begun.append(len(scene.pool.jobs))
            await asyncio.sleep(0)
        await scene.finish()
        await asked
        return begun

    assert told(story) == [0, 0, 0, 1, 1]


def test_who_comes_while_one_looks_does_not_make_it_look_again() -> None:
    scene = Scene()

    async def story() -> int:
        first = scene.ask()
        await asyncio.sleep(0)
        second = scene.ask()
        await asyncio.sleep(0.001)
        begun = len(scene.pool.jobs)
        await scene.finish()
        await asyncio.gather(first, second)
        return begun

    assert told(story) == 1
    assert scene.model.asked == [2]


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ((4,), [4]),
        ((3, 1, 1), [4, 1]),
        ((3, 2, 2), [3, 4]),
        ((9, 1), [9, 1]),  # larger than a batch: alone
        ((1, 9, 1), [1, 9, 1]),
        ((2, 2, 2, 2), [4, 4]),
    ],
)
def test_a_batch_holds_those_who_waited_longest_as_long_as_all_fit(sizes: tuple[int, ...], batches: list[int]) -> None:
    scene = Scene(batch_rows=4)

    async def story() -> list[Any]:
        [first] = await scene.busy()
        asked = [scene.ask(rows) for rows in sizes]
        await asyncio.sleep(0.01)
        await scene.finish()
        return await asyncio.gather(first, *asked)

    told(story)
    assert scene.model.asked == [1, *batches]


def test_256_rows_are_a_batch_where_nobody_says_otherwise() -> None:
    scene = Scene()

    async def story() -> None:
        [first] = await scene.busy()
        asked = [scene.ask(rows) for rows in (200, 56, 1)]
        await asyncio.sleep(0.01)
        await scene.finish()
        await asyncio.gather(first, *asked)

    told(story)
    assert scene.model.asked == [1, 256, 1]


async def begins(scene: Scene, rows: int = 1) -> float:
    """After how many milliseconds a request is handed to another thread, while one thread works."""
    working = await scene.busy()
    began = asyncio.get_running_loop().time()
    asked = scene.ask(rows)
    while len(scene.pool.jobs) < 2:
        await asyncio.sleep(0.0001)
        assert asyncio.get_running_loop().time() < began + 1
    waited = asyncio.get_running_loop().time() - began
    await scene.finish()
    await asyncio.gather(*working, asked)
    return 1000 * waited


@pytest.mark.parametrize(
    ("settings", "milliseconds"), [({}, 2), ({"batch_milliseconds": 7.0}, 7), ({"batch_milliseconds": 50}, 60)]
)
def test_a_free_thread_is_taken_after_the_longest_wait(settings: dict[str, float], milliseconds: float) -> None:
    """Beyond the sweep of 20 milliseconds a wait ends with the next sweep."""
    assert told(lambda: begins(Scene(workers=2, **settings))) == pytest.approx(milliseconds, abs=0.2)


def test_a_full_batch_does_not_wait_for_a_free_thread() -> None:
    assert told(lambda: begins(Scene(workers=2, batch_rows=4), rows=4)) < 0.2
    assert told(lambda: begins(Scene(workers=2, batch_rows=4), rows=3)) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("workers", "settings", "most"), [(3, {}, 3), (3, {"concurrency": 2}, 2), (1, {"concurrency": 2}, 2)])
def test_no_more_inferences_run_than_there_are_threads(workers: int, settings: dict[str, int], most: int) -> None:
    scene = Scene(workers=workers, **settings)

    async def story() -> int:
        asked = await scene.busy(threads=5)
        running = len(scene.pool.jobs)
        assert scene.batcher.waiting == 5 - running
        await scene.finish()
        await asyncio.gather(*asked)
        return running

    assert told(story) == most


def test_when_a_thread_is_done_it_takes_what_has_gathered() -> None:
    scene = Scene()
    scene.model.takes = 1.0

    async def story() -> None:
        [first] = await scene.busy()
        gathered = [scene.ask() for _ in range(3)]
        await asyncio.sleep(0.005)
        scene.pool.work()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert first.done()
        assert len(scene.pool.jobs) == 1
        await scene.finish()
        await asyncio.gather(*gathered)

    told(story)
    assert scene.model.asked == [1, 3]


@pytest.mark.parametrize(
    ("takes", "bounds", "on_the_loop"),
    [
        (0.0005, None, True),
        (0.00051, None, False),
        (0.2, Bounds(short_seconds=0.2), True),
        (0.0, Bounds(short_seconds=0.0), True),
        (0.1, Bounds(short_seconds=0.0), False),
    ],
)
def test_what_was_measured_to_be_short_runs_on_the_loop(takes: float, bounds: Bounds | None, on_the_loop: bool) -> None:
    scene = Scene(bounds=bounds)
    scene.model.takes = takes

    async def story() -> None:
        for _ in range(2):
            asked = scene.ask()
            await asyncio.sleep(0.01)
            handed = len(scene.pool.jobs)
            await scene.finish()
            await asked
        assert handed == (0 if on_the_loop else 1)

    told(story)
    assert scene.model.asked == [1, 1]
    assert [round(seconds, 9) for _, _, seconds in scene.counted.answered] == [takes, takes]


def test_what_another_process_answers_never_runs_on_the_loop() -> None:
    apart = Model()
    apart.apart = True  # type: ignore[attr-defined]
    apart.takes = 1e-9
    scene = Scene(model=apart)

    async def story() -> None:
        for _ in range(2):
            asked = scene.ask()
            await asyncio.sleep(0.01)
            assert len(scene.pool.jobs) == 1
            await scene.finish()
            await asked

    told(story)


@pytest.mark.parametrize(("waiting", "room"), [(2, True), (3, False)])
def test_a_queue_takes_as_many_requests_as_it_may(waiting: int, room: bool) -> None:
    scene = Scene(bounds=Bounds(queue_requests=3))

    async def story() -> None:
        working = await scene.busy()
        asked = [scene.ask() for _ in range(waiting)]
        if room:
            asked.append(scene.ask())
        else:
            with pytest.raises(QueueFull, match=r"^model 'churn' is busy: 3 requests before this one; try again in 1 second"):
                scene.ask()
        await asyncio.sleep(0.001)
        await scene.finish()
        await asyncio.gather(*working, *asked)

    told(story)
    assert scene.counted.refused == ([] if room else [("churn", "queue_full")])


@pytest.mark.parametrize(("rows", "room"), [(2, True), (3, False)])
def test_a_queue_takes_as_many_rows_as_it_may_and_one_large_request_if_nothing_waits(rows: int, room: bool) -> None:
    scene = Scene(bounds=Bounds(queue_rows=5))

    async def story() -> None:
        working = await scene.busy()
        scene.batcher.check_room(1000)
        asked = [scene.ask(3)]
        scene.batcher.check_room(2)
        if room:
            asked.append(scene.ask(rows))
        else:
            with pytest.raises(QueueFull):
                scene.batcher.check_room(rows)
            with pytest.raises(QueueFull):
                scene.ask(rows)
        await asyncio.sleep(0.001)
        await scene.finish()
        scene.batcher.check_room(1000)  # all are gone
        await asyncio.gather(*working, *asked)

    told(story)


def test_a_full_queue_says_after_how_long_it_will_have_room() -> None:
    scene = Scene(bounds=Bounds(queue_rows=100), batch_rows=10)
    scene.model.takes = 0.5

    async def story() -> int | None:
        first = scene.ask(10)
        await asyncio.sleep(0.001)
        await scene.finish()
        await first
        working = [scene.ask(10)]
        await asyncio.sleep(0.001)
        asked = [scene.ask(10) for _ in range(10)]
        with pytest.raises(QueueFull) as full:
            scene.ask(1)
        await scene.finish()
        await asyncio.gather(*working, *asked)
        return full.value.retry_after

    assert told(story) == 5  # ten batches of half a second


def test_a_deadline_that_passes_while_one_waits_is_told_at_the_next_sweep() -> None:
    scene = Scene()

    async def story() -> float:
        working = await scene.busy()
        loop = asyncio.get_running_loop()
        began = loop.time()
        late, patient = scene.ask(deadline=began + 0.05), scene.ask()
        sentence = r"^the request waited 60 ms for model 'churn', past its deadline; nothing was computed$"
        with pytest.raises(DeadlineExceeded, match=sentence):
            await late
        told_after = loop.time() - began
        assert scene.batcher.waiting == 1
        scene.batcher.check_room(100_000 - 1)  # its row is not counted any more
        with pytest.raises(QueueFull):
            scene.batcher.check_room(100_000)
        await scene.finish()
        await asyncio.gather(*working, patient)
        return told_after

    assert told(story) == pytest.approx(0.06)  # three sweeps of 20 milliseconds
    assert scene.counted.refused == [("churn", "deadline"), ("churn", "queue_full")]
    assert scene.model.asked == [1, 1]


@pytest.mark.parametrize(("deadline", "computed"), [(0.0, False), (1e-6, True)])
def test_a_deadline_is_over_when_it_is_reached(deadline: float, computed: bool) -> None:
    scene = Scene()

    async def story() -> bool:
        asked = scene.ask(deadline=asyncio.get_running_loop().time() + deadline)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await scene.finish()
        return (await asyncio.gather(asked, return_exceptions=True))[0].__class__ is not DeadlineExceeded

    assert told(story) is computed
    assert scene.model.asked == ([1] if computed else [])


def test_who_is_cancelled_is_not_computed_for() -> None:
    scene = Scene()

    async def story() -> None:
        working = await scene.busy()
        gone, stays = scene.ask(5), scene.ask(2)
        gone.cancel()
        await asyncio.sleep(0.03)
        assert scene.batcher.waiting == 1
        await scene.finish()
        await asyncio.gather(*working, stays)

    told(story)
    assert scene.model.asked == [1, 2]


def test_who_is_cancelled_while_the_model_computes_disturbs_no_other() -> None:
    scene = Scene()

    async def story() -> Any:
        gone, stays = scene.ask(), scene.ask(2)
        await asyncio.sleep(0.001)
        gone.cancel()
        await scene.finish()
        return await stays

    assert told(story).outputs["y"].tolist() == [0.0, 2.0]


class Client:
    """Goes away at once, and counts how often it is asked whether it has."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        return {"type": "http.disconnect"}


@pytest.mark.parametrize(("waits", "computed"), [(0.049, True), (0.051, False)])
def test_who_waited_long_is_asked_whether_it_is_still_there(waits: float, computed: bool) -> None:
    scene, client = Scene(), Client()

    async def story() -> None:
        [first] = await scene.busy()
        waiting = scene.ask(receive=client)
        await asyncio.sleep(waits)
        await scene.finish()
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], Disconnected) is not computed
        await first

    told(story)
    assert client.asked == (0 if computed else 1)
    assert scene.model.asked == ([1, 1] if computed else [1])


def test_a_model_that_fails_is_not_counted_and_leaves_its_thread() -> None:
    scene = Scene()
    scene.model.fails = True

    async def story() -> None:
        asked = scene.ask()
        await asyncio.sleep(0.001)
        await scene.finish()
        with pytest.raises(ValueError, match="the kernel failed"):
            await asked
        scene.model.fails = False
        again = scene.ask()
        await asyncio.sleep(0.001)
        assert len(scene.pool.jobs) == 1
        await scene.finish()
        await again

    told(story)
    assert scene.counted.answered == [("churn", 1, 0.0)]


def test_inputs_of_a_graph_are_answered_as_outputs() -> None:
    scene = Scene()

    async def story() -> Any:
        asking = asyncio.ensure_future(scene.batcher.run({"x": np.array([4.0])}, 1))
        await asyncio.sleep(0.001)
        await scene.finish()
        return await asking

    assert told(story)["y"].tolist() == [8.0]


def test_a_deadline_of_a_graphs_inputs_is_kept() -> None:
    scene = Scene()

    async def story() -> None:
        with pytest.raises(DeadlineExceeded):
            await scene.batcher.run({"x": np.array([4.0])}, 1, deadline=0.0)

    told(story)


def test_an_inference_that_ends_after_its_loop_is_dropped_and_another_loop_begins_anew() -> None:
    scene = Scene()

    async def unfinished() -> None:
        await scene.busy()

    async def story() -> Any:
        scene.pool.work()  # the loop that it was for is closed
        asked = scene.ask()
        await asyncio.sleep(0.001)
        assert len(scene.pool.jobs) == 1
        await scene.finish()
        return await asked

    told(unfinished)
    assert told(story).outputs["y"].tolist() == [0.0]
