"""What a run shows at its end."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from stagewright.pipelines.cli.view import DOCUMENT_LABELS, summary
from stagewright.pipelines.local.results import DOCUMENTS
from stagewright.pipelines.local.runner import Run
from stagewright.pipelines.watch import SUCCEEDED


def test_every_document_that_is_kept_is_shown(tmp_path: Path) -> None:
    outputs = {name: str(tmp_path / file_name) for name, (_, _, file_name) in DOCUMENTS.items()}
    console = Console(width=400, file=StringIO(), record=True)
    run = Run("any", "1", tmp_path, status=SUCCEEDED, seconds=1.0)

    summary(console, run, outputs | {"cost_per_million": 0.25}, None, "churn")

    shown = console.export_text()
    assert set(DOCUMENT_LABELS) == set(DOCUMENTS)
    assert all(place in shown for place in outputs.values())
    assert "0.25 per million" in shown
