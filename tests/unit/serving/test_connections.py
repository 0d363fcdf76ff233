"""Which connections make room for others."""

from dataclasses import dataclass

import pytest

from stagewright.components.predictor.arguments import parse
from stagewright.components.predictor.http import connections
from stagewright.components.predictor.http.connections import make_room
from stagewright.components.predictor.wire.limits import ConnectionLimits


@dataclass(eq=False)
class Fake:
    """A connection that waits since a time, or is being answered."""

    since: tuple[int, float] | None
    closed: bool = False

    def waiting_since(self) -> tuple[int, float] | None:
        return self.since

    def give_up(self) -> None:
        self.closed = True


def closed(kept: list[Fake], most: int) -> list[int]:
    make_room(kept, kept[-1], most)
    return [at for at, one in enumerate(kept) if one.closed]


def test_as_many_as_allowed_stay() -> None:
    assert closed([Fake((0, float(at))) for at in range(4)], 4) == []


def test_who_waited_longest_makes_room() -> None:
    assert closed([Fake((0, 3.0)), Fake((0, 1.0)), Fake((0, 2.0)), Fake((0, 4.0)), Fake((0, 5.0))], 4) == [1]


def test_a_body_that_arrives_is_kept_longer_than_nothing() -> None:
    assert closed([Fake((1, 1.0)), Fake((0, 9.0)), Fake((1, 2.0)), Fake((0, 10.0))], 3) == [1]


def test_who_is_answered_stays() -> None:
    assert closed([Fake(None), Fake((1, 9.0)), Fake(None), Fake((0, 10.0))], 3) == [1]


def test_room_is_made_for_more_than_one() -> None:
    assert closed([Fake((0, float(at))) for at in range(33)], 32) == [0, 1, 2]


@pytest.mark.parametrize(("busy", "gone"), [(9, []), (10, [10])])
def test_where_all_are_answered_a_quarter_more_are_taken(busy: int, gone: list[int]) -> None:
    assert closed([*(Fake(None) for _ in range(busy)), Fake((0, 1.0))], 8) == gone


@pytest.mark.parametrize(("allowed", "most"), [(256, 128), (20_000, 10_000), (1_000_000, 16_384), (4, 8), (-1, 16_384)])
def test_half_of_the_descriptors_are_for_connections(monkeypatch: pytest.MonkeyPatch, allowed: int, most: int) -> None:
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (allowed, allowed))

    assert ConnectionLimits().most == most


@pytest.mark.parametrize(("limits", "wanted"), [((1024, 4096), (4096, 4096)), ((1024, -1), (65_536, -1))])
def test_descriptors_are_raised(monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], wanted: tuple[int, int]) -> None:
    set_to = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, given: set_to.append(given))

    connections.raise_descriptors()

    assert set_to == [wanted]


@pytest.mark.parametrize("limits", [(4096, 4096), (100_000, 1_000_000), (-1, -1)])
def test_descriptors_are_never_lowered(monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int]) -> None:
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(connections.resource, "setrlimit", lambda *_: pytest.fail("set"))

    connections.raise_descriptors()


def test_options_and_environment_say_the_limits() -> None:
    environment = {"STAGEWRIGHT_IDLE_TIMEOUT": "5", "STAGEWRIGHT_BODY_TIMEOUT": "7.5", "STAGEWRIGHT_MAX_CONNECTIONS": "99"}
    limits = parse(["--model", "m", "--head-timeout", "2", "--max-connections", "100"], environment).limits.connections

    assert limits == ConnectionLimits(idle_seconds=5.0, head_seconds=2.0, body_seconds=7.5, most=100)
    assert (ConnectionLimits().idle_seconds, ConnectionLimits().head_seconds, ConnectionLimits().body_seconds) == (75, 30, 60)
