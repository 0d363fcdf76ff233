"""A process that joins comes to what the others have, whatever happens meanwhile."""

import asyncio
from pathlib import Path

from support.pools import Process, Server, publish, until


async def test_who_joins_gets_what_is_served_staged_and_expected(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0", "v1.1.0"), "v3.0.0", name="wine"))
    [first] = await server.joined()
    await server.pool.expect(["later"])
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("wine")
    await server.pool.load("churn", "v1.1.0", stage=True)

    [late] = await server.joined()

    assert late.has == first.has == ({"churn": "v1.0.0", "wine": "v3.0.0"}, {"churn": "v1.1.0"})
    assert late.expected == first.expected == {"later"}
    assert "expect churn" not in late.asked


async def test_who_joins_after_all_have_staged_takes_part_in_the_commit(tmp_path: Path) -> None:
    """A worker is replaced between the two steps of a load: its successor has the version beside what it serves, too."""
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    first, dying = await server.joined(2)
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("churn", "v1.1.0", stage=True)

    server.pool.leave(dying)
    [successor] = await server.joined()
    await server.pool.load("churn", "v1.1.0")

    assert first.has == successor.has == ({"churn": "v1.1.0"}, {})
    assert successor.asked == ["stage churn", "commit churn", "stage churn", "commit churn", "release churn"]


async def test_who_joins_while_others_stage_is_staged_before_the_commit(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    [slow] = await server.joined()
    await server.pool.load("churn", "v1.0.0")
    slow.gates["stage churn"] = asyncio.Event()
    loading = asyncio.ensure_future(server.pool.load("churn", "v1.1.0"))
    await until(lambda: slow.asked.count("stage churn") == 2)

    [late] = await server.joined()
    assert late.has == ({"churn": "v1.0.0"}, {})
    slow.gates["stage churn"].set()

    assert await loading == "v1.1.0"
    assert late.has == slow.has == ({"churn": "v1.1.0"}, {})
    assert late.asked == ["stage churn", "commit churn", "stage churn", "commit churn", "release churn"]
    assert slow.asked.count("stage churn") == 2


async def test_who_joins_while_a_version_is_put_in_place_comes_to_it_by_itself(tmp_path: Path) -> None:
    """The commit is on its way to the others: who was not asked for it finds it among what is served."""
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    first, slow = await server.joined(2)
    await server.pool.load("churn", "v1.0.0")
    slow.gates["commit churn"] = asyncio.Event()
    loading = asyncio.ensure_future(server.pool.load("churn", "v1.1.0"))
    await until(lambda: slow.asked.count("commit churn") == 2)

    [late] = await server.joined()
    assert late.has == ({"churn": "v1.1.0"}, {})
    assert "v1.0.0" not in late.serves.values()
    slow.gates["commit churn"].set()

    assert await loading == "v1.1.0"
    assert first.has == slow.has == late.has == ({"churn": "v1.1.0"}, {})


async def test_what_changes_while_one_joins_is_made_up_for(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0", "v1.1.0"), "v3.0.0", name="wine"))
    [first] = await server.joined()
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("wine")
    late = Process()
    late.gates["stage churn"] = asyncio.Event()
    joining = asyncio.ensure_future(server.pool.join(late))
    await until(lambda: late.asked)

    await server.pool.load("churn", "v1.1.0")
    await server.pool.unload("wine")
    assert server.pool.size == 1  # nobody waits for it
    late.gates["stage churn"].set()
    await joining

    assert server.pool.size == 2
    assert late.has == first.has == ({"churn": "v1.1.0"}, {})


async def test_what_was_unloaded_while_one_joins_is_taken_away_again(tmp_path: Path) -> None:
    server = Server(publish(publish(tmp_path, "v1.0.0"), "v3.0.0", name="wine"))
    await server.joined()
    await server.pool.load("churn")
    await server.pool.load("wine")
    late = Process()
    late.gates["stage wine"] = asyncio.Event()
    joining = asyncio.ensure_future(server.pool.join(late))
    await until(lambda: "stage wine" in late.asked)

    await server.pool.unload("churn")
    late.gates["stage wine"].set()
    await joining

    assert late.has == ({"wine": "v3.0.0"}, {})
    assert late.asked[-1] == "remove churn"


async def test_a_staged_version_that_was_discarded_while_one_joins_leaves_the_served_one(tmp_path: Path) -> None:
    server = Server(publish(tmp_path, "v1.0.0", "v1.1.0"))
    await server.joined()
    await server.pool.load("churn", "v1.0.0")
    await server.pool.load("churn", "v1.1.0", stage=True)
    late = Process()
    late.gates["commit churn"] = asyncio.Event()
    joining = asyncio.ensure_future(server.pool.join(late))
    await until(lambda: "commit churn" in late.asked)
    await server.pool.unload("churn", staged=True)
    late.gates["commit churn"].set()
    await joining

    assert late.serves == {"churn": "v1.0.0"}
    assert "remove churn" not in late.asked
