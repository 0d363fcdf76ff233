"""Messages of the gRPC protocol, in their own descriptor pool: KServe's and Triton's clients may run in the same process."""

import base64
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from stagewright.components.predictor.grpc.descriptor import FILE_DESCRIPTOR_SET

PACKAGE = "inference"
SERVICE = "GRPCInferenceService"

Message = Any  # the classes are made at run time

_POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(base64.b85decode(FILE_DESCRIPTOR_SET)).file:
    _POOL.Add(_file)

service = _POOL.FindServiceByName(f"{PACKAGE}.{SERVICE}")


def message(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


ServerLiveResponse = message("ServerLiveResponse")
ServerReadyResponse = message("ServerReadyResponse")
ModelReadyResponse = message("ModelReadyResponse")
ServerMetadataResponse = message("ServerMetadataResponse")
ModelMetadataResponse = message("ModelMetadataResponse")
ModelInferRequest = message("ModelInferRequest")
ModelInferResponse = message("ModelInferResponse")
ModelConfigResponse = message("ModelConfigResponse")
ModelStatisticsResponse = message("ModelStatisticsResponse")
RepositoryIndexResponse = message("RepositoryIndexResponse")
RepositoryModelLoadResponse = message("RepositoryModelLoadResponse")
RepositoryModelUnloadResponse = message("RepositoryModelUnloadResponse")
