"""The two contracts that travel as JSON: a table's schema and a served model's signature."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task
from stagewright.components.runtime.signature import WIRE_DATATYPES, Input, Signature

names = st.text(min_size=1, max_size=20)
inputs = st.builds(
    Input,
    name=names,
    kind=st.sampled_from(sorted(WIRE_DATATYPES)),
    nullable=st.booleans(),
    categories=st.none() | st.lists(st.text(), max_size=4).map(tuple),
)
classes = st.lists(names, min_size=2, max_size=5, unique=True) | st.just([0, 1, 2]) | st.just([False, True])


@given(st.lists(inputs, min_size=1, max_size=5), classes)
def test_signature_survives_its_json(columns: list[Input], labels: list[str | int | bool]) -> None:
    signature = Signature("multiclass", tuple(columns), tuple(labels), target="y", framework="torch")

    again = Signature.from_dict(signature.to_dict())

    assert again == signature
    assert [type(label) for label in again.classes or ()] == [type(label) for label in labels]


@pytest.mark.parametrize(
    ("labels", "datatype"), [(("No", "Yes"), "BYTES"), ((0, 1), "INT64"), ((False, True), "BOOL")], ids=["text", "int", "bool"]
)
def test_label_travels_in_the_type_of_the_classes(labels: tuple[str | int | bool, ...], datatype: str) -> None:
    signature = Signature("binary", (Input("x", "numeric"),), labels)

    assert signature.outputs[0] == {"name": "label", "datatype": datatype, "shape": [-1]}
    assert signature.outputs[1]["shape"] == [-1, 2]


def test_folder_without_a_signature_is_no_exported_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is not an exported model"):
        Signature.read(tmp_path)

    (tmp_path / "signature.json").write_text('{"task": "binary", "inputs": [{"name": "x", "kind": "colour"}]}')
    with pytest.raises(InputError, match="input 'x' has unknown kind 'colour'"):
        Signature.read(tmp_path)


def test_schema_survives_its_file(tmp_path: Path) -> None:
    schema = Schema(
        target="y",
        task=Task.BINARY,
        columns=[
            Column(name="id", kind=ColumnKind.IDENTIFIER, unique=True),
            Column(name="x", kind=ColumnKind.NUMERIC, minimum=0, maximum=9.5, max_null_share=0.1),
            Column(name="y", kind=ColumnKind.CATEGORICAL, values=["a", "b"], nullable=False),
        ],
    )
    schema.write(tmp_path / "schema.json")

    assert Schema.read(tmp_path / "schema.json") == schema
    assert [column.name for column in schema.features] == ["x"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"columns": [{"name": "x", "kind": "numerc"}]}, "schema: columns.0.kind: "),
        (
            {"columns": [{"name": "x", "kind": "numeric", "minimun": 0}]},
            "schema: columns.0.minimun: Extra inputs are not permitted",
        ),
        ({"columns": [{"name": "x", "kind": "numeric"}] * 2}, "schema: .*column x stands more than once"),
        ({"target": "chrn", "columns": [{"name": "churn", "kind": "text"}]}, "'chrn' is not among the columns.*'churn'"),
    ],
)
def test_wrong_schema_names_its_field(document: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Schema.parse(document)


def test_unknown_column_names_the_nearest() -> None:
    schema = Schema(columns=[Column(name="tenure", kind=ColumnKind.NUMERIC)])

    with pytest.raises(InputError, match=r"no column 'tenur' in the schema \(did you mean 'tenure'\?\)"):
        schema.column("tenur")
