"""Distill a large model into a small one, prove that it does as well, publish it and serve it."""

from typing import Any

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.ingestion.component import ingest_data, split_data, validate_data
from stagewright.components.optimization.distillation.component import distill_model
from stagewright.pipelines.shared_steps import prove_and_serve


@dsl.pipeline(name="distill", display_name="Distill a model")
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
    """Distill a large model into a small one, prove that it does as well, publish it and serve it.

    The steps run in this order, and each stops the run with one sentence when something is wrong: ingest, validate, split,
    import the teacher, distill (the gate on quality, fidelity, speed and size), evaluate, export to ONNX, write the model card,
    register, publish, deploy. The student is a model of its own name; its record names the teacher. Give the data, `split`,
    `fractions` and `seed` that the teacher was trained with, so that the test rows are ones it has not seen.

    Args:
        data: A file, a folder, a glob, an s3:// or http(s):// address, or a SQLAlchemy URL together with `query`.
        target: Column that the teacher predicts.
        name: Name of the student's model: lower-case letters, digits and dashes; it names the registered model and the service.
        teacher: The model to learn from: a folder, an .onnx file, s3://BUCKET/NAME/VERSION, models:/NAME@ALIAS,
            models:/NAME/VERSION or runs:/ID/PATH.
        task: What to predict. One of auto, binary, multiclass, regression.
        student: What to teach. One of auto, trees, linear, mlp, vision, transformer.
        params: Parameters of the one student to try, as JSON: of its framework (lightgbm, sklearn, torch, torch_vision,
            transformers), for a transformer also `layers`; none: several sizes.
        features: Specification of the student's preprocessing, as JSON; defaults fit each student.
        augmentation: Rows made for each training row.
        temperature: Of a network's soft targets; above 1, unlikely classes count for more.
        hard_weight: Share of the truth in the labels of real rows, 0 to 1.
        hidden_weight: Weight of the hidden layer's loss, for a network that learns from a network.
        keep_inputs: Whether a student of few columns still takes the others, so that the teacher's clients can call it; without
            them it is faster on single rows.
        metric: Metric of quality, such as roc_auc, accuracy or rmse; auto is ROC AUC, or RMSE for values.
        tolerance: Points of a hundred of the metric that may be lost; percent of it for an error.
        minimum_agreement: Share of rows with the teacher's answer; for values, the R² against the teacher's.
        maximum_divergence: Mean Kullback-Leibler divergence from the teacher's probabilities, in nats.
        minimum_speedup: How many times faster the student must be.
        load: What must be that much faster. One of batch, single_row, both.
        maximum_size: Share of the teacher's size that the student may have.
        query: SQL query, if `data` is a database.
        format: Format of the files, if their names do not tell. One of auto, csv, tsv, jsonl, parquet.
        encoding: Encoding of text files, such as utf-8 or cp1252; detected if auto.
        delimiter: What separates the fields of text files; detected if auto.
        decimal: Decimal sign of text files, . or ,; told from the values if auto.
        thousands: Sign between thousands in text files: a comma, a point, a blank, an apostrophe, or none; told from the values
            if auto.
        missing: Texts that mean a missing value in every column, as a list.
        date_format: How text files write dates, such as %d.%m.%Y; told from the values if auto.
        drop: Columns of the data to leave out, as a list.
        on_bad_row: What to do with malformed rows. One of error, quarantine.
        schema: Schema to enforce, as JSON; inferred from the data if not given.
        leakage: What to do when a single column predicts the target almost perfectly. One of error, warn.
        split: How rows are divided; a row keeps its split when the table grows. One of stratified, random, time, group.
        fractions: Shares of train, validation and test.
        time_column: Column to order by, for split=time.
        group_column: Column whose values stay together, for split=group.
        minimum: Thresholds that the student's test metrics must reach, as JSON; for errors they are the largest value allowed.
        slices: Columns by whose values metrics are reported.
        compare_with_champion: Whether the student must also not be worse than the champion registered under its own name.
        export_tolerance: Largest difference allowed between the student and its export, and what is served: of a probability,
            or of a value as a share of the target's spread, the distance from its 5% to its 95% quantile.
        deploy_to: Where to serve the student. One of local, cluster, gitops, none.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service; empty for the one that the steps run in.
        gitops: Folder or git working tree that receives the manifest, for deploy_to=gitops.
        seed: Seed of everything random.

    Returns:
        Version under which the student was published, like v1.0.0.
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
