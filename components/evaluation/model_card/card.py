"""The model card: facts for users of a model, from the results of the run only.

Source of the sections: Mitchell and others, Model Cards for Model Reporting (2019), ordered by the life cycle of a model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.components.evaluation.model_card import sections
from stagewright.components.evaluation.model_card.evaluation_part import evaluation
from stagewright.components.evaluation.model_card.markdown import escape, to_html
from stagewright.components.evaluation.model_card.sources import Sources
from stagewright.components.runtime import report

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


def make_card(sources: Sources) -> Card:
    """The card of a model."""
    body = {heading: section(sources) for heading, section in SECTIONS.items()}
    return Card(f"Model card: {sources.name}", sections.summary(sources), body)


def write_card(card: str | Path, page: str | Path, **sources: Any) -> None:
    """Write the card as Markdown and as HTML; see `Sources.read` for its inputs."""
    made = make_card(Sources.read(**sources))
    Path(card).write_text(made.markdown(), encoding="utf-8")
    made.page().write(page)
