"""Triton's gRPC messages and service, in their own pool: KServe's have the same names in the default pool."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

# A process that ends: importing the client's modules would register its messages in this one.
PRINT_FILES = """
import sys
from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2
files = descriptor_pb2.FileDescriptorSet()
for module in (model_config_pb2, service_pb2):
    module.DESCRIPTOR.CopyToProto(files.file.add())
sys.stdout.buffer.write(files.SerializeToString())
"""


def load() -> tuple[SimpleNamespace, type]:
    """The messages and enums of `tritonclient.grpc` by name, and a stub of its service with one attribute for each method."""
    printed = subprocess.run([sys.executable, "-c", PRINT_FILES], capture_output=True, timeout=60, check=True).stdout
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(printed).file
    for file in files:
        pool.Add(file)
    schemas = [pool.FindFileByName(file.name) for file in files]
    messages = {
        name: message_factory.GetMessageClass(found)
        for schema in schemas
        for name, found in schema.message_types_by_name.items()
    }
    enums = {name: EnumTypeWrapper(found) for schema in schemas for name, found in schema.enum_types_by_name.items()}
    (service,) = schemas[-1].services_by_name.values()

    class Stub:
        def __init__(self, channel: Any) -> None:
            for method in service.methods:
                call = channel.stream_stream if method.client_streaming else channel.unary_unary
                answer = messages[method.output_type.name]
                setattr(
                    self,
                    method.name,
                    call(
                        f"/{service.full_name}/{method.name}",
                        request_serializer=lambda message: message.SerializeToString(),
                        response_deserializer=answer.FromString,
                    ),
                )

    return SimpleNamespace(**messages, **enums), Stub
