"""Distill a large model into a small one, and publish and serve it if it passes the quality gate."""

from typing import Any

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.ingestion.component import ingest_data, split_data, validate_data
from stagewright.components.optimization.distillation.component import distill_model
from stagewright.pipelines.inherited_texts import described_by
from stagewright.pipelines.shared_steps import prove_and_serve


@dsl.pipeline(name="distill", display_name="Distill a model")
@described_by(distill_model, ingest_data, validate_data, split_data)
def distill(
    data: str,
    target: str,
    name: str,
    teacher: str,
    task: str = "auto",
    student: str = "auto",
    params: dict[str, Any] = {},  # noqa: B006  KFP writes the default into the spec
    features: dict[str, Any] = {},  # noqa: B006
    augmentation: float = 4.0,
    temperature: float = 1.0,
    hard_weight: float = 0.0,
    hidden_weight: float = 0.0,
    keep_inputs: bool = True,
    metric: str = "auto",
    tolerance: float = 1.0,
    minimum_agreement: float = 0.9,
    maximum_divergence: float = 0.1,
    minimum_speedup: float = 2.0,
    load: str = "batch",
    maximum_size: float = 1.0,
    query: str = "",
    format: str = "auto",  # noqa: A002
    encoding: str = "auto",
    delimiter: str = "auto",
    decimal: str = "auto",
    thousands: str = "auto",
    missing: list[str] = [],  # noqa: B006
    date_format: str = "auto",
    drop: list[str] = [],  # noqa: B006
    on_bad_row: str = "error",
    schema: dict[str, Any] = {},  # noqa: B006
    leakage: str = "error",
    split: str = "stratified",
    fractions: list[float] = [0.7, 0.15, 0.15],  # noqa: B006
    time_column: str = "",
    group_column: str = "",
    minimum: dict[str, float] = {},  # noqa: B006
    slices: list[str] = [],  # noqa: B006
    compare_with_champion: bool = False,
    export_tolerance: float = 1e-5,
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "",
    gitops: str = "",
    seed: int = 0,
) -> str:
    """Distill a large model into a small one, and publish and serve it if it passes the quality gate.

    Steps: ingest, validate, split, import the teacher, distill (gate on quality, fidelity, speed and size), evaluate, export to
    ONNX, write the model card, register, publish, deploy. The student is registered under its own name; its record names the
    teacher. Use the teacher's data, `split`, `fractions` and `seed`, so that the teacher was not trained on the test rows.

    Args:
        data: File, folder, glob, s3:// or http(s):// address, or SQLAlchemy URL with `query`.
        target: Column that the teacher predicts.
        name: Name of the student: lower-case letters, digits and dashes. The registered model and the service have this
            name.
        teacher: Model to distill: folder, .onnx file, s3://BUCKET/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/VERSION or
            runs:/ID/PATH.
        task: Prediction task. One of auto, binary, multiclass, regression.
        format: File format. Default: inferred from the file extension. One of auto, csv, tsv, jsonl, parquet.
        on_bad_row: How to handle malformed rows: stop with an error, or set them aside. One of error, quarantine.
        schema: Schema to enforce, as JSON. Default: inferred from the data.
        leakage: How to handle a column that predicts the target almost perfectly. One of error, warn.
        split: Split method; a row keeps its split when the table grows. One of stratified, random, time, group.
        time_column: Column to sort rows by, for split=time.
        group_column: Column whose equal values stay in one split, for split=group.
        features: Preprocessing of the student, as JSON. Default: suited to each student.
        minimum: Required test metrics as JSON: minimum for scores, maximum for errors.
        slices: Columns for which metrics are reported per value.
        compare_with_champion: Also require that the student is not worse than the champion registered under its name.
        export_tolerance: Maximum difference between the student and its ONNX export: of a probability, or of a value as a
            share of the target's spread (5% to 95% quantile).
        deploy_to: Where to serve the student. One of local, cluster, gitops, none.
        mode: KServe deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service. Default: the namespace of the steps.
        gitops: Folder or git working tree for the manifest, for deploy_to=gitops.
        seed: Random seed.

    Returns:
        Published version of the student, e.g. v1.0.0.
    """
    ingested = ingest_data(
        data=data,
        query=query,
        format=format,
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        thousands=thousands,
        missing=missing,
        date_format=date_format,
        drop=drop,
        on_bad_row=on_bad_row,
        deploy_to=deploy_to,
        namespace=namespace,
        name=name,
        mode=mode,
    )
    validated = validate_data(dataset=ingested.outputs["dataset"], target=target, task=task, expected=schema, leakage=leakage)
    splits = split_data(
        dataset=ingested.outputs["dataset"],
        schema=validated.outputs["schema"],
        method=split,
        fractions=fractions,
        time_column=time_column,
        group_column=group_column,
        seed=seed,
    )
    imported = import_model(source=teacher)
    distilled = distill_model(
        teacher=imported.outputs["model"],
        train=splits.outputs["train"],
        validation=splits.outputs["validation"],
        test=splits.outputs["test"],
        schema=validated.outputs["schema"],
        name=name,
        student=student,
        params=params,
        features=features,
        augmentation=augmentation,
        temperature=temperature,
        hard_weight=hard_weight,
        hidden_weight=hidden_weight,
        keep_inputs=keep_inputs,
        metric=metric,
        tolerance=tolerance,
        minimum_agreement=minimum_agreement,
        maximum_divergence=maximum_divergence,
        minimum_speedup=minimum_speedup,
        load=load,
        maximum_size=maximum_size,
        seed=seed,
    )
    return prove_and_serve(
        distilled,
        splits=splits,
        validated=validated,
        name=name,
        minimum=minimum,
        slices=slices,
        compare_with_champion=compare_with_champion,
        tolerance=export_tolerance,
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
        seed=seed,
    )
