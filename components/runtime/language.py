"""A language model as a folder in Hugging Face's layout: config.json, model.safetensors, tokenizer.json."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stagewright.components.runtime import tokens
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import BadParameter, InputError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
POOLINGS = ("mean", "cls", "max")
_MOST_TOKENS = 512  # of a text, where the folder knows no limit
_SENTENCE, _POOLING = "sentence_bert_config.json", "1_Pooling/config.json"
_MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A language model that others are made from.

    Attributes:
        max_tokens: Most ids of a text that it was made for.
        pooling: How one vector is made of those of a text's tokens: mean, cls (the first) or max.
    """

    folder: Path
    config: Mapping[str, Any]
    max_tokens: int
    pooling: str

    @property
    def tokenizer(self) -> bytes:
        """Its tokenizer.json."""
        return (self.folder / tokens.FILE).read_bytes()


@contextmanager
def base_model(place: str) -> Iterator[BaseModel]:
    """A base model's folder, on this machine for the length of the block.

    Args:
        place: A folder, `s3://` prefix, or an installed package that carries one, as `package:NAME` or `package:NAME/FOLDER`.

    Raises:
        InputError: If a file is missing there or malformed.
        ServiceUnavailable: If the object store does not answer.
    """
    if not place:
        raise BadParameter("params.model", got=place, expected="the folder of a base model, s3://... or package:NAME/FOLDER")
    if place.startswith("s3://"):
        from stagewright.components.runtime.storage import ObjectStore

        with TemporaryDirectory(prefix="stagewright-") as name:
            ObjectStore.from_environment("the base model is read from there").download_folder(place.rstrip("/"), name)
            yield _read(Path(name), place)
    elif place.startswith("package:"):
        yield _read(_inside_package(place), place)
    else:
        yield _read(Path(place.removeprefix("file://")), place)


def _inside_package(place: str) -> Path:
    package, _, below = place.removeprefix("package:").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(f"params.model is '{place}', but no package '{package}' is installed here")
    return Path(spec.origin).parent / below


def _read(folder: Path, place: str) -> BaseModel:
    missing = [name for name in (CONFIG, WEIGHTS, tokens.FILE) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"no {' and no '.join(missing)} in {place}; params.model is a folder with {CONFIG}, {WEIGHTS} and {tokens.FILE}"
        )
    config = _json(folder / CONFIG)
    if "auto_map" in config:
        raise InputError(
            f"{place} brings code of its own ('auto_map' in {CONFIG}), which is never run; choose another base model"
        )
    return BaseModel(folder, config, _max_tokens(folder, config), _pooling(folder))


def _max_tokens(folder: Path, config: Mapping[str, Any]) -> int:
    own = _json(folder / _SENTENCE).get("max_seq_length") if (folder / _SENTENCE).is_file() else None
    positions = config.get("max_position_embeddings")
    known = [limit for limit in (own, positions) if isinstance(limit, int) and limit > 0]
    return min([*known, _MOST_TOKENS])


def _pooling(folder: Path) -> str:
    if not (folder / _POOLING).is_file():
        return "mean"
    settings = _json(folder / _POOLING)
    return next((name for name, key in _MODES.items() if settings.get(key)), "mean")


def _json(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} is not a JSON object")
    return document
