"""Components that bring models into a portable form, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=True)
def export_model(
    model: dsl.Input[dsl.Model],
    validation: dsl.Input[dsl.Dataset],
    exported: dsl.Output[dsl.Model],
    tolerance: float = 1e-5,
) -> float:
    """Export a model with its preprocessing as one ONNX graph; fail if its predictions differ from the model's.

    Args:
        model: Folder of a trained model.
        validation: Validation split as Parquet; the predictions for every row are compared.
        exported: The model's folder with serving/ added: model.onnx, signature.json, baseline.parquet.
        tolerance: Largest allowed difference of a probability, or of a value as a share of the target's spread: the distance
            from its 5% to its 95% quantile in the training rows.

    Returns:
        The largest difference found.
    """
    from stagewright.components.runtime.step import step

    with step("export_model"):
        from stagewright.components.export.export_model import export_model

        result = export_model(model.path, validation.path, exported.path, tolerance=tolerance)
        exported.metadata["framework"] = result.metadata.framework
        exported.metadata["algorithm"] = result.metadata.algorithm
        exported.metadata["task"] = result.metadata.task
        exported.metadata["run_id"] = result.metadata.run_id
        exported.metadata["largest_difference"] = result.largest_difference
        exported.metadata["onnx_bytes"] = result.bytes
        return result.largest_difference


# The tabular image, because a bare ONNX graph is adapted with the onnx package; cached it would miss what an alias points to.
@component(group="tabular", cacheable=False)
def import_model(
    source: str,
    model: dsl.Output[dsl.Model],
    deploy_to: str = "",
    namespace: str = "",
    name: str = "",
    mode: str = "Standard",
) -> None:
    """Import an existing model, so that it can be registered, published and served.

    Args:
        source: A model folder, an .onnx file, s3://BUCKET/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/VERSION or
            runs:/ID/PATH.
        model: The model with its `serving/` folder: graph, signature and, if it has one, baseline.
        deploy_to: Target of the deployment at the end of the run (local, cluster, gitops or none); its permissions and
            services are checked first. Default: no check.
        namespace: Namespace of the service, for deploy_to=cluster. Default: the one that the step runs in.
        name: Name of the service, for deploy_to=cluster or gitops; checked against KServe's rules.
        mode: KServe's deployment mode. One of Standard, Knative.
    """
    from stagewright.components.runtime.step import step

    with step("import_model"):
        from stagewright.components.export.import_model import import_model as take
        from stagewright.components.runtime.access import check_access

        check_access(deploy_to, namespace, name=name, mode=mode)

        signature = take(source, model.path)
        model.metadata["task"] = signature.task
        model.metadata["source"] = source
