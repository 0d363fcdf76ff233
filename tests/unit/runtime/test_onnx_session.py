"""Sessions of ONNX Runtime: what each option does."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stagewright.components.runtime.onnx_session import CPU, open_session


@pytest.fixture(scope="module")
def graph() -> bytes:
    """Adds 1 and then 2: constants that an optimizer could not fold, with an Identity that it removes."""
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("x", "y"))
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in (("one", 1.0), ("two", 2.0))]
    nodes = [
        helper.make_node("Add", ["x", "one"], ["a"], "first"),
        helper.make_node("Identity", ["a"], ["b"], "same"),
        helper.make_node("Add", ["b", "two"], ["y"], "second"),
    ]
    made_graph = helper.make_graph(nodes, "adds", [given], [made], constants)
    opsets = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(made_graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads_are_those_asked_for_and_never_spin(graph: bytes, threads: int) -> None:
    session = open_session(graph, threads=threads)

    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level) == (threads, 1, 4)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session.get_providers() == [CPU]
    assert session.run(None, {"x": np.zeros(2, np.float32)})[0].tolist() == [3, 3]


@pytest.mark.parametrize(("level", "operators"), [("disabled", ["Add", "Identity", "Add"]), ("basic", ["Add", "Add"])])
def test_the_optimized_graph_is_that_of_its_level(graph: bytes, tmp_path: Path, level: str, operators: list[str]) -> None:
    (tmp_path / "given.onnx").write_bytes(graph)

    open_session(tmp_path / "given.onnx", optimization=level, optimized=tmp_path / "made.onnx")

    assert [node.op_type for node in onnx.load(str(tmp_path / "made.onnx")).graph.node] == operators


def test_a_profile_names_the_operations(graph: bytes, tmp_path: Path) -> None:
    session = open_session(graph, optimization="basic", profile=str(tmp_path / "run"))
    session.run(None, {"x": np.zeros(2, np.float32)})
    path = Path(session.end_profiling())

    assert path.parent == tmp_path
    names = {event["name"] for event in json.loads(path.read_text()) if event["cat"] == "Node"}
    assert {"first_kernel_time", "second_kernel_time"} <= names


def test_a_graph_that_is_none_is_refused() -> None:
    with pytest.raises(Exception, match=r"[Pp]rotobuf parsing failed"):
        open_session(b"nonsense")
