"""Components of the optimization stage, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=True)
def export_model(
    model: dsl.Input[dsl.Model],
    validation: dsl.Input[dsl.Dataset],
    exported: dsl.Output[dsl.Model],
    tolerance: float = 1e-5,
) -> float:
    """Export a model with its preprocessing as one ONNX graph; fail if it does not answer as the model does.

    Args:
        model: Folder of a trained model.
        validation: Validation split as Parquet; every row is answered by both and compared.
        exported: The model's folder with serving/ added: model.onnx, signature.json, baseline.parquet.
        tolerance: Largest difference allowed of a probability, or of a value relative to its size.

    Returns:
        The largest difference found.
    """
    from stagewright.components.runtime.step import step

    with step("export_model"):
        from stagewright.components.optimization.export import export_model

        result = export_model(model.path, validation.path, exported.path, tolerance=tolerance)
        exported.metadata["framework"] = result.metadata.framework
        exported.metadata["algorithm"] = result.metadata.algorithm
        exported.metadata["task"] = result.metadata.task
        exported.metadata["run_id"] = result.metadata.run_id
        exported.metadata["largest_difference"] = result.largest_difference
        exported.metadata["onnx_bytes"] = result.bytes
        return result.largest_difference
