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
    """Fit preprocessing on the training split: imputation, transforms, scaling, encoding, date parts, TF-IDF: one ONNX graph.

    Args:
        train: Training split as Parquet; nothing else is looked at.
        schema: Schema of the data as JSON, with each column's kind and the target.
        features: Folder with the fitted graph (features.onnx) and its description (features.json).
        framework: Framework that will be trained; it decides the defaults. One of {frameworks}.
        params: Parameters of the estimator; sklearn's "model" (linear, random_forest, hist_gradient_boosting) decides the
            defaults too, and the tokenizer of transformers' "model" splits the texts.
        specification: Settings by kind of column and by column that override the defaults; see docs/features.md.
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
