"""The sentence of a failed step is found in its log, whatever stands around it."""

import json

import pytest

from stagewright.pipelines.kubeflow.step_logs import LONGEST_LINE, MOST_NOTICES, Said, said_in, sentence_in

SENTENCE = 'the data has no column "churn" {did you mean "churned"?}'
ENTRY = json.dumps({"time": "12:01", "level": "error", "event": "step_failed", "error": SENTENCE, "exit_code": 2})
LAUNCHER = "I0301 launcher_v2.go:705] uploading executor-logs\nF0301 main.go:62] exit status 2 {not json}\n"


@pytest.mark.parametrize(
    "line",
    [
        ENTRY,
        "  " + ENTRY,
        "2026-03-01T12:00:00.000000001Z stderr F " + ENTRY,
        "[KFP Executor 2026-03-01 12:00:00,1 ERROR]: " + ENTRY + " trailing",
        json.dumps({"log": ENTRY + "\n", "stream": "stderr", "time": "2026-03-01T12:00:00Z"}),
        json.dumps({"log": json.dumps({"message": ENTRY})}),
        "{broken " + ENTRY,
        json.dumps({"time": 1, "event": "progress"}) + ENTRY,
        ENTRY + "\r",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_lines_before_after_and_around_do_not_hide_it(line: str, size: int) -> None:
    log = f"step_failed is no object\n{line}\n{LAUNCHER}".encode()
    assert sentence_in([log[start : start + size] for start in range(0, len(log), size)]) == SENTENCE


def test_the_last_sentence_counts() -> None:
    first = ENTRY.replace("churn", "first")
    assert sentence_in([f"{first}\n{LAUNCHER}{ENTRY}\n".encode()]) == SENTENCE


def test_a_sentence_is_one_line() -> None:
    assert sentence_in([json.dumps({"event": "step_failed", "error": "two\n lines"}).encode()]) == "two lines"


def test_bytes_that_are_no_text_do_not_hide_it() -> None:
    assert sentence_in([b"\xff\xfe\n\xe4 " + ENTRY.encode() + b"\n\x80\n"]) == SENTENCE


def test_a_line_of_a_gigabyte_is_not_kept() -> None:
    piece = b"x" * LONGEST_LINE
    assert sentence_in([*([piece] * 64), b"\n", ENTRY.encode()]) == SENTENCE


@pytest.mark.parametrize(
    "log",
    ["", LAUNCHER, '{"event": "step_failed"', '{"event": "step_failed", "error": ""}', '{"event": "progress"}', "{" * 9999],
)
def test_a_log_without_a_sentence_has_none(log: str) -> None:
    assert sentence_in([log.encode()]) is None


def test_without_a_sentence_the_exception_tells() -> None:
    frames = 'Traceback (most recent call last):\n  File "executor.py", line 1\n    raise\n'
    raised = f"{frames}TypeError: Cannot instantiate typing.Union\n"
    assert sentence_in([raised.encode(), LAUNCHER.encode()]) == "TypeError: Cannot instantiate typing.Union"
    assert sentence_in([f"{raised}{ENTRY}".encode()]) == SENTENCE


def notice(sentence: str) -> str:
    return json.dumps({"time": "12:00", "level": "warning", "event": "notice", "message": sentence})


def test_notices_are_found_whatever_stands_around_them() -> None:
    wrapped = json.dumps({"log": notice("second") + "\n", "stream": "stderr"})
    log = f"no notice\n2026-03-01T12:00:00Z stderr F {notice('first {here}')}\n{wrapped}\n{LAUNCHER}{ENTRY}\n"
    assert said_in([log.encode()]) == Said(SENTENCE, ("first {here}", "second"))


def test_a_log_without_anything_is_told_from_none() -> None:
    assert said_in([LAUNCHER.encode()]) == Said()
    assert said_in([]) == said_in([b""]) == Said(empty=True)


def test_notices_are_bounded() -> None:
    found = said_in(f"{notice('x' * 9000 if number == 0 else str(number))}\n".encode() for number in range(MOST_NOTICES + 1))
    assert len(found.notices) == MOST_NOTICES
    assert len(found.notices[0]) == 4000
    assert found.notices[1:] == tuple(str(number) for number in range(1, MOST_NOTICES))


@pytest.mark.parametrize("line", ['{"event": "notice"}', '{"event": "notice", "message": ""}', '{"message": "a notice"}'])
def test_what_is_no_notice_is_none(line: str) -> None:
    assert said_in([line.encode()]).notices == ()
