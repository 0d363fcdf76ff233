"""Support for `null` inside parameters: Kubeflow's backend passes it to a step, but kfp's SDK and local runner refuse it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def kept() -> Iterator[None]:
    """Let kfp accept None inside objects and lists, as the cluster does.

    kfp 2.17 converts parameters with `to_protobuf_value`, which does not handle None, although the protobuf message
    supports it.
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
