"""Make a served model smaller and faster with fewer bits, and serve what passes as a variant of its version."""

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.ingestion.component import ingest_data
from stagewright.components.optimization.quantization.component import quantize_model
from stagewright.components.registry.component import register_model
from stagewright.components.serving.component import publish_model
from stagewright.pipelines.shared_steps import deploy_and_promote


@dsl.pipeline(name="quantize", display_name="Quantize a model")
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
    """Make a served model smaller and faster with fewer bits, and serve what passes as a variant of its version.

    The model's version is published first if it is not yet. Where nothing is to be gained, as with ensembles of trees, the
    report says so with figures, and nothing is registered, published or deployed.

    Args:
        model: A model folder, an .onnx file, an s3:// address, or a registered model such as models:/churn@champion.
        data: Rows that the model was not trained on: a file, a folder, a glob, an s3:// or http(s):// address, or a SQLAlchemy
            URL together with `query`.
        name: Name under which the model is registered and served: lower-case letters, digits and dashes.
        variant: What to make. One of cpu-int8, gpu-fp16.
        methods: Methods to try, as JSON; those that suit the model if not given.
        target: Column of the data with the true values; the one that the model names if not given.
        tolerance: Points that may be lost: hundredths of accuracy and a binary model's ROC AUC, percent of a regressor's RMSE.
        minimum_speedup: How many times faster a variant for CPUs must be, for single rows and for batches.
        minimum_size_ratio: How many times smaller it must be.
        calibration_rows: Rows on which the ranges of activations are found.
        rows: Most rows on which quality is measured.
        batch_rows: Rows of the batch whose speed is measured.
        threads: Threads of one inference when speed is measured; as the predictor serves the model if 0.
        seconds: Time for measuring speed.
        require: Whether a model with nothing to gain fails the run.
        query: SQL query, if `data` is a database.
        format: Format of the files, if their names do not tell. One of auto, csv, tsv, jsonl, parquet.
        decimal: Decimal sign of text files, . or ,; told from the values if auto.
        thousands: Sign between thousands in text files: a comma, a point, a blank, an apostrophe, or none; told from the values
            if auto.
        missing: Texts that mean a missing value in every column, as a list.
        date_format: How text files write dates, such as %d.%m.%Y; told from the values if auto.
        drop: Columns of the data to leave out, as a list.
        deploy_to: Where to serve the variant. One of local, cluster, gitops, none.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service; empty for the one that the steps run in.
        gitops: Folder or git working tree that receives the manifest, for deploy_to=gitops.
        seed: Seed of everything random.

    Returns:
        Whether there is a variant; there is none where nothing is to be gained.
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
        # The same content keeps its version: for a model that is registered and published both steps change nothing.
        registered = register_model(model=imported.outputs["model"], name=name)
        version = registered.outputs["Output"]
        published = publish_model(model=imported.outputs["model"], name=name, version=version)
        added = publish_model(model=quantized.outputs["quantized"], name=name, version=version, variant=variant).after(
            published
        )
        deploy_and_promote(
            added,
            name=name,
            version=version,
            deploy_to=deploy_to,
            variant=variant,
            mode=mode,
            namespace=namespace,
            gitops=gitops,
        )
    return quantized.outputs["Output"]
