"""Inputs of a model card, from the outputs of earlier steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import FEATURES, SERVING, ModelMetadata
from stagewright.components.runtime.schema import Schema


@dataclass(frozen=True, slots=True)
class Sources:
    """Inputs of a model card.

    Attributes:
        features: Description of the fitted features: inputs, outputs, specification, dropped columns.
        evaluation: JSON of the evaluation.
        exported: Whether the model is exported for serving.
    """

    name: str
    metadata: ModelMetadata
    features: dict[str, Any]
    evaluation: dict[str, Any]
    schema: Schema
    exported: bool
    deploy_to: str = ""
    intended_use: str = ""

    @classmethod
    def read(
        cls, *, model: str | Path, evaluation: str | Path, schema: str | Path, name: str, deploy_to: str, intended_use: str
    ) -> Self:
        """Read the outputs of earlier steps.

        Raises:
            InputError: If a file is missing or malformed.
        """
        folder = Path(model)
        metadata = ModelMetadata.read(folder)
        return cls(
            name=name,
            metadata=metadata,
            features=_document(folder / FEATURES / "features.json", "fitted features", ("inputs", "outputs")),
            evaluation=_document(Path(evaluation), "an evaluation", ("metrics", "gate")),
            schema=Schema.parse(_document(Path(schema), "a schema", ("columns",)), source=str(schema)),
            exported=(folder / SERVING / "model.onnx").is_file(),
            deploy_to=deploy_to,
            intended_use=intended_use.strip(),
        )


def _document(path: Path, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        document = read_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no file {path}, which should hold {what}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} does not hold {what}: {error}") from None
    if not isinstance(document, dict) or any(key not in document for key in keys):
        raise InputError(f"{path} does not hold {what}: it has no {' and '.join(keys)}")
    return document
