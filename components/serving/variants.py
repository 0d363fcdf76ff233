"""The variants of a model's version: which graph each serves, by which server, on what hardware.

A variant whose graph differs from the version's own lies below it, published like a model with a manifest of its own:
`s3://models/<name>/<version>/variants/<variant>/`. The others serve the version itself.
"""

from dataclasses import dataclass

from stagewright.components.runtime.errors import one_of

FOLDER = "variants"
# Names of the ServingRuntimes.
RUNTIME, GPU_RUNTIME, TRITON_RUNTIME = "stagewright-predictor", "stagewright-predictor-gpu", "stagewright-triton"


@dataclass(frozen=True, slots=True)
class Variant:
    """How a version is served.

    Attributes:
        runtime: The ServingRuntime.
        own_graph: Whether its graph differs from the version's.
        gpus: NVIDIA GPUs of each replica.
        repository: Folder below it that the server takes in place of the whole: Triton's model repository.
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
    """What a variant means.

    Raises:
        BadParameter: If there is no such variant.
    """
    one_of("variant", variant, VARIANTS)
    return CATALOGUE[variant]


def location(model_uri: str, variant: str) -> str:
    """Where a variant of a published model is.

    >>> location("s3://models/churn/v1.0.0/", "cpu"), location("s3://models/churn/v1.0.0/", "cpu-int8")
    ('s3://models/churn/v1.0.0/', 's3://models/churn/v1.0.0/variants/cpu-int8/')
    """
    return f"{model_uri.rstrip('/')}/{FOLDER}/{variant}/" if find(variant).own_graph else model_uri


def storage(model_uri: str, variant: str) -> str:
    """What KServe copies into the pod of a variant, without a slash at the end.

    >>> storage("s3://models/churn/v1.0.0/", "gpu-triton")
    's3://models/churn/v1.0.0/variants/gpu-triton/repository'
    """
    folder = find(variant).repository
    return f"{location(model_uri, variant).rstrip('/')}{'/' if folder else ''}{folder}"
