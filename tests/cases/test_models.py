"""Cases about models and the predictor, each with what is right."""

import json

from support.cases import Cases


def test_company(cases: Cases) -> None:
    lines = cases.run("answers-depend-on-company").splitlines()
    forest = [line.split(None, 3)[-1] for line in lines if line.startswith("rf50")]
    boosted = [line.rpartition(" [")[2] for line in lines if line.startswith("wine-xgboost")]

    assert (len(forest), len({line[-40:] for line in forest})) == (2, 1)
    assert (len(boosted), len(set(boosted))) == (3, 1)


def test_endless_load(cases: Cases) -> None:
    index, load = cases.run("endless-load").splitlines()

    assert {entry["name"]: entry["state"] for entry in json.loads(index)} == {"aaa-loop": "UNAVAILABLE", "diab": "READY"}
    assert load == "load diab: 200"


def test_lightgbm_tiny(cases: Cases) -> None:
    words = cases.run("lightgbm-tiny").split("LightGBM [")[1].replace("[", " ").replace("]", " ").split()
    left, right = [word for word in words if word != "graph"][:2], [word for word in words if word != "graph"][2:]

    assert [round(float(one), 5) for one in left] == [round(float(one), 5) for one in right]


def test_nan_is_an_error(cases: Cases) -> None:
    lines = cases.run("nan-is-a-200").splitlines()

    assert [line.split()[-1] for line in lines] == ["400", "400"]
    assert all("row 0: the prediction is not a finite number" in line for line in lines)


def test_number_beyond_float32(cases: Cases) -> None:
    assert '["succeeded",null]' in cases.run("number-beyond-float32")


def test_onnx_inputs(cases: Cases) -> None:
    lines = cases.run("onnx-int64-and-double-input").splitlines()

    assert lines[:2] == ['["succeeded",null]'] * 2
    assert json.loads(lines[2])["predictions"] == [0, 1, 0]
    assert "40.7 is not a whole number" in lines[4]
    assert "no value, and the model needs one" in lines[5]
    assert [round(one, 3) for one in json.loads(lines[6])["outputs"][0]["data"]] == [0.5, -1.25]


def test_payload_log_names(cases: Cases) -> None:
    *_, columns, values = cases.run("payload-log-names").splitlines()

    assert "'input_time'" in columns
    assert "'input_input_time'" in columns
    assert values == "[2.5]"


def test_worker_dies_while_others_load(cases: Cases) -> None:
    assert cases.run("worker-dies-while-others-load").splitlines()[-1] == "server lives"


def test_yaml_bomb(cases: Cases) -> None:
    lines = cases.run("yaml-bomb").splitlines()
    said = next(line for line in lines if line.startswith("InputError"))

    assert int(said.split()[1]) < 500


def test_skops_reads_files(cases: Cases) -> None:
    output = cases.run("skops-reads-files")

    assert "holds a CountVectorizer that reads files" in output
    assert "predictions" not in output
