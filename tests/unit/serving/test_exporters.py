"""Models for other servers: what is written is what those servers parse, and it answers as the model does."""

import json
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from google.protobuf import text_format
from support import trainings, triton_grpc
from support.trainings import Data

from stagewright.components.export.export_model import export_model
from stagewright.components.export.targets import tensorflow_serving, torchserve
from stagewright.components.export.targets.protobuf_text import text
from stagewright.components.export.targets.triton import Options, config, triton_version, write_repository, write_variant
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.schema import ColumnKind, Task
from stagewright.components.runtime.signature import Input, Signature

triton_schema, _ = triton_grpc.load()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Path:
    """A small model of every kind of column: numbers, booleans, times, categories, missing values among them."""
    folder = tmp_path_factory.mktemp("exporters")
    day = pl.datetime(2020, 1, 1) + pl.duration(hours=pl.int_range(pl.len()))
    rows = telco.head(1500).with_columns(
        pl.col("female").cast(pl.Boolean), joined=pl.when(pl.col("tenure") > 1).then(day), region=pl.int_range(pl.len()) % 4
    )
    data: Data = trainings.split(folder / "data", rows, "churn", Task.BINARY, kinds={"region": ColumnKind.CATEGORICAL})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        data.model(folder / "trained", "lightgbm", {"n_estimators": 20}, name="churn")
    export_model(folder / "trained", data.validation, folder / "model")
    return folder / "model"


def _config(path: Path) -> Any:
    return text_format.Parse(path.read_text(), triton_schema.ModelConfig())


def test_triton_repository_has_the_graph_and_a_configuration_that_triton_reads(model: Path, tmp_path: Path) -> None:
    place = write_repository(model, tmp_path / "repository", name="churn")

    assert place == tmp_path / "repository" / "churn"
    assert (place / "1" / "model.onnx").read_bytes() == (model / "serving" / "model.onnx").read_bytes()
    read = _config(place / "config.pbtxt")
    graph = onnxruntime.InferenceSession(place / "1" / "model.onnx")
    types = {"tensor(float)": "TYPE_FP32", "tensor(string)": "TYPE_STRING", "tensor(int64)": "TYPE_INT64"}
    names = triton_schema.DataType.Name
    assert (read.name, read.backend, read.max_batch_size) == ("churn", "onnxruntime", 256)
    assert {i.name: (names(i.data_type), list(i.dims)) for i in read.input} == {
        node.name: (types[node.type], [1]) for node in graph.get_inputs()
    }
    label, probabilities = read.output
    assert (label.name, names(label.data_type), list(label.dims)) == ("label", "TYPE_STRING", [1])
    assert label.HasField("reshape")
    assert list(label.reshape.shape) == []
    assert (probabilities.name, names(probabilities.data_type), list(probabilities.dims)) == ("probabilities", "TYPE_FP32", [2])
    assert read.HasField("dynamic_batching")
    assert read.dynamic_batching.max_queue_delay_microseconds == 500
    assert triton_schema.ModelInstanceGroup.Kind.Name(read.instance_group[0].kind) == "KIND_GPU"
    assert set(read.model_warmup[0].inputs) == {i.name for i in read.input}
    assert all(given.zero_data for given in read.model_warmup[0].inputs.values())


def test_triton_options_reach_the_configuration(model: Path, tmp_path: Path) -> None:
    options = Options(32, 100, 2, accelerator="tensorrt-fp16", warmup=False)

    read = _config(write_repository(model, tmp_path, name="churn", version=7, options=options) / "config.pbtxt")

    (accelerator,) = read.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP16"
    assert (read.max_batch_size, read.instance_group[0].count, len(read.model_warmup)) == (32, 2, 0)
    assert (tmp_path / "churn" / "7" / "model.onnx").is_file()


def test_triton_takes_images_tokens_and_numbers() -> None:
    columns = (
        Input("pixels", "image", shape=(1, 8, 8)), Input("spectrum", "tensor", shape=(16,)),
        Input("review", "text", tokenizer="tokenizer.json", max_tokens=64), Input("words", "text"),
    )  # fmt: skip
    signature = Signature("regression", columns)

    read = text_format.Parse(config(signature, name="deep", options=Options(gpu=False)), triton_schema.ModelConfig())

    names = triton_schema.DataType.Name
    assert {i.name: (names(i.data_type), list(i.dims)) for i in read.input} == {
        "pixels": ("TYPE_UINT8", [1, 8, 8]), "spectrum": ("TYPE_FP32", [16]), "review": ("TYPE_INT64", [-1]),
        "words": ("TYPE_STRING", [1]),
    }  # fmt: skip
    assert read.model_warmup[0].inputs["review"].dims == [8]
    assert (read.output[0].name, list(read.output[0].dims)) == ("prediction", [1])
    assert triton_schema.ModelInstanceGroup.Kind.Name(read.instance_group[0].kind) == "KIND_CPU"


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "line\nbreak", "größe", "数量", "tab\t", "a b"])
def test_any_column_name_survives(name: str) -> None:
    written = config(Signature("regression", (Input(name, "numeric"),)), name="m", options=Options())

    read = text_format.Parse(written, triton_schema.ModelConfig())

    assert read.input[0].name == name
    assert list(read.model_warmup[0].inputs) == [name]


def test_fields_without_a_value_are_left_out() -> None:
    assert text({"a": None, "b": [], "c": [{"d": 1}, {"d": 2}]}) == "b: []\nc {\n  d: 1\n}\nc {\n  d: 2\n}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(accelerator="cuda"), "parameter 'accelerator' is 'cuda'; expected one of none, tensorrt, tensorrt-fp16"),
        (Options(accelerator="tensorrt", gpu=False), "none on a CPU"),
        (Options(max_batch_size=0), "parameter 'max_batch_size'"),
        (Options(instances=0), "parameter 'instances'"),
    ],
)
def test_what_triton_cannot_do_is_refused(model: Path, tmp_path: Path, options: Options, message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        write_repository(model, tmp_path, name="churn", options=options)
    assert not (tmp_path / "churn").exists()


def test_a_threshold_of_its_own_cannot_travel(model: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(model, tmp_path / "model")
    path = tmp_path / "model/serving/signature.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": 0.3}))

    with pytest.raises(InputError, match=r"from a probability of 0\.3, and Triton runs the graph, which decides at 0\.5"):
        write_repository(tmp_path / "model", tmp_path, name="churn")


def test_a_model_without_a_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    with pytest.raises(InputError, match="other servers take a model's graph"):
        torchserve.write_archive(tmp_path, tmp_path, name="churn")


@pytest.mark.parametrize(("version", "number"), [("v1.0.0", 1_000_000), ("v12.34.567", 12_034_567)])
def test_versions_are_whole_numbers_in_triton(version: str, number: int) -> None:
    assert triton_version(version) == number


def test_versions_that_do_not_fit_are_refused() -> None:
    for version in ("v0.1.0", "v1.1000.0"):
        with pytest.raises(BadParameter, match="parameter 'version'"):
            triton_version(version)


def test_triton_variant_proves_itself_with_rows_as_the_graph_takes_them(model: Path, tmp_path: Path) -> None:
    write_variant(model, tmp_path / "variant", name="churn", version="v1.2.0")

    place = tmp_path / "variant/repository/churn/1002000/model.onnx"
    graph = onnxruntime.InferenceSession(place)
    baseline = pl.read_parquet(tmp_path / "variant/serving/baseline.parquet")
    feeds = {}
    for node in graph.get_inputs():
        column = baseline[node.name]
        assert column.dtype == {"tensor(float)": pl.Float32, "tensor(int64)": pl.Int64, "tensor(string)": pl.String}[node.type]
        assert column.null_count() == 0
        feeds[node.name] = column.to_numpy().reshape(-1, 1)
        if column.dtype == pl.Float32:
            assert not column.is_nan().any()
    label, probabilities = graph.run(["label", "probabilities"], feeds)
    assert label.reshape(-1).tolist() == baseline["__label__"].to_list()
    np.testing.assert_allclose(probabilities[:, 1], baseline["__probability_1__"], atol=1e-5)
    assert {p.name for p in (tmp_path / "variant/repository").iterdir()} == {"churn"}


def test_a_variant_of_another_configuration_has_another_digest(model: Path, tmp_path: Path) -> None:
    from stagewright.components.runtime.fingerprint import fingerprint

    write_variant(model, tmp_path / "one", name="churn", version="v1.0.0")
    write_variant(model, tmp_path / "same", name="churn", version="v1.0.0")
    write_variant(model, tmp_path / "other", name="churn", version="v1.0.0", options=Options(accelerator="tensorrt-fp16"))

    assert (
        fingerprint(tmp_path / "one").digest == fingerprint(tmp_path / "same").digest != fingerprint(tmp_path / "other").digest
    )
    assert pl.read_parquet(tmp_path / "other/serving/baseline.parquet")["__tolerance__"][0] == pytest.approx(0.02)


def _handler(folder: Path) -> Any:
    spec = spec_from_file_location("archived_handler", folder / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    manifest = json.loads((folder / "MAR-INF/MANIFEST.json").read_text())
    handler = module.Handler()
    handler.initialize(SimpleNamespace(system_properties={"model_dir": str(folder)}, manifest=manifest))
    return handler


def test_torchserve_archive_answers_as_the_model_does(model: Path, tmp_path: Path) -> None:
    path = torchserve.write_archive(model, tmp_path, name="churn")

    assert path == tmp_path / "churn.mar"
    zipfile.ZipFile(path).extractall(tmp_path / "extracted")
    handler = _handler(tmp_path / "extracted")
    baseline = pl.read_parquet(model / "serving/baseline.parquet", n_rows=40)
    names = Signature.read(model / "serving").names
    rows = json.loads(json.dumps(baseline.select(names).to_dicts(), default=lambda time: time.isoformat()))
    first, second = handler.handle(
        [{"body": {"instances": rows[:15]}}, {"body": json.dumps({"instances": rows[15:]}).encode()}], None
    )
    assert first["predictions"] + second["predictions"] == baseline["__label__"].to_list()
    np.testing.assert_allclose(
        np.array(first["probabilities"] + second["probabilities"])[:, 1], baseline["__probability_1__"], atol=1e-5
    )
    assert handler.handle([{"body": {"instances": []}}], None) == [{"predictions": [], "probabilities": []}]
    with pytest.raises(ValueError, match="instances"):
        handler.handle([{"body": b"[1]"}], None)


def test_torchserve_archive_is_the_same_each_time_and_holds_no_pickle(model: Path, tmp_path: Path) -> None:
    one, two = (torchserve.write_archive(model, tmp_path / f"{at}.mar", name="churn") for at in range(2))

    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert set(archive.namelist()) == {
            "MAR-INF/MANIFEST.json",
            "handler.py",
            "model.onnx",
            "signature.json",
            "requirements.txt",
        }
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        assert manifest["model"]["serializedFile"] == "model.onnx"
        assert b"pickle" not in archive.read("handler.py").replace(b"unpickles", b"")


def test_torchserve_handler_needs_nothing_of_ours() -> None:
    source = Path(torchserve.__file__).with_name("torchserve_handler.py").read_text()

    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.strip().startswith(("import ", "from "))}
    assert imported <= {"json", "os", "datetime", "typing", "numpy", "onnxruntime", "tokenizers", *sys.stdlib_module_names}


def test_tensorflow_serving_contract_describes_both_forms(model: Path, tmp_path: Path) -> None:
    tensorflow_serving.write_contract(model, tmp_path / "contract", name="churn")

    read = {path.name: json.loads(path.read_text()) for path in (tmp_path / "contract").glob("*.json")}
    rows, columns = read["request_rows.json"]["instances"], read["request_columns.json"]["inputs"]
    assert rows == [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert len(rows) == len(read["answer.json"]["predictions"]) == 5
    described = read["metadata.json"]["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert set(described["inputs"]) == set(columns)
    assert described["outputs"]["label"]["dtype"] == "DT_STRING"
    assert "/v1/models/churn:predict" in (tmp_path / "contract/README.md").read_text()
