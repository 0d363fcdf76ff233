"""How MLflow loads our models: `mlflow.pyfunc.load_model(folder).predict(frame)`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import METADATA_FILE, Model

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Pyfunc:
    """A model with MLflow's predict: pandas in, pandas out."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Answer each row of a frame with the raw columns.

        Returns:
            `label` and one `probability_<class>` for each class, or `prediction`; the index is that of the input.
        """
        import pandas as pd

        predictions = self.model.predict(_table(model_input))
        if predictions.probabilities is None:
            return pd.DataFrame({"prediction": predictions.values}, index=model_input.index)
        columns = {"label": predictions.labels}
        for position, name in enumerate(self.model.metadata.classes or ()):
            columns[f"probability_{name}"] = predictions.probabilities[:, position]
        return pd.DataFrame(columns, index=model_input.index)


def _table(frame: "pd.DataFrame") -> "pl.DataFrame":
    import polars as pl

    columns: list[pl.Series] = []
    for name in frame.columns:
        try:
            values: Any = pl.from_pandas(frame[name])
        except (TypeError, ValueError) as error:  # Arrow's errors are these
            raise InputError(f"column '{name}' holds values of mixed types: {error}") from None
        columns.append(values.alias(str(name)))
    return pl.DataFrame(columns)


def _load_pyfunc(path: str) -> Pyfunc:
    """MLflow's entry point.

    Args:
        path: The model folder, or the file in it that MLmodel names as data.
    """
    folder = Path(path)
    return Pyfunc(Model.load(folder.parent if folder.name == METADATA_FILE else folder))
