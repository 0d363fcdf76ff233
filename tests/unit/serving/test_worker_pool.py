"""What each process of a server is told, and in which order, when versions come, fail and go; tests/serving has real ones."""

import asyncio
import logging
from pathlib import Path

import pytest
from support.pools import Server, events, publish, settled, until

from stagewright.components.predictor.models.repository_backend import Location
from stagewright.components.predictor.processes.worker_pool import ENDING
from stagewright.components.predictor.wire.control import Lost, Refused
from stagewright.components.predictor.wire.errors import LoadFailed, UnknownModel, UnknownVersion
from stagewright.components.runtime.errors import InputError, ServiceUnavailable


async def test_a_load_is_committed_by_all_before_any_says_that_it_is_ready(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    first, second = await server.joined(2)
    second.gates["commit churn"] = asyncio.Event()

    loading = asyncio.ensure_future(server.pool.load("churn"))
    await until(lambda: "commit churn" in second.asked)
    await settled()
    assert first.asked == ["stage churn", "commit churn"]
    assert first.held == {"churn"}
    second.gates["commit churn"].set()

    assert await loading == "v1.0.0"
    for member in (first, second):
        assert member.asked == ["stage churn", "commit churn", "release churn"]
        assert member.has == ({"churn": "v1.0.0"}, {})
    assert server.announced == [("churn", "v1.0.0")]


async def test_a_process_that_is_alone_is_ready_at_once(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    [only] = await server.joined()

    await server.pool.load("churn")

    assert server.pool.size == 1
    assert only.asked == ["stage churn", "commit churn"]
    assert only.has == ({"churn": "v1.0.0"}, {})


async def test_the_newest_version_is_loaded_unless_one_is_named(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.10.0", "v1.9.0"))
    [only] = await server.joined()

    assert await server.pool.load("churn") == "v1.10.0"
    assert await server.pool.load("churn", "v1.9.0") == "v1.9.0"

    assert only.has == ({"churn": "v1.9.0"}, {})


async def test_a_staged_version_is_put_in_place_without_being_loaded_again(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    first, second = await server.joined(2)
    await server.pool.load("churn", "v1.0.0")

    assert await server.pool.load("churn", "v1.1.0", stage=True) == "v1.1.0"
    assert first.has == second.has == ({"churn": "v1.0.0"}, {"churn": "v1.1.0"})
    assert server.announced == [("churn", "v1.0.0")]
    assert await server.pool.load("churn", "v1.1.0") == "v1.1.0"

    assert first.has == second.has == ({"churn": "v1.1.0"}, {})
    assert first.asked.count("stage churn") == 2
    assert server.announced == [("churn", "v1.0.0"), ("churn", "v1.1.0")]


async def test_a_staged_version_is_not_taken_for_another(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    [only] = await server.joined()

    await server.pool.load("churn", "v1.1.0", stage=True)
    assert await server.pool.load("churn", "v1.0.0") == "v1.0.0"

    assert only.asked == ["stage churn", "stage churn", "commit churn"]
    assert only.has == ({"churn": "v1.0.0"}, {})


async def test_loads_of_one_model_happen_one_after_another_and_of_two_side_by_side(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0", "v1.1.0"), "v3.0.0", name="wine"))
    [only] = await server.joined()
    only.gates["stage churn"] = asyncio.Event()

    first = asyncio.ensure_future(server.pool.load("churn", "v1.0.0"))
    await until(lambda: only.asked)
    second = asyncio.ensure_future(server.pool.load("churn", "v1.1.0"))

    assert await server.pool.load("wine") == "v3.0.0"  # keeps nobody waiting
    await settled()
    assert only.asked.count("stage churn") == 1
    only.gates["stage churn"].set()
    assert (await first, await second) == ("v1.0.0", "v1.1.0")
    assert only.serves == {"churn": "v1.1.0", "wine": "v3.0.0"}


async def test_without_a_process_nothing_is_loaded(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))

    with pytest.raises(LoadFailed, match="model 'churn' was not loaded: no worker is running to load a model; try again") as no:
        await server.pool.load("churn")

    assert no.value.status == 503


async def test_a_version_that_one_process_cannot_load_is_taken_away_from_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    first, second = await server.joined(2)
    await server.pool.load("churn", "v1.0.0")
    second.faults["stage churn"] = InputError(f"the model at {tmp_path}/churn/v1.1.0 has no graph")

    with pytest.raises(LoadFailed) as refused:
        await server.pool.load("churn", "v1.1.0")

    assert str(refused.value) == (
        "model 'churn' was not loaded: the model at [see the server's log] has no graph; v1.0.0 goes on serving"
    )
    assert refused.value.status == 400
    assert first.has == second.has == ({"churn": "v1.0.0"}, {})
    assert first.asked[-1] == second.asked[-1] == "discard churn"
    [told] = events(caplog, "load_refused")
    assert (told["model"], told["version"]) == ("churn", "v1.1.0")
    assert str(tmp_path) in told["error"]
    assert await server.pool.index() == [{"name": "churn", "version": "v1.0.0", "state": "READY", "reason": ""}]


async def test_why_the_first_version_failed_stands_in_the_index_until_one_serves(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    [only] = await server.joined()
    only.faults["stage churn"] = ServiceUnavailable("the store does not answer")

    with pytest.raises(LoadFailed, match=r"^model 'churn' was not loaded: the store does not answer$") as refused:
        await server.pool.load("churn")

    assert refused.value.status == 503
    entry = {"name": "churn", "state": "UNAVAILABLE", "reason": "the store does not answer"}
    assert await server.pool.index() == [entry]
    assert await server.pool.index(ready=True) == []
    only.faults.clear()
    await server.pool.load("churn")
    assert await server.pool.index() == [{"name": "churn", "version": "v1.0.0", "state": "READY", "reason": ""}]
    await server.pool.unload("churn")
    assert await server.pool.index() == [{"name": "churn", "state": "UNAVAILABLE", "reason": "unloaded"}]


async def test_a_status_that_comes_with_the_error_is_kept(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"), given=(Location("plain", "/models/plain"),))
    [only] = await server.joined()
    await server.pool.load("plain")
    for name in ("churn", "plain"):
        only.faults[f"stage {name}"] = Refused("too large", 413, 2)

    with pytest.raises(LoadFailed, match=r"too large$") as refused:
        await server.pool.load("churn")
    assert refused.value.status == 413
    with pytest.raises(LoadFailed, match=r"too large; the one before goes on serving$"):
        await server.pool.load("plain")


async def test_unknown_models_and_versions_are_told(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    await server.joined()

    with pytest.raises(UnknownModel):
        await server.pool.load("wine")
    with pytest.raises(UnknownVersion, match=r"^model 'churn' has no version 'v2.0.0' here$"):
        await server.pool.load("churn", "v2.0.0")
    await server.pool.load("churn")
    with pytest.raises(UnknownVersion, match=r"^model 'churn' has no version 'v2.0.0' here; served is v1.0.0$"):
        await server.pool.load("churn", "v2.0.0")


async def test_a_process_that_ends_meanwhile_is_left_out(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    first, dying = await server.joined(2)
    dying.faults = {"stage churn": Lost(), "commit churn": Lost(), "release churn": Lost()}

    assert await server.pool.load("churn") == "v1.0.0"

    assert first.has == ({"churn": "v1.0.0"}, {})
    server.pool.leave(dying)
    server.pool.leave(dying)  # who is told twice that it has ended has ended
    assert server.pool.size == 1


async def test_all_have_finished_before_a_failure_is_told(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    failing, slow = await server.joined(2)
    failing.faults["stage churn"] = InputError("broken")
    slow.gates["stage churn"] = asyncio.Event()

    loading = asyncio.ensure_future(server.pool.load("churn"))
    await until(lambda: slow.asked)
    await settled()
    assert not loading.done()
    slow.gates["stage churn"].set()

    with pytest.raises(LoadFailed):
        await loading
    assert slow.has == ({}, {})


async def test_an_unloaded_model_is_gone_everywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    first, second = await server.joined(2)
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("churn", "v1.1.0", stage=True)

    await server.pool.unload("churn", staged=True)
    assert first.has == second.has == ({"churn": "v1.0.0"}, {})
    assert events(caplog, "model_unloaded") == []
    with pytest.raises(UnknownModel):
        await server.pool.unload("churn", staged=True)
    await server.pool.unload("churn")
    assert first.has == second.has == ({}, {})
    assert len(events(caplog, "model_unloaded")) == 1
    with pytest.raises(UnknownModel):
        await server.pool.unload("churn")


async def test_unloading_takes_the_staged_version_too(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    [only] = await server.joined()
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("churn", "v1.1.0", stage=True)

    await server.pool.unload("churn")

    assert only.has == ({}, {})
    with pytest.raises(UnknownModel):
        await server.pool.unload("churn", staged=True)


async def test_the_end_gives_up_what_is_being_loaded(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    [only] = await server.joined()
    await server.pool.load("churn", "v1.0.0")
    only.gates["stage churn"] = asyncio.Event()
    loading = asyncio.ensure_future(server.pool.load("churn", "v1.1.0"))
    await until(lambda: only.asked.count("stage churn") == 2)

    server.pool.end()

    with pytest.raises(LoadFailed, match=ENDING) as refused:
        await loading
    assert refused.value.status == 503
    assert only.has == ({"churn": "v1.0.0"}, {})
    with pytest.raises(LoadFailed, match=ENDING):
        await server.pool.load("churn", "v1.1.0")
    assert only.asked.count("stage churn") == 2


async def test_who_asks_and_goes_away_leaves_nothing_staged(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    quick, slow = await server.joined(2)
    slow.gates["stage churn"] = asyncio.Event()
    loading = asyncio.ensure_future(server.pool.load("churn"))
    await until(lambda: slow.asked)

    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading

    assert quick.has == ({}, {})
    assert quick.asked[-1] == "discard churn"
    slow.gates["stage churn"].set()
    assert await server.pool.load("churn") == "v1.0.0"
