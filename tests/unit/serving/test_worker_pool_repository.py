"""What a pool loads at start, and from a repository that changes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.pools import Server, events, publish, settled, until

from stagewright.components.predictor.models.repository_backend import Location
from stagewright.components.predictor.wire.control import Refused
from stagewright.components.runtime.errors import InputError


async def test_everything_is_loaded_at_start(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0"), "v3.0.0", name="wine"), given=(Location("plain", "/models/plain"),))
    [only] = await server.joined()
    await server.pool.expect(["churn", "wine", "plain"])
    states = {entry["name"]: entry["state"] for entry in await server.pool.index()}
    assert states == {"churn": "LOADING", "plain": "LOADING", "wine": "LOADING"}

    await server.pool.start()

    assert only.has == ({"churn": "v1.0.0", "wine": "v3.0.0", "plain": None}, {})
    assert only.asked.count("stage plain") == 1
    assert [entry["name"] for entry in await server.pool.index()] == ["churn", "plain", "wine"]
    assert [entry["name"] for entry in await server.pool.index(ready=True)] == ["churn", "plain", "wine"]
    assert (await server.joined())[0].expected == set()


async def test_a_model_of_the_command_line_that_fails_ends_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, given=(Location("slow", "/models/slow"), Location("plain", "/models/plain")))
    [only] = await server.joined()
    only.gates["stage slow"] = asyncio.Event()
    only.faults["stage plain"] = InputError("broken")

    with pytest.raises(InputError, match=r"^broken$"):
        await server.pool.start()

    assert only.serves == {}
    await settled()
    assert "commit slow" not in only.asked


async def test_a_model_of_the_repository_that_fails_is_left_out_and_not_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0"), "v3.0.0", name="wine"))
    [only] = await server.joined()
    only.faults["stage churn"] = InputError("broken")
    await server.pool.expect(["churn", "wine"])

    await server.pool.start()
    await server.pool.reload(only_new=True)

    assert only.serves == {"wine": "v3.0.0"}
    assert only.asked.count("stage churn") == 1
    assert only.asked[-1] != "stage churn"
    assert only.expected == set()
    [told] = events(caplog, "load_failed")
    assert (told["model"], told["error"], told["serving"]) == ("churn", "broken", None)
    assert (await server.pool.index())[0] == {"name": "churn", "state": "UNAVAILABLE", "reason": "broken"}
    await server.pool.reload()  # somebody asks for it: tried again
    assert only.asked.count("stage churn") == 2
    publish(tmp_path, "v1.0.1")
    only.faults.clear()
    await server.pool.reload(only_new=True)  # a version that has not failed yet
    assert only.serves == {"churn": "v1.0.1", "wine": "v3.0.0"}


async def test_a_failure_while_a_model_loads_is_not_called_loading(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0"), "v3.0.0", name="wine"))
    [only] = await server.joined()
    await server.pool.expect(["churn", "wine"])
    only.faults["stage churn"] = InputError("broken")
    only.gates["stage wine"] = asyncio.Event()
    starting = asyncio.ensure_future(server.pool.start())
    await until(lambda: "remove churn" in only.asked)
    await settled()

    assert await server.pool.index() == [
        {"name": "churn", "state": "UNAVAILABLE", "reason": "broken"},
        {"name": "wine", "state": "LOADING", "reason": ""},
    ]
    only.gates["stage wine"].set()
    await starting


async def test_a_newer_version_that_fails_leaves_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    [only] = await server.joined()
    await server.pool.start()
    publish(tmp_path, "v1.1.0")
    only.faults["stage churn"] = InputError("broken")

    await server.pool.reload(only_new=True)

    assert only.has == ({"churn": "v1.0.0"}, {})
    assert "remove churn" not in only.asked
    assert events(caplog, "load_failed")[0]["serving"] == "v1.0.0"
    assert await server.pool.index() == [{"name": "churn", "version": "v1.0.0", "state": "READY", "reason": ""}]


async def test_a_watch_loads_what_is_new_and_a_reload_everything(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0", "v1.1.0"), "v3.0.0", name="wine"))
    [only] = await server.joined()
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("wine")
    only.asked.clear()

    await server.pool.reload(only_new=True)
    assert only.asked == []  # churn was asked for by its version, and wine is the newest
    await server.pool.reload()
    assert only.serves == {"churn": "v1.1.0", "wine": "v3.0.0"}
    assert sorted(only.asked) == ["commit churn", "commit wine", "stage churn", "stage wine"]


async def test_what_was_unloaded_stays_so_until_it_is_loaded(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    [only] = await server.joined()
    await server.pool.load("churn")
    await server.pool.unload("churn")

    await server.pool.reload()
    assert only.serves == {}
    await server.pool.load("churn")
    await server.pool.reload()
    assert only.serves == {"churn": "v1.0.0"}


async def test_no_more_than_four_models_load_side_by_side(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(6)]
    for name in names:
        publish(tmp_path, "v1.0.0", name=name)
    server = Server(tmp_path)
    [only] = await server.joined()
    only.gates = {f"stage {name}": asyncio.Event() for name in names}

    reloading = asyncio.ensure_future(server.pool.reload())
    await until(lambda: len(only.asked) == 4)
    await settled()
    assert len(only.asked) == 4
    for gate in only.gates.values():
        gate.set()
    await reloading

    assert set(only.serves) == set(names)


async def test_a_repository_that_is_gone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(tmp_path / "gone")
    await server.joined()

    await server.pool.reload()
    with pytest.raises(Refused, match=r"^the models cannot be listed: the model repository .*: No such file") as refused:
        await server.pool.index()

    assert str(tmp_path) not in str(refused.value)
    assert (refused.value.status, refused.value.exit_code) == (503, 2)
    assert len(events(caplog, "repository_unreadable")) == 2
    assert await server.pool.index(ready=True) == []


async def test_a_watch_goes_on_after_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(publish(tmp_path, "v1.0.0"))
    [only] = await server.joined()
    reload: Callable[..., Awaitable[None]] = server.pool.reload
    looks: list[dict[str, Any]] = []

    async def once_broken(**options: Any) -> None:
        looks.append(options)
        if len(looks) == 1:
            raise RuntimeError("a defect")
        await reload(**options)

    monkeypatch.setattr(server.pool, "reload", once_broken)
    watching = asyncio.ensure_future(server.pool.watch(0.001))
    await until(lambda: only.serves == {"churn": "v1.0.0"})
    watching.cancel()

    assert looks[:2] == [{"only_new": True}] * 2
