"""Components of the features stage, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=True)
def fit_features(
    train: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    features: dsl.Output[dsl.Artifact],
    framework: str,
    params: dict = {},  # noqa: B006
    specification: dict = {},  # noqa: B006
) -> None:
    """Fit preprocessing on the training split as one ONNX graph: imputation, transforms, scaling, encoding, date parts, TF-IDF.

    Args:
        train: Training split as Parquet. No other data is used.
        schema: Schema of the data as JSON, with each column's kind and the target.
        features: Folder with the fitted graph (features.onnx) and its description (features.json).
        framework: Framework to train with; it sets the defaults. One of {frameworks}.
        params: Hyperparameters of the framework. The "model" of sklearn (linear, random_forest, hist_gradient_boosting) also
            sets the defaults; the "model" of transformers provides the tokenizer.
        specification: Settings by column kind or by column that override the defaults; see docs/features.md.
    """
    from stagewright.components.runtime.step import step

    with step("fit_features"):
        from stagewright.components.features.fit import fit_features
        from stagewright.components.runtime.schema import Schema

        fitted = fit_features(
            train.path, Schema.read(schema.path), framework=framework, params=params, specification=specification
        )
        fitted.save(features.path)
        features.metadata["columns"] = len(fitted.inputs)
        features.metadata["features"] = fitted.width
        features.metadata["hash"] = fitted.hash
        features.metadata["framework"] = framework
