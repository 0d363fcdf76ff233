"""`null` inside parameters. Kubeflow's backend hands it to a step as it is; kfp's SDK refuses it, also in its local runner."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def kept() -> Iterator[None]:
    """Let kfp take None inside objects and lists: a step gets what it gets on a cluster.

    kfp 2.17 turns every parameter into a protobuf message by `to_protobuf_value`, which knows all kinds of JSON values but
    this one, although the message has it.
    """
    from google.protobuf import struct_pb2
    from kfp.compiler import pipeline_spec_builder

    theirs = pipeline_spec_builder.to_protobuf_value

    def with_nulls(value: Any) -> struct_pb2.Value:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE) if value is None else theirs(value)

    pipeline_spec_builder.to_protobuf_value = with_nulls  # it calls itself by this name
    try:
        yield
    finally:
        pipeline_spec_builder.to_protobuf_value = theirs
