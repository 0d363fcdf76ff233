"""Components of the training stage, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


# Never from the cache: every training records a run in MLflow, and a cached one would name a run that may be gone.
@component(group="tabular", cacheable=False)
def train_model(
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Artifact],
    schema: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    name: str,
    framework: str = "xgboost",
    params: dict = {},  # noqa: B006
    class_weight: str = "none",
    positive_class: str = "",
    threshold: float = 0.5,
    seed: int = 0,
) -> str:
    """Train a model on fitted features and record the run in MLflow: parameters, losses by iteration, data hashes, versions.

    Args:
        train: Training split as Parquet.
        validation: Validation split as Parquet, for early stopping.
        features: Folder with the fitted features.
        schema: Schema of the data as JSON, with the target and the task.
        model: Folder of the trained model in MLflow's format: model.json, features and estimator. No file is a pickle.
        name: Name of the model and of the MLflow experiment.
        framework: Library to train with. One of {frameworks}.
        params: Hyperparameters of the framework by name. Default: the framework's own. With sklearn, "model" is linear,
            random_forest or hist_gradient_boosting.
        class_weight: Weight of the classes; balanced gives each class the same total weight. One of none, balanced.
        positive_class: Positive class of a binary task. Default: the second in sorted order, such as yes or 1.
        threshold: Minimum probability of the positive class to predict it, between 0 and 1, exclusive.
        seed: Random seed. Equal seeds and inputs give equal models.

    Returns:
        Id of the MLflow run.
    """
    from stagewright.components.runtime.step import step

    with step("train_model"):
        from stagewright.components.training.train import train_model

        trained = train_model(
            train.path,
            validation.path,
            features=features.path,
            schema=schema.path,
            model=model.path,
            name=name,
            framework=framework,
            params=params,
            class_weight=class_weight,
            positive_class=positive_class,
            threshold=threshold,
            seed=seed,
        )
        model.metadata["framework"] = trained.framework
        model.metadata["algorithm"] = trained.algorithm
        model.metadata["task"] = trained.task
        model.metadata["run_id"] = trained.run_id
        return trained.run_id
