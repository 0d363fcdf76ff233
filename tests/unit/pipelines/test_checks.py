"""What is refused before a run begins, here and on a cluster."""

from pathlib import Path

import pytest

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.seeds import checked_seed
from stagewright.pipelines.checks import check

GIVEN = {"data": "s3://data/churn.csv", "target": "churn", "name": "churn"}


def test_good_arguments_pass_here_and_on_a_cluster(tmp_path: Path) -> None:
    check("train-model", {**GIVEN, "deploy_to": "gitops", "gitops": str(tmp_path)})
    check("train-model", {**GIVEN, "deploy_to": "cluster", "split": "time", "time_column": "day"}, remote=True)
    check("train-model", {**GIVEN, "fractions": [0.7, 0.2, 0.1 - 5e-7]})
    check("distill", {**GIVEN, "teacher": "models:/churn@champion", "fractions": [0.98, 0.01, 0.01]})


@pytest.mark.parametrize(
    ("change", "remote", "sentence"),
    [
        ({"name": "Churn!"}, False, "parameter 'name' is 'Churn!'; expected lower-case letters"),
        ({"split": "time"}, False, "split=time needs --time-column: the column to split by"),
        ({"split": "group"}, True, "split=group needs --group-column: the column to split by"),
        ({"deploy_to": "gitops", "gitops": "absent"}, False, "parameter 'gitops' is 'absent'; expected an existing folder"),
        ({"deploy_to": "local"}, True, "parameter 'deploy_to' is 'local'; expected cluster, gitops or none"),
        ({"deploy_to": "gitops"}, True, "parameter 'gitops' is ''; expected a folder that the steps can read"),
        ({"data": "churn.csv"}, True, "parameter 'data' is churn.csv, a local path; .* s3://data/churn.csv"),
        ({"tolerance": 1.0}, False, "parameter 'tolerance' is 1.0; expected a number of at least 0 and below 1$"),
        ({"tolerance": -1e-9}, True, "parameter 'tolerance' is -1e-09; expected a number of at least 0 and below 1$"),
        ({"threshold": 1.0}, False, "parameter 'threshold' is 1.0; expected a number above 0 and below 1$"),
        ({"threshold": 0.0}, True, "parameter 'threshold' is 0.0; expected a number above 0 and below 1$"),
        (
            {"fractions": [0.7, 0.3]},
            False,
            r"parameter 'fractions' is \[0\.7, 0\.3\]; expected three positive numbers",
        ),
        ({"fractions": [0.8, 0.2, 0.0]}, True, "parameter 'fractions' is .* expected three positive numbers"),
        ({"fractions": [0.7, 0.2, 0.1 - 2e-6]}, False, "parameter 'fractions' is .* expected three positive numbers"),
        ({"fractions": ["0.7", 0.2, 0.1]}, False, "parameter 'fractions' is .* expected three positive numbers"),
        ({"seed": "one"}, False, "parameter 'seed' is 'one'; expected a value of type int"),
        ({"sed": 1}, False, r"pipeline 'train-model' has no parameter 'sed' \(did you mean 'seed'\?\)"),
    ],
)
def test_wrong_argument_is_one_sentence(change: dict[str, object], remote: bool, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        check("train-model", {**GIVEN, **change}, remote=remote)


def test_required_parameters_are_named() -> None:
    with pytest.raises(InputError, match="pipeline 'train-model' needs --target and --name"):
        check("train-model", {"data": "x.csv"})


def test_points_of_quality_are_no_tolerance_of_the_export() -> None:
    check("quantize", {"model": "models:/churn@champion", "name": "churn", "data": "s3://data/churn.csv", "tolerance": 2.0})
    given = {**GIVEN, "teacher": "models:/churn@champion", "tolerance": 2.0}
    check("distill", given)
    with pytest.raises(InputError, match=r"^parameter 'export_tolerance' is 2\.0; expected a number of"):
        check("distill", {**given, "export_tolerance": 2.0})


def test_every_pipeline_that_splits_has_its_fractions_checked() -> None:
    given = {**GIVEN, "fractions": [1, 1, 1]}
    for more in ({}, {"teacher": "models:/churn@champion"}):
        with pytest.raises(InputError, match=r"^parameter 'fractions' is \[1, 1, 1\]; expected"):
            check("distill" if more else "train-model", {**given, **more})


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_is_refused_with_the_step_s_own_sentence(seed: int) -> None:
    with pytest.raises(InputError) as before:
        check("train-model", {**GIVEN, "seed": seed})
    with pytest.raises(InputError) as inside:
        checked_seed(seed)
    assert str(before.value) == str(inside.value)
