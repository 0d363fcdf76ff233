"""Names that Argo Workflows gives to nodes, retry attempts and pods of a run.

A node's id consists of the workflow's name and a 32-bit FNV-1a hash of the node's name, which is a path:
`WORKFLOW.root.STEP.executor`, followed by the attempt number, `(0)`, if Kubeflow retries the step. Kubeflow's API returns ids
but no names. The hash is computed byte by byte and each byte can be undone, so the hashes of longer and shorter names can be
derived from an id.
"""

from collections.abc import Collection
from dataclasses import dataclass

IMPLEMENTATION, RETRIED = "system-container-impl", "retry-system-container-impl"  # Kubeflow's templates of a step's pod
ATTEMPTS = 32

_START, _PRIME, _MODULUS = 2166136261, 16777619, 2**32
_INVERSE = pow(_PRIME, -1, _MODULUS)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs in a pod.

    Attributes:
        id: As Kubeflow's API and Argo name it.
        retried: Whether it is a retry attempt of a step.
    """

    id: str
    retried: bool = False

    @property
    def pods(self) -> tuple[str, ...]:
        """Possible pod names, most likely first; before version 3.4, Argo used the node's id."""
        workflow, _, number = self.id.rpartition("-")
        templates = (RETRIED, IMPLEMENTATION) if self.retried else (IMPLEMENTATION, RETRIED)
        return (*(f"{workflow}-{template}-{number}" for template in templates), self.id)


def executors(step: str, children: Collection[str], ids: Collection[str]) -> list[Node]:
    """Nodes that run a step's code, last attempt first.

    Args:
        step: Name of the step.
        children: Ids of the step's child nodes; may include nodes of later steps.
        ids: Ids of all nodes of the run that the API returns.
    """
    known = set(ids)
    mine = [child for child in children if _other(child, f"{step}.executor", f"{step}-driver") in known] or list(children)
    return [node for child in mine for node in _attempts(child, known)]


def node_id(workflow: str, *path: str) -> str:
    """Id of a workflow's node, from its path."""
    return f"{workflow}-{_hash('.'.join((workflow, *path)))}"


def _attempts(node: str, ids: Collection[str]) -> list[Node]:
    """Known attempts of a node, last first; the node itself if there are none."""
    attempts = [_other(node, "", f"({number})") for number in range(ATTEMPTS)]
    return [Node(one, retried=True) for one in reversed(attempts) if one and one in ids] or [Node(node)]


def _other(node: str, ending: str, instead: str) -> str:
    """Id of the node whose name has `instead` in place of `ending`; unchanged if it is not an Argo id."""
    workflow, _, number = node.rpartition("-")
    if not number.isdecimal():
        return node if ending == instead else ""
    state = int(number)
    for byte in reversed(ending.encode()):
        state = state * _INVERSE % _MODULUS ^ byte
    return f"{workflow}-{_hash(instead, state)}"


def _hash(text: str, state: int = _START) -> int:
    for byte in text.encode():
        state = (state ^ byte) * _PRIME % _MODULUS
    return state
