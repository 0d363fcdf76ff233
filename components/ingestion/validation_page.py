"""The validation report: verdict, target, missing values, and every column."""

from collections.abc import Sequence

from stagewright.components.ingestion.profile import Profile
from stagewright.components.ingestion.validation_plots import (
    association_plot,
    columns_plot,
    missing_plot,
    percent,
    pictures_plot,
    summary_row,
    target_plot,
)  # fmt: skip
from stagewright.components.runtime.report import Page, bullets, figures, paragraph, table
from stagewright.components.runtime.schema import ColumnKind, Schema

MAX_COLUMN_PLOTS = 24
WHOLE = "the schema file, validate_data's output `schema`,"
LOG = "the step's log"


def page(profile: Profile, schema: Schema, violations: list[str], warnings: list[str], notes: Sequence[str] = ()) -> Page:
    """The report, ready to be written."""
    report = Page(
        "Data validation", f"{profile.rows:,} rows, {len(profile.columns)} columns; target {schema.target} ({schema.task})"
    )
    _verdict(report, violations, warnings)
    if notes:
        report.section("How the files were read", bullets(list(notes), whole=LOG))
    _tiles(report, profile, schema)
    target = profile.columns[schema.target or ""]
    plots = [target_plot(profile, schema)] if target.present else []
    report.section("Target and what goes along with it", figures(*plots, *filter(None, [association_plot(profile, schema)])))
    missing = missing_plot(profile)
    if missing is not None:
        report.section("Missing values", figures(missing))
    report.section("Columns", _columns(profile, schema))
    if profile.pictures:
        drawn = [pictures_plot(name, pictures) for name, pictures in profile.pictures.items() if len(pictures)]
        report.section("Images", figures(*drawn))
    plain = [name for name, column in profile.columns.items() if name != schema.target and column.shape is None]
    named = [name for name in plain if profile.columns[name].present]
    if named:
        more = len(named) - MAX_COLUMN_PLOTS
        note = [paragraph(f"The first {MAX_COLUMN_PLOTS} of {len(named)} columns.", style="muted")] if more > 0 else []
        report.section("Distributions", *note, figures(columns_plot(profile, schema, named[:MAX_COLUMN_PLOTS])))
    return report


def _verdict(report: Page, violations: list[str], warnings: list[str]) -> None:
    count = len(violations)
    if violations:
        report.banner(f"Did not pass: {count} violation{'s' * (count != 1)}", bullets(violations, whole=LOG), good=False)
    else:
        report.banner("Passed", paragraph("Nothing in this table speaks against training on it."), good=True)
    if warnings:
        report.section("Warnings", bullets(warnings, whole=LOG))


def _tiles(report: Page, profile: Profile, schema: Schema) -> None:
    cells = profile.rows * len(profile.columns)
    missing = sum(column.nulls for column in profile.columns.values())
    report.tiles(
        [
            ("rows", f"{profile.rows:,}"),
            ("columns", len(profile.columns)),
            ("features", len(schema.features)),
            ("values missing", percent(missing / max(cells, 1))),
            ("duplicate rows", f"{profile.duplicates:,}"),
            ("identifiers", sum(column.kind is ColumnKind.IDENTIFIER for column in schema.columns)),
        ]
    )


def _columns(profile: Profile, schema: Schema) -> str:
    kinds = {column.name: column.kind.value for column in schema.columns}
    rows = []
    for name, column in profile.columns.items():
        shown = f"{name} (target)" if name == schema.target else name
        missing = percent(column.null_share) if column.nulls else ""
        kind = kinds.get(name, "not in the schema")
        rows.append([shown, kind, column.dtype, missing, f"{column.distinct:,}", *summary_row(column)])
    return table(["Column", "Kind", "Type", "Missing", "Distinct", "Smallest", "Largest", "Typical"], rows, whole=WHOLE)
