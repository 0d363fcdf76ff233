"""Quantize a model to make it smaller and faster, and serve the result as a variant of its version."""

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.ingestion.component import ingest_data
from stagewright.components.optimization.quantization.component import quantize_model
from stagewright.pipelines.inherited_texts import described_by
from stagewright.pipelines.shared_steps import register_and_serve


@dsl.pipeline(name="quantize", display_name="Quantize a model")
@described_by(quantize_model, ingest_data)
def quantize(
    model: str,
    data: str,
    name: str,
    variant: str = "cpu-int8",
    methods: list[str] = [],  # noqa: B006  KFP writes the default into the spec
    target: str = "",
    tolerance: float = 1.0,
    minimum_speedup: float = 1.1,
    minimum_size_ratio: float = 1.0,
    calibration_rows: int = 256,
    rows: int = 2000,
    batch_rows: int = 32,
    threads: int = 0,
    seconds: float = 20.0,
    require: bool = False,
    query: str = "",
    format: str = "auto",  # noqa: A002
    decimal: str = "auto",
    thousands: str = "auto",
    missing: list[str] = [],  # noqa: B006
    date_format: str = "auto",
    drop: list[str] = [],  # noqa: B006
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "",
    gitops: str = "",
    seed: int = 0,
) -> bool:
    """Quantize a model to make it smaller and faster, and serve the result as a variant of its version.

    The model's version is published first if necessary. If quantization gains nothing, as for tree ensembles, the report shows
    the measurements, and nothing is registered, published or deployed.

    Args:
        model: Model folder, .onnx file, s3:// address, or registered model, e.g. models:/churn@champion.
        data: Rows that the model was not trained on: file, folder, glob, s3:// or http(s):// address, or SQLAlchemy URL
            with `query`.
        name: Model name to register and serve: lower-case letters, digits and dashes.
        require: Fail the run if no variant is better than the model.
        format: File format. Default: inferred from the file extension. One of auto, csv, tsv, jsonl, parquet.
        deploy_to: Where to serve the variant. One of local, cluster, gitops, none.
        mode: KServe deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service. Default: the namespace of the steps.
        gitops: Folder or git working tree for the manifest, for deploy_to=gitops.
        seed: Random seed.

    Returns:
        Whether a variant was made; false if quantization gains nothing.
    """
    imported = import_model(source=model, deploy_to=deploy_to, namespace=namespace, name=name, mode=mode)
    ingested = ingest_data(
        data=data,
        query=query,
        format=format,
        decimal=decimal,
        thousands=thousands,
        missing=missing,
        date_format=date_format,
        drop=drop,
    )
    quantized = quantize_model(
        model=imported.outputs["model"],
        data=ingested.outputs["dataset"],
        variant=variant,
        methods=methods,
        target=target,
        tolerance=tolerance,
        minimum_speedup=minimum_speedup,
        minimum_size_ratio=minimum_size_ratio,
        calibration_rows=calibration_rows,
        rows=rows,
        batch_rows=batch_rows,
        threads=threads,
        seconds=seconds,
        require=require,
        seed=seed,
    )
    with dsl.If(quantized.outputs["Output"] == True, name="variant"):  # noqa: E712  a condition, not a truth
        register_and_serve(
            imported.outputs["model"],
            name=name,
            deploy_to=deploy_to,
            mode=mode,
            namespace=namespace,
            gitops=gitops,
            variant=variant,
            variant_model=quantized.outputs["quantized"],
        )
    return quantized.outputs["Output"]
