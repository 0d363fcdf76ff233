"""Read a profile and its parents; errors are one sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stagewright.components.runtime.documents import Unreadable, overlaid, read_yaml
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.pipelines.profiles.model import Profile

FOLDER = Path(__file__).parent

Tree = dict[str, Any]


def names() -> tuple[str, ...]:
    """The profiles that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str | Path) -> Profile:
    """Load a profile by name or by the path of a YAML file.

    Raises:
        InputError: For an unknown name, an unreadable file, a cycle of `extends`, or an invalid or unknown field.
    """
    path = _locate(str(name), relative_to=Path())
    tree = _merged(path, seen=())
    tree["components"] = {
        component: overlaid(tree.get("defaults") or {}, settings or {})
        for component, settings in _mapping(tree, "components", path).items()
    }
    try:
        return Profile.model_validate({"name": path.stem, **_pruned(tree)})
    except ValidationError as error:
        raise InputError(_explain(error, path)) from None


def _locate(name: str, relative_to: Path) -> Path:
    if not name.endswith((".yaml", ".yml")):
        if name not in names():
            raise InputError(
                f"there is no profile '{name}'{did_you_mean(name, names())}; "
                f"there are {', '.join(names())}, or give the path of a YAML file"
            )
        return FOLDER / f"{name}.yaml"
    path = relative_to / name
    if not path.is_file():
        raise InputError(f"profile {path} does not exist; give the path of a YAML file, or one of {', '.join(names())}")
    return path


def _merged(path: Path, seen: tuple[Path, ...]) -> Tree:
    if path.resolve() in seen:
        raise InputError(f"profile {path} extends itself, through {' and '.join(other.name for other in seen)}")
    tree = _read(path)
    base = tree.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise InputError(f"profile {path}: extends is {base!r}; expected the name or the path of one profile")
    parent = _merged(_locate(base, relative_to=path.parent), (*seen, path.resolve()))
    return overlaid({key: value for key, value in parent.items() if key not in ("name", "description")}, tree)


def _read(path: Path) -> Tree:
    try:
        tree = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"profile {path} cannot be read: {error}") from None
    except Unreadable as error:
        raise InputError(f"profile {path} is not valid YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"profile {path} holds a {type(tree).__name__}; expected a mapping of settings")
    return tree


def _mapping(tree: Tree, key: str, path: Path) -> Mapping[str, Any]:
    value = tree.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"profile {path}: {key} is {value!r}; expected a mapping of names to settings")
    return value


def _pruned(tree: Any) -> Any:
    """Remove keys with value None, which override inherited keys."""
    if not isinstance(tree, dict):
        return tree
    return {key: _pruned(value) for key, value in tree.items() if value is not None}


def _explain(error: ValidationError, path: Path) -> str:
    """Describe the first error and its place; for an unknown field, suggest the closest one."""
    issue = error.errors()[0]
    place = ".".join(str(part) for part in issue["loc"]) or "the file"
    if issue["type"] == "extra_forbidden":
        fields = _fields_at(issue["loc"][:-1])
        near = did_you_mean(str(issue["loc"][-1]), fields)
        return f"profile {path}: {place} is not a setting{near}; expected one of {', '.join(fields)}"
    message = issue["msg"].removeprefix("Value error, ")
    shown = "" if issue["type"] == "value_error" else f" (got {issue['input']!r})"
    return f"profile {path}: {place}: {message}{shown}"


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    """The names of the fields that the model has at a place."""
    model: Any = Profile
    for part in place:
        field = model.model_fields.get(str(part)) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = _model_in(field.annotation) if field else model
    return [name for name in model.model_fields if not (model is Profile and name == "name")]


def _model_in(annotation: Any) -> Any:
    """The model in an annotation such as `Model | None`, `dict[str, Model]` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [_model_in(argument) for argument in getattr(annotation, "__args__", ())]
    return next((model for model in inner if model is not None), None)
