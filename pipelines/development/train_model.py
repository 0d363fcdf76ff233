"""Train a model on a table, prove that it is good enough, publish it and serve it."""

from typing import Any

from kfp import dsl

from stagewright.components.authoring import documented
from stagewright.components.features.component import fit_features
from stagewright.components.ingestion.component import ingest_data, split_data, validate_data
from stagewright.components.training.component import train_model as train_model_step
from stagewright.pipelines.shared_steps import prove_and_serve


@dsl.pipeline(name="train-model", display_name="Train a model")
@documented
def train_model(
    data: str,
    target: str,
    name: str,
    task: str = "auto",
    framework: str = "xgboost",
    params: dict[str, Any] = {},  # noqa: B006  KFP writes the default into the spec
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
    image_size: str = "",
    image_colours: str = "auto",
    schema: dict[str, Any] = {},  # noqa: B006
    suite: dict[str, Any] = {},  # noqa: B006
    leakage: str = "error",
    features: dict[str, Any] = {},  # noqa: B006
    split: str = "stratified",
    fractions: list[float] = [0.7, 0.15, 0.15],  # noqa: B006
    time_column: str = "",
    group_column: str = "",
    class_weight: str = "none",
    positive_class: str = "",
    threshold: float = 0.5,
    minimum: dict[str, float] = {},  # noqa: B006
    slices: list[str] = [],  # noqa: B006
    compare_with_champion: bool = True,
    tolerance: float = 1e-5,
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "",
    gitops: str = "",
    seed: int = 0,
) -> str:
    """Train a model on a table, prove that it is good enough, publish it and serve it.

    The steps run in this order, and each stops the run with one sentence when something is wrong: ingest, validate, split, fit
    features, train, evaluate (the gate), export to ONNX (the parity gate), write the model card, register, publish, deploy.

    Args:
        data: A file, a folder (of data files, or of pictures in folders named after their classes), a glob, an s3:// or http(s)://
            address, or a SQLAlchemy URL together with `query`.
        target: Column to predict.
        name: Name of the model: lower-case letters, digits and dashes; it names the registered model and the service.
        task: What to predict. One of auto, binary, multiclass, regression.
        framework: Library to train with; torch_vision reads images, transformers reads texts. One of {frameworks}.
        params: Hyperparameters of the framework, as JSON; what is not given has a sensible default.
        query: SQL query, if `data` is a database.
        format: Format of the files, if their names do not tell. One of auto, csv, tsv, jsonl, parquet, npz,
            excel, images.
        encoding: Encoding of text files, such as utf-8 or cp1252; detected if auto.
        delimiter: What separates the fields of text files; detected if auto.
        decimal: Decimal sign of text files, . or ,; told from the values if auto.
        thousands: Sign between thousands in text files: a comma, a point, a blank, an apostrophe, or none; told from the values
            if auto.
        missing: Texts that mean a missing value in every column, as a list.
        date_format: How text files write dates, such as %d.%m.%Y; told from the values if auto.
        drop: Columns of the data to leave out, as a list.
        on_bad_row: What to do with malformed rows and pictures. One of error, quarantine.
        image_size: Height and width in pixels that pictures are brought to, such as 32 or 48x64; empty for the commonest size.
        image_colours: Colours of pictures; auto is grey if all of them are. One of auto, grey, rgb.
        schema: Schema to enforce, as JSON; inferred from the data if not given.
        suite: Great Expectations suite to check as well, as JSON.
        leakage: What to do when a single column predicts the target almost perfectly. One of error, warn.
        features: Specification of preprocessing by column kind or column, as JSON; defaults fit the framework.
        split: How rows are divided; a row keeps its split when the table grows. One of stratified, random, time, group.
        fractions: Shares of train, validation and test.
        time_column: Column to order by, for split=time.
        group_column: Column whose values stay together, for split=group.
        class_weight: Weight of classes in training. One of none, balanced.
        positive_class: The one of two classes that the model is about; empty for the second in sorted order, such as yes or 1.
        threshold: Probability of the positive class from which it is answered, above 0 and below 1.
        minimum: Thresholds that the test metrics must reach, as JSON; for errors they are the largest value allowed.
        slices: Columns by whose values metrics are reported.
        compare_with_champion: Whether the model must not be worse than the one registered as champion, on test rows that
            neither learned from.
        tolerance: Largest difference allowed between the model and its export, and what is served: of a probability, or of a
            value as a share of the target's spread, the distance from its 5% to its 95% quantile.
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service; empty for the one that the steps run in.
        gitops: Folder or git working tree that receives the manifest, for deploy_to=gitops.
        seed: Seed of everything random.

    Returns:
        Version under which the model was published, like v1.0.0.
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
        image_size=image_size,
        image_colours=image_colours,
        deploy_to=deploy_to,
        namespace=namespace,
        name=name,
        mode=mode,
    )
    validated = validate_data(
        dataset=ingested.outputs["dataset"],
        target=target,
        task=task,
        expected=schema,
        suite=suite,
        leakage=leakage,
        positive_class=positive_class,
        threshold=threshold,
    )
    splits = split_data(
        dataset=ingested.outputs["dataset"],
        schema=validated.outputs["schema"],
        method=split,
        fractions=fractions,
        time_column=time_column,
        group_column=group_column,
        seed=seed,
    )
    fitted = fit_features(
        train=splits.outputs["train"],
        schema=validated.outputs["schema"],
        framework=framework,
        params=params,
        specification=features,
    )
    trained = train_model_step(
        train=splits.outputs["train"],
        validation=splits.outputs["validation"],
        features=fitted.outputs["features"],
        schema=validated.outputs["schema"],
        name=name,
        framework=framework,
        params=params,
        class_weight=class_weight,
        positive_class=positive_class,
        threshold=threshold,
        seed=seed,
    )
    return prove_and_serve(
        trained,
        splits=splits,
        validated=validated,
        name=name,
        minimum=minimum,
        slices=slices,
        compare_with_champion=compare_with_champion,
        tolerance=tolerance,
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
        seed=seed,
    )
