"""A pipeline small enough to reason about: two components, an artifact, a condition."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="base", cacheable=True)
def make_table(table: dsl.Output[dsl.Dataset], rows: int = 3, note: str = "") -> None:
    """Write a table.

    Args:
        table: The table.
        rows: How many rows.
        note: Anything.
    """
    from pathlib import Path

    Path(table.path).write_text("row\n" * rows + note)


@component(group="tabular", cacheable=False)
def count_rows(table: dsl.Input[dsl.Dataset], factor: float, label: str = "plain") -> int:
    """Count a table's rows.

    Args:
        table: What to count.
        factor: Multiplied with the count.
        label: How to name the count. One of plain, loud.

    Returns:
        The count.
    """
    from pathlib import Path

    return int(len(Path(table.path).read_text().splitlines()) * factor)


@dsl.pipeline(name="small-one", display_name="A small one")
def small_one(factor: float, rows: int = 3, label: str = "plain", deploy_to: str = "local", extra: dict = {}) -> int:  # noqa: B006
    """Make a table and count it.

    It is counted again where it is wanted.

    Args:
        factor: Multiplied with the count.
        rows: How many rows.
        label: How to name the count. One of plain, loud.
        deploy_to: Where to count again. One of local, cluster, none.
        extra: Not used.

    Returns:
        The count.
    """
    made = make_table(rows=rows)
    counted = count_rows(table=made.outputs["table"], factor=factor, label=label)
    with dsl.If(deploy_to != "none", name="again"):
        count_rows(table=made.outputs["table"], factor=2.0)
    return counted.outputs["Output"]
