"""What a caller reads of the server's own errors."""

import pytest

from stagewright.components.predictor.wire.redaction import redacted

HIDDEN = "[see the server's log]"


@pytest.mark.parametrize(
    ("sentence", "places", "told"),
    [
        ("the model at /srv/my models/churn/v1 cannot be loaded: InvalidGraph", ["/srv/my models/churn/v1"],
         f"the model at {HIDDEN} cannot be loaded: InvalidGraph"),
        ("repo/churn/v1/serving/model.onnx is damaged", ["repo/churn/v1", "repo"], f"{HIDDEN} is damaged"),
        ("the model repository repo cannot be read", ["repo"], "the model repository repo cannot be read"),
        ("s3://models/churn/v1.0.0 holds no manifest.json", [], f"{HIDDEN} holds no manifest.json"),
        ("churn.json in the model repository points to 's3://other/x y'; expected s3://BUCKET/NAME", [],
         f"churn.json in the model repository points to {HIDDEN}; expected {HIDDEN}"),
        ("the object store at http://minio.kubeflow:9000 does not answer", [], f"the object store at {HIDDEN} does not answer"),
        ("connection to minio.kubeflow.svc:9000 refused", [], f"connection to {HIDDEN} refused"),
        ("no route to 10.96.0.12:443", [], f"no route to {HIDDEN}"),
        ('"/etc/passwd" is no model', [], f"{HIDDEN} is no model"),
        ("open(~/.aws/credentials) failed", [], f"open({HIDDEN}) failed"),
        ("column 'a/b', row 3: 1/2 is not a number", [], "column 'a/b', row 3: 1/2 is not a number"),
        ("the model answers float32 [3, 2]; served is one number a row", [],
         "the model answers float32 [3, 2]; served is one number a row"),
    ],
)  # fmt: skip
def test_paths_and_addresses_are_hidden(sentence: str, places: list[str], told: str) -> None:
    assert redacted(sentence, *places) == told
