"""The gate, the choice among those that pass, and the front of what is worth having."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.measurement.graph_speed import Latency, Speed, compare
from stagewright.components.optimization.quantization.gate import Candidate, Limits, choose, figures, pareto
from stagewright.components.optimization.quantization.methods import CPU, GPU, find
from stagewright.components.optimization.quantization.quality import Quality
from stagewright.components.runtime.errors import BadParameter

points = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=12)


def _candidate(
    name: str, *, lost: float = 0.0, single: float | None = 2.0, batch: float = 2.0, ratio: float = 4.0, size: int = 100
) -> Candidate:
    quality = Quality({"accuracy": 0.9}, lost, (lost - 0.1, lost + 0.1), {"accuracy": lost}, 0.01, 0.02)
    latency = Latency(1.0, 0.9, 1.1)
    speedup = {} if single is None else {"single": single, "batch": batch}
    speed = None if single is None else Speed(dict.fromkeys(speedup, latency), speedup, dict.fromkeys(speedup, (1.0, 2.0)))
    return Candidate(find(name), b"graph", size, ratio, quality, speed)


def test_candidate_within_all_limits_passes() -> None:
    assert _candidate("dynamic", lost=1.0).failures(Limits(tolerance=1.0, speedup=1.5, size_ratio=3)) == []


def test_each_limit_that_is_missed_is_told() -> None:
    missed = _candidate("dynamic", lost=1.3, single=0.9, batch=1.4, ratio=1.2).failures(Limits(1.0, 1.5, 3))

    assert missed == [
        "loses 1.30 points of accuracy (tolerance 1)",
        "is 0.90 times as fast for single rows (at least 1.5 is asked for)",
        "is 1.40 times as fast for batches (at least 1.5 is asked for)",
        "is 1.20 times smaller (at least 3 is asked for)",
    ]


def test_loss_that_is_not_a_number_does_not_pass() -> None:
    assert _candidate("dynamic", lost=float("nan")).failures(Limits())


def test_candidate_that_could_not_be_made_says_why() -> None:
    assert Candidate(find("dynamic"), error="no layers").failures(Limits()) == ["could not be made: no layers"]


def test_fastest_that_passes_is_chosen() -> None:
    slow, fast, lossy = (
        _candidate("dynamic"),
        _candidate("static-minmax", single=3, batch=3),
        _candidate("weights-8", lost=2, single=9, batch=9),
    )

    assert choose([slow, fast, lossy], Limits(), CPU) is fast


def test_of_equally_fast_the_one_that_loses_least_is_chosen() -> None:
    first, second = (
        _candidate("dynamic", lost=0.6, single=3.1, batch=3.1),
        _candidate("static-minmax", lost=0.1, single=3, batch=3),
    )

    assert choose([first, second], Limits(), CPU) is second


def test_speed_counts_by_the_slower_load() -> None:
    uneven, even = _candidate("dynamic", single=9, batch=1.2), _candidate("static-minmax", single=2, batch=2)

    assert choose([uneven, even], Limits(), CPU) is even


def test_half_precision_needs_no_speed_where_there_is_no_gpu() -> None:
    half = _candidate("fp16", single=None, ratio=2.0)

    assert choose([half, _candidate("dynamic")], Limits(), GPU) is half
    assert choose([half], Limits(), CPU) is None
    assert _candidate("dynamic", single=None).failures(Limits()) == ["was not measured"]


@given(points)
def test_front_is_what_no_other_beats(found: list[tuple[int, int, int]]) -> None:
    front = pareto(found)

    assert any(front)
    for own, on_front in zip(found, front, strict=True):
        beaten = any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in found)
        assert on_front is not beaten
    kept = [point for point, on_front in zip(found, front, strict=True) if on_front]
    assert all(pareto(kept))


@given(points, st.tuples(*[st.integers(0, 5)] * 3))
def test_another_point_only_ever_takes_points_off_the_front(
    found: list[tuple[int, int, int]], new: tuple[int, int, int]
) -> None:
    before, after = pareto(found), pareto([*found, new])[:-1]

    assert all(was or not now for was, now in zip(before, after, strict=True))


def test_speedups_are_ratios_to_the_first() -> None:
    import time

    slept = {"slow": 0.004, "fast": 0.001}
    runs = {name: (lambda _, seconds=seconds: time.sleep(seconds)) for name, seconds in slept.items()}

    speeds = compare(runs, {"single": [{}], "batch": [{}, {}]}, seconds=0.5)

    assert speeds["slow"].speedup == {"single": 1.0, "batch": 1.0}
    assert 2.0 < speeds["fast"].gain < 5.0
    assert speeds["fast"].latency["single"].low <= speeds["fast"].latency["single"].median


@pytest.mark.parametrize(
    ("limits", "kept", "broken"),
    [
        ("tolerance", {"lost": 1.0}, {"lost": 1.001}),
        ("speedup", {"single": 1.1}, {"single": 1.099}),
        ("speedup", {"batch": 1.1}, {"batch": 1.099}),
        ("size_ratio", {"ratio": 1.0}, {"ratio": 0.999}),
    ],
)
def test_a_limit_may_be_reached_and_not_passed(limits: str, kept: dict[str, float], broken: dict[str, float]) -> None:
    assert _candidate("dynamic", **kept).failures(Limits()) == []  # type: ignore[arg-type]
    assert len(_candidate("dynamic", **broken).failures(Limits())) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"tolerance": -0.001}, "tolerance"), ({"tolerance": float("nan")}, "tolerance"), ({"speedup": 0.0}, "minimum_speedup"),
        ({"size_ratio": 0.0}, "minimum_size_ratio"), ({"size_ratio": -1.0}, "minimum_size_ratio"),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused(limits: dict[str, float], name: str) -> None:
    with pytest.raises(BadParameter, match=f"^parameter '{name}' is "):
        Limits(**limits).check()


def test_the_least_limits_are_allowed() -> None:
    Limits(tolerance=0.0, speedup=1e-9, size_ratio=1e-9).check()


@pytest.mark.parametrize("unknown", [{"quality": None}, {"size_ratio": None}, {"error": "no layers"}])
def test_a_candidate_that_lacks_something_could_not_be_made(unknown: dict[str, object]) -> None:
    [clause] = replace(_candidate("dynamic"), **unknown).failures(Limits())

    assert clause == f"could not be made: {unknown.get('error', '')}"


def test_metrics_are_told_by_their_names() -> None:
    both = _candidate("dynamic")
    quality = replace(both.quality, by_metric={"accuracy": 0.5, "roc_auc": 2.0})  # type: ignore[type-var]

    assert replace(both, quality=quality).failures(Limits()) == ["loses 2.00 points of ROC AUC (tolerance 1)"]


@pytest.mark.parametrize(("gain", "chosen"), [(2.7, "second"), (2.69, "first")])
def test_speeds_are_equal_within_a_tenth(gain: float, chosen: str) -> None:
    first = _candidate("dynamic", lost=0.6, single=3, batch=3)
    second = _candidate("static-minmax", lost=0.1, single=gain, batch=gain)

    assert choose([first, second], Limits(), CPU) is {"first": first, "second": second}[chosen]


def test_of_those_that_lose_as_little_the_smallest_is_chosen() -> None:
    large, small = _candidate("dynamic", size=200), _candidate("static-minmax", size=100)

    assert choose([large, small], Limits(), CPU) is small
    assert choose([], Limits(), CPU) is None


def test_where_speed_is_not_measured_the_smallest_is_chosen() -> None:
    large, small = _candidate("fp16", single=None, size=200), _candidate("fp16", single=None, size=100)

    assert choose([large, small], Limits(), GPU) is small


def test_a_measured_candidate_is_preferred_to_one_that_is_not() -> None:
    measured, smaller = _candidate("fp16", size=200), _candidate("fp16", single=None, size=100)

    assert choose([measured, smaller], Limits(), GPU) is measured


def test_a_candidate_as_json_has_what_was_measured_of_it() -> None:
    whole = figures(_candidate("dynamic", lost=2.0), Limits())

    assert whole["failures"] == ["loses 2.00 points of accuracy (tolerance 1)"]
    assert whole["quality"]["points_lost_interval"] == [1.9, 2.1]
    assert whole["speed"]["single"] == {
        "milliseconds": 1.0, "quartiles": [0.9, 1.1], "speedup": 2.0, "speedup_quartiles": [1.0, 2.0],
    }  # fmt: skip
    assert (whole["batch_effect"], "graph=" in repr(_candidate("dynamic"))) == (0.0, False)
    assert not {"quality", "speed"} & figures(Candidate(find("dynamic"), error="no layers"), Limits()).keys()
