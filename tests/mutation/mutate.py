"""The mutants of a module: Cosmic Ray's operators, as far as each changes what is decided, and two of our own.

Left out are mutants of annotations and decorators, and those that differ from another only in how wrong they are: a comparison
becomes its negation and moves its boundary by one, and does not become each of six others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

import parso
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider

_COMPARISONS = (
    "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "LtE_Gt", "Gt_LtE", "GtE_Lt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot",
    "IsNot_Is",
)  # fmt: skip
_BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr")
_UNARY = ("Delete_Not", "Delete_USub", "Delete_Invert")
_OTHERS = (
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop",
)  # fmt: skip
NAMES = (
    *(f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS), *(f"ReplaceBinaryOperator_{name}" for name in _BINARY),
    *(f"ReplaceUnaryOperator_{name}" for name in _UNARY), *_OTHERS,
)  # fmt: skip
_SEPARATING = ("parameters", "param", "argument", "star_expr", "lambdef")  # where a star is no multiplication
_LOGGING = ("logs.", "_log.", "logging.")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed module.

    Attributes:
        line: Where the change begins.
        change: The lines that differ, before and after.
    """

    path: str
    operator: str
    line: int
    change: str
    source: str


class MembershipReplacer(Operator):
    """`in` becomes `not in` and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "comparison" and _membership(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = parso.parse(" not in" if _membership(node) == "in" else " in")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class StatementRemover(Operator):
    """A call, a raise, or an assignment to a part of something becomes nothing; what only logs is left alone."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and _has_effect(node.children[0]) and not node.get_code().strip().startswith(_LOGGING):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = parso.parse(node.children[0].get_first_leaf().prefix + "pass")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of a module's source, each text once."""
    provider = OperatorProvider()
    operators = {name: provider[name]() for name in NAMES} | {
        "MembershipReplacer": MembershipReplacer(), "StatementRemover": StatementRemover(),
    }  # fmt: skip
    found: dict[str, Mutant] = {}
    passed_over = list(_passed_over(get_ast(source)))
    for name, operator in operators.items():
        for occurrence, start in enumerate(_positions(get_ast(source), operator)):
            if any(first <= start < last for first, last in passed_over):
                continue
            changed = mutate_code(source, operator, occurrence)
            if changed is not None and changed != source:
                found.setdefault(changed, Mutant(path, name, start[0], _change(source, changed), changed))
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.operator, mutant.change))


def _positions(node: Any, operator: Operator) -> Iterator[tuple[int, int]]:
    for start, _ in operator.mutation_positions(node):
        yield start
    for child in getattr(node, "children", ()):
        yield from _positions(child, operator)


def _passed_over(node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where annotations, decorators and the stars of parameters stand."""
    if node.type in {"tfpdef", "decorator"}:
        yield node.start_pos, node.end_pos
    if node.type == "operator" and node.parent.type in _SEPARATING:
        yield node.start_pos, node.end_pos
    if node.type == "annassign":
        yield node.children[1].start_pos, node.children[1].end_pos
    if node.type == "funcdef" and node.annotation is not None:
        yield node.annotation.start_pos, node.annotation.end_pos
    for child in getattr(node, "children", ()):
        yield from _passed_over(child)


def _membership(node: Any) -> str:
    sign = " ".join(node.children[1].get_code().split())
    return sign if sign in {"in", "not in"} else ""


def _has_effect(statement: Any) -> bool:
    if statement.type in {"raise_stmt", "del_stmt"} or (statement.type == "keyword" and statement.value == "raise"):
        return True
    if statement.type in {"atom_expr", "power"}:
        return statement.children[-1].type == "trailer" and statement.children[-1].children[0].value == "("
    if statement.type != "expr_stmt":
        return False
    target, sign = statement.children[0], statement.children[1]
    return target.type in {"atom_expr", "power"} or (sign.type == "operator" and sign.value != "=")


def _change(before: str, after: str) -> str:
    lines = [line for line in unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="") if line[:1] in "+-"]
    return "\n".join(line[0] + " " + line[1:].strip() for line in lines[2:])
