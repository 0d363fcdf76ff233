"""Names that Argo Workflows gives to what a run is made of: nodes, the attempts of a step that is retried, and their pods.

A node's id is the workflow's name and a hash (FNV-1a, 32 bits) of the node's own name, which is a path:
`WORKFLOW.root.STEP.executor`, and with an attempt's number behind it, `(0)`, where Kubeflow retries the step. Kubeflow's API
tells ids and not names. But this hash is made byte by byte: from an id's hash follow those of longer names and, as every byte
can be taken back, those of shorter ones.
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
        retried: Whether it is one of the attempts of a step.
    """

    id: str
    retried: bool = False

    @property
    def pods(self) -> tuple[str, ...]:
        """What its pod may be called, the likeliest first; Argo before 3.4 called it as the node."""
        workflow, _, number = self.id.rpartition("-")
        templates = (RETRIED, IMPLEMENTATION) if self.retried else (IMPLEMENTATION, RETRIED)
        return (*(f"{workflow}-{template}-{number}" for template in templates), self.id)


def executors(step: str, children: Collection[str], ids: Collection[str]) -> list[Node]:
    """The nodes in which a step's code runs, the last attempt first.

    Args:
        step: Name of the step.
        children: Ids of the nodes below the step's own; nodes of later steps may be among them.
        ids: Ids of all the run's nodes that the API tells of.
    """
    known = set(ids)
    mine = [child for child in children if _other(child, f"{step}.executor", f"{step}-driver") in known] or list(children)
    return [node for child in mine for node in _attempts(child, known)]


def node_id(workflow: str, *path: str) -> str:
    """The id of a node of a workflow, by its path."""
    return f"{workflow}-{_hash('.'.join((workflow, *path)))}"


def _attempts(node: str, ids: Collection[str]) -> list[Node]:
    """A node's attempts that are known, the last first; itself if it has none."""
    attempts = [_other(node, "", f"({number})") for number in range(ATTEMPTS)]
    return [Node(one, retried=True) for one in reversed(attempts) if one and one in ids] or [Node(node)]


def _other(node: str, ending: str, instead: str) -> str:
    """The id of the node whose name has another ending; the same one if it is no id of Argo's."""
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
