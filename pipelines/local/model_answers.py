"""What a model in a folder answers for rows, asked in a process of its own: loading it imports the library it was made with."""

import contextlib
import io
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stagewright.components.runtime.errors import GateFailed
from stagewright.pipelines.local.step_life import run_step
from stagewright.pipelines.local.warm import current_server

if TYPE_CHECKING:
    from stagewright.components.runtime.model import Predictions

_MODULE = "stagewright.pipelines.local.model_answers"
_OUTPUT = "answers.json"


def answers(model: Path, rows: Path, count: int) -> "tuple[Predictions, list[str]]":
    """Predictions for the first `count` rows of a Parquet file, of shape (count,) and (count, classes), and the model's inputs.

    Raises:
        GateFailed: If the model cannot be asked, with what was printed.
    """
    import numpy as np

    from stagewright.components.runtime.model import Predictions

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
        output = Path(folder) / _OUTPUT
        arguments = [str(model), str(rows), str(count), str(output)]
        command = [sys.executable, "-m", _MODULE, *arguments]
        server = current_server()
        fork = partial(server.start, _MODULE, arguments) if server else None
        if run_step(command, {}, folder=Path(folder), fork=fork):
            raise GateFailed(f"model {model}", [printed.getvalue().strip()])
        document = json.loads(output.read_text())
    probabilities = np.asarray(document["probabilities"], dtype=np.float32)
    return Predictions(labels=np.asarray(document["labels"]), probabilities=probabilities), document["inputs"]


def main() -> None:
    """Write the answers of `MODEL ROWS COUNT OUTPUT` as JSON."""
    import numpy as np
    import polars as pl

    from stagewright.components.runtime.model import Model

    folder, rows, count, output = sys.argv[1:]
    model = Model.load(Path(folder))
    predictions = model.predict(pl.read_parquet(rows, n_rows=int(count)))
    document = {
        "labels": np.asarray(predictions.labels).tolist(),
        "probabilities": np.asarray(predictions.probabilities).tolist(),
        "inputs": [column.name for column in model.features.inputs],
    }
    Path(output).write_text(json.dumps(document))


if __name__ == "__main__":
    main()
