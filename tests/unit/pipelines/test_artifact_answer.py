"""An artifact is read from the API's JSON piece by piece."""

import base64
import gzip
import json

import pytest

from stagewright.pipelines.kubeflow.artifact_answer import decoded

LOG = b"one line\n" * 40_000


@pytest.mark.parametrize("size", [1, 10, 4096, 1 << 22])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_pieces_are_put_together(size: int, packed: bool, separators: tuple[str, str]) -> None:
    log = LOG[: 400 if size == 1 else len(LOG)]
    text = base64.b64encode(gzip.compress(log) if packed else log).decode()
    answer = json.dumps({"data": text}, separators=separators).encode()
    assert b"".join(decoded(answer[start : start + size] for start in range(0, len(answer), size))) == log


def test_what_unpacks_to_a_thousand_times_its_size_is_handed_on_in_pieces() -> None:
    answer = json.dumps({"data": base64.b64encode(gzip.compress(bytes(1 << 26))).decode()}, separators=(",", ":")).encode()
    sizes = [len(piece) for piece in decoded([answer])]
    assert (sum(sizes), max(sizes)) == (1 << 26, 1 << 20)


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"data":""}', b'{"other":"x"}', b'{"data":"AAA'])
def test_another_answer_is_empty(answer: bytes) -> None:
    assert b"".join(decoded([answer])) == b""
