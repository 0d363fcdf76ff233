"""The client against a real server: predictions, waiting, and a smoke test that finds a model which answers something else."""

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import onnx_models
from support.mixed_rows import FEEDS, ROWS

from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable
from stagewright.components.serving import client

Start = Callable[..., Any]


@pytest.fixture
def server(start: Start, models: dict[str, Path]) -> Any:
    return start("--model", str(models["mixed"]), "--name", "churn")


@pytest.fixture(scope="module")
def baseline(models: dict[str, Path]) -> pl.DataFrame:
    """The rows with the model's own answers, as export_model writes them; every column type that a table may have."""
    own = onnx_models.direct(models["mixed"], FEEDS)
    moments = [datetime(2019, 3, 1), None, datetime(2024, 2, 29), datetime(1970, 1, 1)]  # noqa: DTZ001 - stored without a zone
    return pl.DataFrame(
        {
            "note": [row["note"] for row in ROWS],
            "since": pl.Series(moments, dtype=pl.Datetime("us")),
            "tenure": [12.0, None, 1.5, 72.0],
            "charges": [70.35, 20.0, 99.9, 0.1],
            "contract": ["One year", None, "1", "true"],
            "senior": [True, None, False, True],
            "__label__": own["label"].tolist(),
            "__probability_0__": own["probabilities"][:, 0],
            "__probability_1__": own["probabilities"][:, 1],
            "__target__": ["Yes", "No", "Yes", "No"],
        }
    )


def parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def test_predict_answers_labels_and_probabilities(server: Any, models: dict[str, Path]) -> None:
    own = onnx_models.direct(models["mixed"], FEEDS)
    rows = [{**ROWS[0], "since": datetime(2019, 3, 1, tzinfo=UTC)}, {**ROWS[1], "tenure": float("nan")}, *ROWS[2:]]

    for endpoint in (server.url, f"{server.url}/", f"{server.url}/v1/models/churn:predict"):
        answer = client.predict(endpoint, "churn", rows)
        assert answer.predictions == own["label"].tolist()
        np.testing.assert_allclose(answer.probabilities, own["probabilities"], atol=1e-7)


def test_a_refused_request_keeps_the_servers_sentence(server: Any) -> None:
    with pytest.raises(InputError) as refused:
        client.predict(server.url, "churn", [{"charges": 1}])

    path = f"{server.url}/v1/models/churn:predict"
    assert str(refused.value) == f"{path} answered 400: column 'note', row 0: no value, and the model needs one"


def test_waiting_ends_when_the_model_is_ready(server: Any) -> None:
    client.wait_until_ready(server.url, "churn", 5)


def test_waiting_ends_with_the_last_reason(server: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable) as gave_up:
        client.wait_until_ready(server.url, "other", 0.5)

    assert time.monotonic() - began < 2
    reason = f"{server.url}/v2/models/other/ready answered 404: no model 'other' here; /v2/models lists the models"
    assert str(gave_up.value) == f"model 'other' at {server.url} was not ready after 0.5 seconds: {reason}"


def test_the_smoke_test_passes_on_the_models_own_answers(server: Any, baseline: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "baseline.parquet").write_bytes(parquet(baseline))

    passed = client.smoke_test(server.url, "churn", tmp_path / "baseline.parquet", headers={"Authorization": "Bearer x"})

    assert passed.rows == 4
    assert passed.largest_difference < 1e-6
    assert client.smoke_test(server.url, "churn", parquet(baseline), rows=2).rows == 2


def test_the_smoke_test_passes_for_numbers_and_integer_labels(start: Start, models: dict[str, Path], wine, diabetes) -> None:
    wine = wine.drop("cultivar").rename(lambda column: column.replace("/", "_"))
    for name, table, outputs in (
        ("wine", wine, {"label": "__label__", "probabilities": "__probability_{}__"}),
        ("diabetes", diabetes.drop("progression"), {"prediction": "__prediction__"}),
    ):
        feeds = {column: table[column].to_numpy().astype(np.float32).reshape(-1, 1) for column in table.columns}
        own = onnx_models.direct(models[name], feeds)
        answers = {}
        for output, column in outputs.items():
            for at, values in enumerate(own[output].reshape(len(table), -1).T):
                answers[column.format(at)] = values
        server = start("--model", str(models[name]), "--name", name)

        assert client.smoke_test(server.url, name, parquet(table.with_columns(**answers)), rows=1000).rows == len(table)


def test_the_smoke_test_finds_another_label(server: Any, baseline: pl.DataFrame) -> None:
    other = baseline.with_columns(__label__=pl.Series(["Yes", "Yes", "Yes", "Yes"]))
    row = baseline["__label__"].to_list().index("No")

    with pytest.raises(GateFailed) as failed:
        client.smoke_test(server.url, "churn", parquet(other))

    assert str(failed.value) == (
        f"the smoke test of model 'churn' at {server.url} did not pass: row {row} is answered 'No', but the model says 'Yes'"
    )


def test_the_smoke_test_finds_another_probability(server: Any, baseline: pl.DataFrame) -> None:
    moved = baseline.with_columns(pl.col("__probability_1__") + 2e-5)

    with pytest.raises(GateFailed, match=r"row \d: probability 1 is 0\.\d+, but the model says 0\.\d+ \(tolerance 1e-05\)$"):
        client.smoke_test(server.url, "churn", parquet(moved))
    assert client.smoke_test(server.url, "churn", parquet(moved), tolerance=1e-4).largest_difference > 1e-5
    allowed = moved.with_columns(__tolerance__=pl.lit(3e-5))  # by the export that wrote it
    assert client.smoke_test(server.url, "churn", parquet(allowed)).largest_difference > 1e-5
    strict = baseline.with_columns(pl.col("__probability_1__") + 5e-6, __tolerance__=pl.lit(1e-6))
    with pytest.raises(GateFailed, match=r"\(tolerance 1e-06\)$"):
        client.smoke_test(server.url, "churn", parquet(strict))


def test_a_row_on_the_border_of_two_classes_may_be_answered_by_either(server: Any, baseline: pl.DataFrame) -> None:
    """What a machine's arithmetic decides there is no difference between models; what both agree on is."""
    row = baseline["__label__"].to_list().index("No")
    border = baseline[[row]].with_columns(__label__=pl.lit("Yes"), __probability_0__=pl.lit(0.5), __probability_1__=pl.lit(0.5))

    assert client.smoke_test(server.url, "churn", parquet(border), tolerance=0.5).rows == 1
    with pytest.raises(GateFailed, match=r"row 0: probability \d is 0\.\d+, but the model says 0\.5 \(tolerance 0\.01\)$"):
        client.smoke_test(server.url, "churn", parquet(border), tolerance=0.01)
    sure = border.with_columns(__probability_0__=pl.lit(0.25), __probability_1__=pl.lit(0.75))
    with pytest.raises(GateFailed, match=r"row 0 is answered 'No', but the model says 'Yes'$"):
        client.smoke_test(server.url, "churn", parquet(sure), tolerance=0.2)


def test_the_border_of_a_baseline_is_its_threshold(server: Any, baseline: pl.DataFrame) -> None:
    """A model that answers its second class from a quarter on, in a row where it is in two minds; the server is in none."""
    row = baseline["__label__"].to_list().index("No")
    served = baseline["__probability_1__"][row]
    threshold = served + 0.0005
    border = baseline[[row]].with_columns(
        __label__=pl.lit("Yes"), __probability_0__=pl.lit(0.999 - served), __probability_1__=pl.lit(served + 0.001)
    )

    judged = parquet(border.with_columns(__threshold__=pl.lit(threshold)))
    assert client.smoke_test(server.url, "churn", judged, tolerance=0.002).rows == 1
    with pytest.raises(GateFailed, match=r"row 0 is answered 'No', but the model says 'Yes'$"):
        client.smoke_test(server.url, "churn", parquet(border), tolerance=0.002)


@pytest.fixture(scope="module")
def progressions(models: dict[str, Path], diabetes: pl.DataFrame) -> pl.DataFrame:
    """A regression's own answers, 442 of them, with the rule of an export."""
    table = diabetes.drop("progression")
    feeds = {column: table[column].to_numpy().astype(np.float32).reshape(-1, 1) for column in table.columns}
    own = onnx_models.direct(models["diabetes"], feeds)["prediction"].reshape(-1).astype(np.float64)
    return table.with_columns(__prediction__=own, __tolerance__=pl.lit(1e-5), __spread__=pl.lit(1000.0))


@pytest.mark.parametrize(
    ("by", "rule", "passes"),
    [
        (0.009, {}, True),  # a tolerance of 1e-5 of 1000, and what float32 rounds off
        (0.012, {}, False),
        (10.0, {}, False),  # a hundredth of the spread
        (0.012, {"__tolerance__": 2e-5}, True),
        (0.012, {"__spread__": 2000.0}, True),
        (0.009, {"__spread__": 100.0}, False),
    ],
)
def test_numbers_are_judged_by_the_spread_that_the_export_knew(
    start: Start, models: dict[str, Path], progressions: pl.DataFrame, by: float, rule: dict[str, float], passes: bool
) -> None:
    served = start("--model", str(models["diabetes"]), "--name", "diabetes")
    changed = {name: pl.lit(value) for name, value in rule.items()}
    moved = progressions.with_columns(pl.col("__prediction__") + by, **changed)

    if passes:
        assert client.smoke_test(served.url, "diabetes", parquet(moved)).rows == client.SMOKE_ROWS
        return
    with pytest.raises(
        GateFailed, match=r"row \d+: prediction is .*, but the model says .* of the target's spread, .*; tolerance"
    ):
        client.smoke_test(served.url, "diabetes", parquet(moved))


def test_a_baseline_of_before_is_judged_by_the_spread_of_its_answers(
    start: Start, models: dict[str, Path], progressions: pl.DataFrame
) -> None:
    served = start("--model", str(models["diabetes"]), "--name", "diabetes")
    old = progressions.drop("__tolerance__", "__spread__")

    assert client.smoke_test(served.url, "diabetes", parquet(old)).rows == client.SMOKE_ROWS
    with pytest.raises(GateFailed, match=r"0\.0\d+ of the target's spread"):
        client.smoke_test(served.url, "diabetes", parquet(old.with_columns(pl.col("__prediction__") + 5.0)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no parquet", "the baseline is not a Parquet file: "),
        ("/nonexistent/baseline.parquet", "no baseline /nonexistent/baseline.parquet"),
        (parquet(pl.DataFrame({"a": [1]})), "the baseline has no column 'tenure', which the served model takes"),
        (parquet(pl.DataFrame({"a": []})), "the baseline has no rows"),
    ],
)
def test_an_unusable_baseline(server: Any, content: bytes | str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        client.smoke_test(server.url, "churn", content)

    assert str(refused.value).startswith(sentence)


REFUSED = "http://127.0.0.1:1 does not answer: Failed to establish a new connection: [Errno 111] Connection refused"


@pytest.mark.parametrize(
    ("endpoint", "error", "sentence"),
    [
        ("http://127.0.0.1:1", ServiceUnavailable, REFUSED),
        ("::::", InputError, "'::::' is not an address; expected http://HOST:PORT"),
    ],
)  # fmt: skip
def test_a_server_that_is_not_there(endpoint: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as failed:
        client.predict(endpoint, "churn", ROWS)

    assert str(failed.value) == sentence
