"""The server's description of itself: a valid OpenAPI document whose examples all work, and a page that needs nothing else."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import onnx
import pytest
import urllib3
from support import onnx_models
from support.asgi_client import AsgiClient
from support.targets import process

from stagewright.components.predictor import model_source
from stagewright.components.predictor.http import openapi, openapi_schemas
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.runtime.signature import Input, Signature


@pytest.fixture(scope="module")
def three(models: dict[str, Path]) -> AsgiClient:
    """A server with three models; one has a name that no component may have, and a fourth is not loaded."""
    application = Application("churn", "wine", "diabetes progression", "absent")
    for folder, name in (("mixed", "churn"), ("wine", "wine"), ("diabetes", "diabetes progression")):
        application.models.serve(OnnxModel.load(model_source.read(str(models[folder])), name, version="v1.2.3"))
    return AsgiClient(application)


@pytest.fixture(scope="module")
def document(three: AsgiClient) -> dict[str, Any]:
    answer = three.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return answer.json


def examples(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Path and body of every example."""
    return [
        (path, one["value"])
        for path, operations in document["paths"].items()
        for content in operations.get("post", {}).get("requestBody", {}).get("content", {}).values()
        for one in content.get("examples", {}).values()
    ]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")

    validator.validate(document, cls=validator.OpenAPIV31SpecValidator)


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]

    assert len(names) == len(set(names))


def test_every_example_works(three: AsgiClient, document: dict[str, Any]) -> None:
    found = examples(document)

    assert len(found) == 7  # both protocols of three models, and the repository's index
    for path, body in found:
        answer = three.post(path.replace("%20", " "), body)
        assert answer.status == 200, (path, answer.body)


def test_examples_and_answers_are_what_the_schemas_say(three: AsgiClient, document: dict[str, Any]) -> None:
    for path, body in examples(document):
        if not path.endswith(("predict", "infer")):
            continue
        operation = document["paths"][path]["post"]
        asked = operation["requestBody"]["content"]["application/json"]["schema"]
        told = operation["responses"]["200"]["content"]["application/json"]["schema"]
        for schema, instance in ((asked, body), (told, three.post(path.replace("%20", " "), body).json)):
            jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(instance)


def test_every_read_works(three: AsgiClient, document: dict[str, Any]) -> None:
    paths = [path for path, methods in document["paths"].items() if "get" in methods and path != "/v2/health/ready"]

    assert len(paths) > 15
    assert {three.get(path.replace("%20", " ")).status for path in paths} == {200}


def test_the_document_has_the_models_own_columns(document: dict[str, Any]) -> None:
    row = document["components"]["schemas"]["churn.Row"]

    assert list(row["properties"]) == ["tenure", "charges", "contract", "senior", "since", "note"]
    assert row["required"] == ["charges", "note"]
    assert row["properties"]["contract"]["examples"] == ["Month-to-month", "One year", "1"]
    assert row["properties"]["since"] == {
        "type": ["string", "null"], "format": "date-time", "description": "ISO 8601; UTC if it has no time zone.",
    }  # fmt: skip
    assert "diabetes_progression.Row" in document["components"]["schemas"]
    assert not [path for path in document["paths"] if "absent" in path]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"charges": "a"}, "'a' is not of type"), ({"typo": 1}, "'typo' was unexpected"), ({"charges": None}, "None is not of")],
)
def test_the_schema_refuses_what_the_server_refuses(
    three: AsgiClient, document: dict[str, Any], wrong: Any, sentence: str
) -> None:
    row = dict(examples(document))["/v1/models/churn:predict"]["instances"][0] | wrong

    with pytest.raises(jsonschema.ValidationError, match=sentence):
        jsonschema.validate(row, document["components"]["schemas"]["churn.Row"])
    assert three.post("/v1/models/churn:predict", {"instances": [row]}).status == 400


def test_images_and_tensors_have_schemas_and_examples_unless_they_are_large() -> None:
    signature = Signature("multiclass", (Input("image", "image", False, shape=(1, 2, 3)), Input("x", "tensor", shape=(4,))))

    row = openapi_schemas.example_row(signature)
    tensors = openapi_schemas.example_tensors(signature)

    assert row == {"image": [[[0, 0, 0], [0, 0, 0]]], "x": [0, 0, 0, 0]}
    jsonschema.validate(row, openapi_schemas.row(signature))
    jsonschema.validate(row | {"image": [0] * 6}, openapi_schemas.row(signature))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(row | {"image": [0] * 5}, openapi_schemas.row(signature))
    assert [(one["datatype"], one["shape"], len(one["data"])) for one in tensors or []] == [
        ("UINT8", [1, 1, 2, 3], 6), ("FP32", [1, 4], 4),
    ]  # fmt: skip
    large = Signature("multiclass", (Input("image", "image", False, shape=(3, 224, 224)),))
    assert openapi_schemas.example_row(large) is None
    assert openapi_schemas.example_tensors(large) is None


def write_tensors(folder: Path) -> Path:
    """A regressor of an image and a tensor: the sum of everything."""
    helper, proto = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=proto.FLOAT),
        helper.make_node("ReduceSum", ["pixels", "axes"], ["a"], keepdims=0),
        helper.make_node("ReduceSum", ["x", "axis"], ["b"], keepdims=0),
        helper.make_node("Add", ["a", "b"], ["prediction"]),
    ]
    inputs = [
        helper.make_tensor_value_info("image", proto.UINT8, [None, 1, 2, 3]),
        helper.make_tensor_value_info("x", proto.FLOAT, [None, 4]),
    ]
    fixed = [helper.make_tensor("axes", proto.INT64, [3], [1, 2, 3]), helper.make_tensor("axis", proto.INT64, [1], [1])]
    outputs = [helper.make_tensor_value_info("prediction", proto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "sum", inputs, outputs, fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    columns = (Input("image", "image", False, shape=(1, 2, 3)), Input("x", "tensor", False, shape=(4,)))
    Signature("regression", columns).write(folder)
    return folder


def test_examples_of_images_and_tensors_work(tmp_path: Path) -> None:
    application = Application("sum")
    application.models.serve(OnnxModel.load(model_source.read(str(write_tensors(tmp_path / "sum"))), "sum"))
    client = AsgiClient(application)

    document = client.get("/openapi.json").json

    answers = {path: client.post(path, body) for path, body in examples(document) if path.endswith(("predict", "infer"))}
    assert [answer.status for answer in answers.values()] == [200, 200]
    assert answers["/v1/models/sum:predict"].json["predictions"] == [0.0]
    config = client.get("/v2/models/sum/config").json
    assert [(one["data_type"], one["dims"]) for one in config["input"]] == [("TYPE_UINT8", [1, 2, 3]), ("TYPE_FP32", [4])]


def test_the_page_needs_nothing_from_elsewhere(three: AsgiClient) -> None:
    answer = three.get("/docs")

    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = answer.body.decode()
    assert not re.findall(r"https?://|@import|src=|innerHTML|eval\(", page)


def test_the_page_is_part_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())

    assert "*.html" in project["tool"]["setuptools"]["package-data"]["*"]
    assert (Path(openapi.__file__).parent / openapi.PAGE).is_file()


@pytest.mark.slow
def test_the_page_in_a_browser(models: dict[str, Path]) -> None:
    """Every operation is shown, and sends what it shows: each button is pressed but the one that takes the model away."""
    websocket = pytest.importorskip("websocket")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser here")
    with process(models["mixed"], "churn") as target, opened(browser, websocket, f"{target.url}/docs") as evaluate:
        document = urllib3.request("GET", f"{target.url}/openapi.json").json()
        shown = wait(lambda: evaluate("document.querySelectorAll('details.operation').length"))
        pressed = evaluate(PRESS)
        answers = wait(lambda: evaluate("window.answers.length === window.pressed && window.answers"))

    assert shown == sum(map(len, document["paths"].values()))
    assert pressed == shown - 1
    assert {status.split()[0] for _, status in answers} == {"200"}, answers
    assert '"predictions"' in dict(answers)["/v1/models/churn:predict"]
    assert "# HELP" in dict(answers)["/metrics"]


PRESS = """
window.answers = [];
const operations = [...document.querySelectorAll("details.operation")]
  .filter(one => !one.querySelector(".path").textContent.endsWith("/unload"));
for (const one of operations) {
  const path = one.querySelector(".path").textContent, answer = one.querySelector("pre");
  new MutationObserver(() => {
    if (!answer.hidden) window.answers.push([path, one.querySelector(".status").textContent + " " + answer.textContent]);
  }).observe(answer, { attributes: true, attributeFilter: ["hidden"] });
  one.querySelector("button").click();
}
window.pressed = operations.length
"""


@contextmanager
def opened(browser: str, websocket: Any, url: str) -> Iterator[Callable[[str], Any]]:
    """A page in a headless browser, as a function that evaluates JavaScript in it."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--remote-allow-origins=*"]
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command += [f"--user-data-dir={profile}", url]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            assert running.stderr is not None
            port = next(match[1] for line in running.stderr if (match := re.search(r"listening on ws://[^/]*:(\d+)/", line)))
            pages = wait(
                lambda: [one for one in urllib3.request("GET", f"http://127.0.0.1:{port}/json").json() if one["url"] == url]
            )
            connection = websocket.create_connection(pages[0]["webSocketDebuggerUrl"], timeout=30)

            def evaluate(expression: str) -> Any:
                given = {"expression": expression, "returnByValue": True}
                connection.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": given}))
                return json.loads(connection.recv())["result"]["result"].get("value")

            yield evaluate
            connection.close()
        finally:
            running.terminate()
            running.wait(20)
            assert running.stderr is not None
            running.stderr.close()


def wait(ask: Callable[[], Any]) -> Any:
    """The first answer that is something."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("no answer within 30 seconds")


def test_a_name_that_would_be_markup_stays_text(tmp_path: Path) -> None:
    """Names come from whoever trained the model; the document carries them as they are, the page shows them as text."""
    signature = onnx_models.MIXED
    folder = onnx_models.write_mixed(tmp_path / "mixed", signature)
    application = Application("<b>churn")
    application.models.serve(OnnxModel.load(model_source.read(str(folder)), "<b>churn"))

    document = AsgiClient(application).get("/openapi.json").json

    assert "/v1/models/%3Cb%3Echurn:predict" in document["paths"]
    assert "_b_churn.Row" in document["components"]["schemas"]
