"""Serving variants of a model's version: graph, server and hardware.

A variant with its own graph is stored below the version and is published like a model, with its own manifest:
`s3://models/<name>/<version>/variants/<variant>/`. The others serve the version itself.
"""

from dataclasses import dataclass

from stagewright.components.runtime.errors import one_of

FOLDER = "variants"
# Names of the ServingRuntimes.
RUNTIME, GPU_RUNTIME, TRITON_RUNTIME = "stagewright-predictor", "stagewright-predictor-gpu", "stagewright-triton"


@dataclass(frozen=True, slots=True)
class Variant:
    """A serving variant.

    Attributes:
        runtime: Name of the ServingRuntime.
        own_graph: Whether its graph differs from the version's.
        gpus: NVIDIA GPUs per replica.
        repository: Subfolder that the server loads instead of the whole folder: Triton's model repository.
    """

    runtime: str = RUNTIME
    own_graph: bool = False
    gpus: int = 0
    repository: str = ""


CATALOGUE = {
    "cpu": Variant(),
    "cpu-int8": Variant(own_graph=True),
    "gpu": Variant(GPU_RUNTIME, gpus=1),
    "gpu-fp16": Variant(GPU_RUNTIME, own_graph=True, gpus=1),
    "gpu-triton": Variant(TRITON_RUNTIME, own_graph=True, gpus=1, repository="repository"),
}
VARIANTS = tuple(CATALOGUE)


def find(variant: str) -> Variant:
    """The definition of a variant.

    Raises:
        BadParameter: If there is no such variant.
    """
    one_of("variant", variant, VARIANTS)
    return CATALOGUE[variant]


def location(model_uri: str, variant: str) -> str:
    """URI of a variant of a published model.

    >>> location("s3://models/churn/v1.0.0/", "cpu"), location("s3://models/churn/v1.0.0/", "cpu-int8")
    ('s3://models/churn/v1.0.0/', 's3://models/churn/v1.0.0/variants/cpu-int8/')
    """
    return f"{model_uri.rstrip('/')}/{FOLDER}/{variant}/" if find(variant).own_graph else model_uri


def storage(model_uri: str, variant: str) -> str:
    """URI that KServe copies into the pod of a variant, without a trailing slash.

    >>> storage("s3://models/churn/v1.0.0/", "gpu-triton")
    's3://models/churn/v1.0.0/variants/gpu-triton/repository'
    """
    folder = find(variant).repository
    return f"{location(model_uri, variant).rstrip('/')}{'/' if folder else ''}{folder}"
