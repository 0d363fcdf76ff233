"""Settings, addresses, homes and parameters at their edges."""

import json

from support.cases import Cases


def outcomes(printed: str) -> list[list[object]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("[")]


def test_blanks_around_credentials_do_no_harm_and_passwords_are_not_shown(cases: Cases) -> None:
    *runs, last = cases.run("s3-credentials-newline").splitlines()

    assert len(runs) == 3
    assert all('"step": "ingest-data"' in line or '"name": "ingest-data", "status": "failed"' in line for line in runs)
    assert all("ValueError" not in line and "Credential" not in line for line in runs)
    assert last.startswith(
        "error: the environment variable AWS_ENDPOINT_URL cannot be used: it holds a user name; give the key"
    )
    assert "u:p" not in last


def test_objects_are_found_by_their_names(cases: Cases) -> None:
    sentence = "addresses of scheme s3a:// are not read; write s3://failing/x.csv"

    assert outcomes(cases.run("s3-names")) == [
        ["succeeded", None], ["succeeded", None], ["succeeded", None],
        ["failed", {"step": "ingest-data", "message": sentence}],
    ]  # fmt: skip


def test_temporary_credentials_send_their_token(cases: Cases) -> None:
    asked = [line.split() for line in cases.run("s3-session-token").splitlines() if "token:" in line]

    assert ["GET", "/data/x.csv"] in [line[1:3] for line in asked]
    assert {line[-1] for line in asked} == {"SESSION"}


def test_negative_seed_is_refused_before_the_run(cases: Cases) -> None:
    assert cases.run("seed-negative").splitlines() == ["rc=2"]


def test_null_arrives_and_what_is_no_number_is_refused(cases: Cases) -> None:
    assert cases.run("null-in-json-parameter").splitlines() == [
        '["succeeded",null]',
        '["succeeded",null]',
        "error: parameter 'params.n_estimators' is None; expected a whole number of at least 1 and at most 100000",
        "error: parameter 'params.learning_rate' is nan; expected a finite number",
    ]


def test_home_that_cannot_be_used_is_one_line(cases: Cases) -> None:
    lines = cases.run("home-oserror-traceback").splitlines()

    assert [line.partition(": ")[2].split(", last: error: ")[0] for line in lines] == ["1 lines"] * 3
    assert "cannot be used: file exists" in lines[0]
    assert "services/credentials.json is damaged" in lines[1]
    assert "/proc/nowhere cannot be used" in lines[2]


def test_home_is_closed_to_others(cases: Cases) -> None:
    lines = cases.run("home-readable-by-others").splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("w v1.0.0: done in")
