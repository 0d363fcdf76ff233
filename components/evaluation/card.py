"""The model card: what a person must know before using a model, from what is known about it and nothing else.

Source of the sections: Mitchell and others, Model Cards for Model Reporting (2019), in the order of a model's life.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stagewright.components.evaluation import card_sections as sections
from stagewright.components.evaluation.card_evaluation import evaluation
from stagewright.components.evaluation.markdown import escape, to_html
from stagewright.components.runtime import report
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import FEATURES, SERVING, ModelMetadata
from stagewright.components.runtime.schema import Schema

SECTIONS = {
    "Problem": sections.problem,
    "Data": sections.data,
    "Features": sections.features,
    "Architecture": sections.architecture,
    "Training": sections.training,
    "Evaluation": evaluation,
    "Deployment": sections.deployment,
    "Monitoring": sections.monitoring,
    "Maintenance": sections.maintenance,
    "Limitations and intended use": sections.limitations,
}


@dataclass(frozen=True, slots=True)
class Card:
    """Sections by heading, in Markdown."""

    title: str
    summary: str
    body: dict[str, str]

    def markdown(self) -> str:
        parts = [f"# {escape(self.title)}", self.summary, *(f"## {heading}\n\n{text}" for heading, text in self.body.items())]
        return "\n\n".join(parts) + "\n"

    def page(self) -> report.Page:
        made = report.Page(self.title)
        made.markup(to_html(self.summary))
        for heading, text in self.body.items():
            made.section(heading, to_html(text))
        return made


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a card is made of.

    Attributes:
        features: The document of the fitted features: inputs, outputs, specification, dropped columns.
        evaluation: The document of the evaluation.
        exported: Whether the model folder holds what is served.
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
        """Read what the earlier steps wrote.

        Raises:
            InputError: If a file is missing or is not what it should be.
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


def make_card(sources: Sources) -> Card:
    """The card of a model."""
    body = {heading: section(sources) for heading, section in SECTIONS.items()}
    return Card(f"Model card: {sources.name}", sections.summary(sources), body)


def write_card(card: str | Path, page: str | Path, **sources: Any) -> None:
    """Write the card as Markdown and as a page; see `Sources.read` for what it is made of."""
    made = make_card(Sources.read(**sources))
    Path(card).write_text(made.markdown(), encoding="utf-8")
    made.page().write(page)


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
