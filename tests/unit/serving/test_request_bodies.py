"""What bodies take of the memory for them, and give back."""

import asyncio
from collections.abc import Sequence

import pytest

from stagewright.components.predictor.wire.asgi import SMALL_BODY, MemoryBudget, Message, known_headers, read_body
from stagewright.components.predictor.wire.errors import Disconnected, MemoryBudgetExceeded, TooLarge, UnsupportedEncoding

LIMIT = 8 * SMALL_BODY


class Upload:
    """A body whose pieces arrive one by one; what is held is noted each time that the next is asked for."""

    def __init__(self, memory: MemoryBudget, pieces: Sequence[bytes], *, ends: bool = True) -> None:
        self.memory, self.pieces, self.ends = memory, list(pieces), ends
        self.held: list[int] = []

    async def __call__(self) -> Message:
        self.held.append(self.memory.held)
        if not self.pieces:
            return {"type": "http.disconnect"}
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or not self.ends}


def read(upload: Upload, headers: dict[bytes, bytes] | None = None) -> bytes:
    return asyncio.run(read_body(headers or {}, upload, LIMIT, upload.memory))


def test_chunks_count_as_they_arrive_and_not_afterwards() -> None:
    memory = MemoryBudget(LIMIT)
    upload = Upload(memory, [b"a" * SMALL_BODY, b"b", b"c" * SMALL_BODY, b"d"])

    body = read(upload)

    assert upload.held == [0, 0, SMALL_BODY + 1, 2 * SMALL_BODY + 1]
    assert memory.held == len(body) == 2 * SMALL_BODY + 2
    memory.release(len(body))
    assert memory.held == 0


@pytest.mark.parametrize(("size", "held"), [(SMALL_BODY - 1, 0), (SMALL_BODY, 0), (SMALL_BODY + 1, SMALL_BODY + 1)])
@pytest.mark.parametrize("pieces", [1, 3])
def test_small_bodies_are_not_counted(size: int, held: int, pieces: int) -> None:
    memory = MemoryBudget(LIMIT)
    whole = b"a" * size

    body = read(Upload(memory, [whole[: size // 2], whole[size // 2 : -1], whole[-1:]] if pieces == 3 else [whole]))

    assert (body, memory.held) == (whole, held)
    memory.release(size)
    assert memory.held == 0


def test_what_is_announced_and_does_not_come_takes_nothing() -> None:
    memory = MemoryBudget(LIMIT)
    announcing = Upload(memory, [b"a"], ends=False)

    with pytest.raises(Disconnected):
        read(announcing, {b"content-length": b"%d" % LIMIT})

    assert (announcing.held, memory.held) == ([0, 0], 0)


@pytest.mark.parametrize("announced", [{}, {b"content-length": b"1"}])
def test_who_sends_more_than_there_is_room_for_is_refused_and_gives_all_back(announced: dict[bytes, bytes]) -> None:
    memory = MemoryBudget(4 * SMALL_BODY)
    memory.reserve(2 * SMALL_BODY)

    assert len(read(Upload(memory, [b"a" * SMALL_BODY] * 2), announced)) == 2 * SMALL_BODY
    memory.release(2 * SMALL_BODY)
    with pytest.raises(MemoryBudgetExceeded):
        read(Upload(memory, [b"a" * SMALL_BODY] * 2 + [b"a"]), announced)

    assert memory.held == 2 * SMALL_BODY


def test_one_that_is_alone_may_be_as_large_as_a_body_may_be() -> None:
    memory = MemoryBudget(SMALL_BODY)

    assert len(read(Upload(memory, [b"a" * SMALL_BODY] * 8))) == LIMIT
    memory.release(LIMIT)
    with pytest.raises(TooLarge):
        read(Upload(memory, [b"a" * SMALL_BODY] * 8 + [b"a"]))
    assert memory.held == 0


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    memory = MemoryBudget(LIMIT)

    with pytest.raises(Disconnected):
        read(Upload(memory, [b"a" * SMALL_BODY] * 3, ends=False))
    assert memory.held == 0


@pytest.mark.parametrize(
    ("given", "taken"),
    [([b"identity"], True), ([b""], True), ([b"identity", b"Identity"], True), ([b"gzip"], False),
     ([b"gzip", b"identity"], False), ([b"identity", b"gzip"], False), ([b"identity, gzip"], False), ([b"x-identity"], False)],
)  # fmt: skip
def test_every_coding_of_a_body_must_be_none(given: list[bytes], taken: bool) -> None:
    headers = known_headers([(b"content-encoding", one) for one in given])
    upload = Upload(MemoryBudget(LIMIT), [b"{}"])

    if taken:
        assert read(upload, headers) == b"{}"
    else:
        with pytest.raises(UnsupportedEncoding):
            read(upload, headers)
