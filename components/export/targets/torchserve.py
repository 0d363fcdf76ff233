"""An archive for TorchServe (`.mar`): the ONNX graph and a handler of ours, no pickle.

TorchServe 0.12 is the last release and its repository is closed: nothing is mended there any more. This exists for those who
run it today; our predictor or Triton is what to move to.
"""

import json
import logging
import zipfile
from importlib.resources import files
from pathlib import Path

from stagewright.components.export.targets.exported import Exported
from stagewright.components.runtime import logs
from stagewright.components.runtime.fingerprint import GRAPH
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.signature import FILE as SIGNATURE

WARNING = "TorchServe is no longer maintained; serve with our predictor or Triton instead"
MANIFEST, HANDLER, REQUIREMENTS = "MAR-INF/MANIFEST.json", "handler.py", "requirements.txt"
_ARCHIVER = "0.12.0"  # the last release of the archiver, whose layout this is
_DATE = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes


def write_archive(folder: str | Path, archive: str | Path, *, name: str, version: str = "1.0") -> Path:
    """Write a model archive.

    Args:
        folder: An exported model.
        archive: The file to write; it ends in `.mar`, or a folder, in which it is called like the model.
        version: TorchServe's version of the model.

    Raises:
        InputError: If the model has no graph, or decides elsewhere than its graph.
    """
    model = Exported.read(folder)
    model.require_threshold("TorchServe")
    path = Path(archive) if str(archive).endswith(".mar") else Path(archive) / f"{model_name(name)}.mar"
    path.parent.mkdir(parents=True, exist_ok=True)
    packages = ["numpy", "onnxruntime", *(["tokenizers"] if model.tokenizers else [])]
    contents = {
        MANIFEST: json.dumps(_manifest(model_name(name), version), indent=2).encode(),
        HANDLER: files("stagewright.components.export.targets").joinpath("torchserve_handler.py").read_bytes(),
        GRAPH: model.graph,
        SIGNATURE: (model.serving / SIGNATURE).read_bytes(),
        REQUIREMENTS: ("\n".join(packages) + "\n").encode(),
        **{tokenizer.name: tokenizer.read_bytes() for tokenizer in model.tokenizers},
    }
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as made:
        for entry, data in contents.items():
            made.writestr(zipfile.ZipInfo(entry, _DATE), data, zipfile.ZIP_DEFLATED)
    partial.replace(path)
    logs.event("torchserve_archive_written", level=logging.WARNING, path=str(path), warning=WARNING)
    return path


def _manifest(name: str, version: str) -> dict[str, object]:
    model = {
        "modelName": name,
        "modelVersion": version,
        "serializedFile": GRAPH,
        "handler": HANDLER,
        "requirementsFile": REQUIREMENTS,
    }
    return {"createdOn": "01/01/1980 00:00:00", "runtime": "python", "model": model, "archiverVersion": _ARCHIVER}
