"""Train a model, evaluate it, and publish and serve it if it passes the quality gate."""

from typing import Any

from kfp import dsl

from stagewright.components.authoring import documented
from stagewright.components.features.component import fit_features
from stagewright.components.ingestion.component import ingest_data, split_data, validate_data
from stagewright.components.training.component import train_model as train_model_step
from stagewright.pipelines.inherited_texts import described_by
from stagewright.pipelines.shared_steps import prove_and_serve


@dsl.pipeline(name="train-model", display_name="Train a model")
@described_by(ingest_data, validate_data, split_data)
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
    """Train a model, evaluate it, and publish and serve it if it passes the quality gate.

    Steps: ingest, validate, split, fit features, train, evaluate (quality gate), export to ONNX (parity gate), write the model
    card, register, publish, deploy. A step that fails stops the run with a one-sentence error.

    Args:
        data: File, folder (of data files, or of images in one folder per class), glob, s3:// or http(s):// address, or
            SQLAlchemy URL with `query`.
        name: Model name: lower-case letters, digits and dashes. The registered model and the service have this name.
        task: Prediction task. One of auto, binary, multiclass, regression.
        framework: Training library; torch_vision trains on images, transformers on texts. One of {frameworks}.
        params: Hyperparameters of the framework as JSON. Default: sensible values for each framework.
        on_bad_row: How to handle malformed rows and images: stop with an error, or set them aside. One of error,
            quarantine.
        schema: Schema to enforce, as JSON. Default: inferred from the data.
        leakage: How to handle a column that predicts the target almost perfectly. One of error, warn.
        features: Preprocessing by column type or column, as JSON. Default: suited to the framework.
        split: Split method; a row keeps its split when the table grows. One of stratified, random, time, group.
        time_column: Column to sort rows by, for split=time.
        group_column: Column whose equal values stay in one split, for split=group.
        class_weight: Class weights in training. One of none, balanced.
        minimum: Required test metrics as JSON: minimum for scores, maximum for errors.
        slices: Columns for which metrics are reported per value.
        compare_with_champion: Require that the model is not worse than the registered champion, on test rows that neither
            was trained on.
        tolerance: Maximum difference between the model and its ONNX export: of a probability, or of a value as a share of
            the target's spread (5% to 95% quantile).
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service. Default: the namespace of the steps.
        gitops: Folder or git working tree for the manifest, for deploy_to=gitops.
        seed: Random seed.

    Returns:
        Published version, e.g. v1.0.0.
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
