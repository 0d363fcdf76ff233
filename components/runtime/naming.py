"""Names of models and their versions, where they are published, and what is refused."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from stagewright.components.runtime.errors import BadParameter

Change = Literal["major", "minor", "patch"]

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
LONGEST_NAME = 63


def model_name(name: str) -> str:
    """The name, if a bucket's folder, an MLflow model and a KServe service may be called so.

    Raises:
        BadParameter: If it is no DNS label that begins with a letter.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        expected = (
            f"lower-case letters, digits and '-', beginning with a letter, at most {LONGEST_NAME} characters, such as 'churn'"
        )
        raise BadParameter("name", got=name, expected=expected)
    return name


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Semantic version of a model: major, the signature changed; minor, the recipe; patch, only the data."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """A version from `vMAJOR.MINOR.PATCH`.

        Raises:
            BadParameter: If the text is anything else.
        """
        found = _VERSION.fullmatch(text)
        if not found:
            raise BadParameter("version", got=text, expected="vMAJOR.MINOR.PATCH, such as 'v1.0.0'")
        return cls(*(int(part) for part in found.groups()))

    def after(self, change: Change) -> "Version":
        """The next version after a change of this kind.

        >>> str(Version(1, 2, 3).after("minor"))
        'v1.3.0'
        """
        if change == "major":
            return Version(self.major + 1, 0, 0)
        return Version(self.major, self.minor + 1, 0) if change == "minor" else Version(self.major, self.minor, self.patch + 1)


FIRST = Version(1, 0, 0)


def published_uri(bucket: str, name: str, version: str) -> str:
    """Where a version of a model is published.

    >>> published_uri("models", "churn", "v1.0.0")
    's3://models/churn/v1.0.0/'
    """
    return f"s3://{bucket}/{model_name(name)}/{Version.parse(version)}/"
