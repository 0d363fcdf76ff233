"""Great Expectations suites: checks a table against the JSON of a suite and returns failures as clauses like those of our own
checks.
"""

import logging
import os
from pathlib import Path
from typing import Any

from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.errors import InputError

SHOWN = 3


def failures(path: str | Path, suite: dict[str, Any]) -> list[str]:
    """Check a table against a suite. The table is loaded into memory as a pandas frame, as the library requires.

    Args:
        suite: With `expectations`, each a `type` (or, in older suites, `expectation_type`) and `kwargs`.

    Raises:
        InputError: If the library is not installed, or the suite or one of its expectations is malformed.
    """
    gx = _library()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    expectations = _suite(gx, suite)
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": tables.read_table(path).to_pandas()})
    result = batch.validate(expectations)
    logs.event("suite_checked", expectations=len(result.results), success=result.success)
    return [_clause(outcome) for outcome in result.results if not outcome.success]


def _library() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        import great_expectations
    except ImportError:
        raise InputError(
            "parameter 'suite' needs the package great-expectations, which is not installed; "
            "install stagewright[gx], or leave it out"
        ) from None
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return great_expectations


def check_suite(document: dict[str, Any]) -> None:
    """Check that a document has the form of a suite.

    Raises:
        InputError: If it has no list of expectations.
    """
    given = document.get("expectations")
    if not isinstance(given, list) or not all(isinstance(expectation, dict) for expectation in given):
        raise InputError("parameter 'suite' has no list of expectations; expected the JSON of a Great Expectations suite")


def _suite(gx: Any, document: dict[str, Any]) -> Any:
    check_suite(document)
    given = document["expectations"]
    expectations = [
        {"type": each.get("type", each.get("expectation_type")), "kwargs": each.get("kwargs", {})} for each in given
    ]  # fmt: skip
    suite = gx.ExpectationSuite(name=str(document.get("name", document.get("expectation_suite_name", "suite"))))
    for expectation in expectations:
        try:
            suite.add_expectation_configuration(
                gx.expectations.expectation_configuration.ExpectationConfiguration(**expectation)
            )
        except Exception as error:  # noqa: BLE001  the library raises its own, pydantic's and plain errors here
            reason = str(error).strip().splitlines()[-1].strip()
            raise InputError(f"parameter 'suite': expectation {expectation['type']} cannot be used: {reason}") from None
    return suite


def _clause(outcome: Any) -> str:
    config = outcome.expectation_config
    arguments = {name: value for name, value in config.kwargs.items() if name not in {"batch_id", "column"}}
    column = f"column '{config.kwargs['column']}': " if "column" in config.kwargs else ""
    told = ", ".join(f"{name}={value}" for name, value in arguments.items())
    clause = f"{column}{config.type}({told}) failed"
    found = outcome.result
    if found.get("unexpected_count"):
        examples = ", ".join(map(repr, found.get("partial_unexpected_list", [])[:SHOWN]))
        clause += f" for {found['unexpected_count']} values ({examples})"
    elif "observed_value" in found:
        clause += f", observed {found['observed_value']}"
    return clause
