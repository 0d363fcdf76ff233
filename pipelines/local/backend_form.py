"""What Kubeflow's backend hands a step, and what its launcher takes back: runs on this machine are as strict.

kfp.local describes artifacts in more detail than the backend, and accepts everything that a step returns. Here both follow
what a cluster does: an artifact of another step has a number for a name and no schema title, lies in the object store, and has
metadata that went through ML Metadata; numbers are doubles written as Go writes them, 3.0 as 3. A step that returns something
the launcher cannot keep fails.

The object store's place is taken by a run's folder: its folder `steps` is the bucket of that name, as the launcher mounts a
bucket at `/s3/BUCKET`. A container sees it there; a process of this machine is told another place to look (see `step_process`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BUCKET = "steps"
SESSION = json.dumps({"Provider": "s3", "Params": {"fromEnv": "true"}})
_STORE = f"s3://{BUCKET}/"
_LARGEST_PLAIN = 1e21  # Go writes whole numbers below it without an exponent


@dataclass(slots=True)
class Form:
    """How the steps of one run see their inputs.

    Attributes:
        steps: The folder that the run's steps write to.
        mount: Where a step finds the object store: `/s3` in a container.
    """

    steps: Path
    mount: Path
    _numbers: dict[str, str] = field(default_factory=dict)

    def executor_input(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The backend's form of what kfp.local hands a step."""
        inputs, outputs = document.get("inputs", {}), document.get("outputs", {})
        taken = {name: [self._input(one) for one in entry["artifacts"]] for name, entry in inputs.get("artifacts", {}).items()}
        made = {name: [self._output(one) for one in entry["artifacts"]] for name, entry in outputs.get("artifacts", {}).items()}
        files = {name: self._file(entry["outputFile"]) for name, entry in outputs.get("parameters", {}).items()}
        return {
            "inputs": {
                "parameterValues": as_go_writes(inputs.get("parameterValues", {})),
                "artifacts": {name: {"artifacts": artifacts} for name, artifacts in taken.items()},
            },
            "outputs": {
                "parameters": {name: {"outputFile": file} for name, file in files.items()},
                "artifacts": {name: {"artifacts": artifacts} for name, artifacts in made.items()},
                "outputFile": self._file(outputs["outputFile"]),
            },
        }

    def check(self, command: list[str]) -> int:
        """The exit code of a step that ended well: 1, with the reason told as a step's own, if its outputs would be refused."""
        outputs = json.loads(command[command.index("--executor_input") + 1])["outputs"]
        files = {name: self._here(entry["outputFile"]) for name, entry in outputs["parameters"].items()}
        reason = refused(self._here(outputs["outputFile"]), files)
        if reason is None:
            return 0
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": "step_failed", "seconds": 0.0}
        print(json.dumps({**entry, "error": f"Kubeflow would refuse what the step returned: {reason}", "exit_code": 1}))  # noqa: T201
        return 1

    def _input(self, artifact: Mapping[str, Any]) -> dict[str, Any]:
        uri = self._uri(artifact["uri"])
        kept = {name: through_metadata_store(value) for name, value in artifact.get("metadata", {}).items()}
        return {
            "name": self._numbers.setdefault(uri, str(len(self._numbers) + 1)),
            "type": {"instanceSchema": ""},
            "uri": uri,
            "metadata": as_go_writes({**kept, "display_name": artifact.get("name", ""), "store_session_info": SESSION}),
        }

    def _output(self, artifact: Mapping[str, Any]) -> dict[str, Any]:
        return {**artifact, "uri": self._uri(artifact["uri"])}

    def _uri(self, uri: str) -> str:
        path = Path(uri)
        return f"{_STORE}{path.relative_to(self.steps)}" if path.is_relative_to(self.steps) else uri

    def _here(self, path: str) -> Path:
        return self.steps / Path(path).relative_to(self.mount / BUCKET)

    def _file(self, path: str) -> str:
        return str(self.mount / BUCKET / Path(path).relative_to(self.steps))


def place(uri: str, steps: Path) -> Path:
    """Where an artifact of a run lies on this machine.

    >>> place("s3://steps/train-model/card", Path("/runs/1/steps"))
    PosixPath('/runs/1/steps/train-model/card')
    """
    return steps / uri.removeprefix(_STORE) if uri.startswith(_STORE) else Path(uri)


def as_go_writes(value: Any) -> Any:
    """A value after Go wrote it as JSON and Python read it: every number is a double, and a whole one has no point.

    >>> as_go_writes({"depth": 3.0, "rates": [0.5, 1.0]})
    {'depth': 3, 'rates': [0.5, 1]}
    """
    if isinstance(value, Mapping):
        return {name: as_go_writes(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_go_writes(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < _LARGEST_PLAIN else number


def through_metadata_store(value: Any) -> Any:
    """A value that a step noted on an artifact, as the next step finds it: ML Metadata has no booleans, and wraps lists."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, Mapping) else value


def refused(file: Path, parameters: Mapping[str, Path]) -> str | None:
    """Why the launcher would not take what a step returned, or None.

    Args:
        file: What kfp's executor wrote.
        parameters: The output parameters that the step must return, with their files.
    """
    try:
        document = json.loads(file.read_text(), parse_constant=_refuse_constant) if file.exists() else {}
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "it returned a text with half a character, which is no valid JSON"
    except ValueError as error:
        return str(error)
    for name, entry in document.get("artifacts", {}).items():
        for key, value in entry["artifacts"][0].get("metadata", {}).items():
            if value is None:
                return f"metadata '{key}' of output '{name}' is null, which Kubeflow's metadata store does not keep"
    for name, place_of_it in parameters.items():
        if name not in document.get("parameterValues", {}) and not place_of_it.exists():
            return f"it returned nothing for output '{name}'"
    return None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"it returned {constant}, which is no valid JSON")


@contextmanager
def backend_form(form: Form) -> Iterator[None]:
    """Let kfp.local hand the steps of a run their inputs in this form."""
    from kfp.local import executor_input_utils

    theirs: Callable[..., dict[str, Any]] = executor_input_utils.executor_input_to_dict

    def ours(*arguments: Any, **named: Any) -> dict[str, Any]:
        return form.executor_input(theirs(*arguments, **named))

    executor_input_utils.executor_input_to_dict = ours
    try:
        yield
    finally:
        executor_input_utils.executor_input_to_dict = theirs
