from numpy import ndarray

def add(
    nodes: ndarray, values: ndarray, trees: ndarray, width: int, features: ndarray, rows: int, columns: int,
    sums: ndarray, outputs: int,
) -> None: ...  # fmt: skip
def finish(sums: ndarray, rows: int, base: ndarray, outputs: int, divisor: float, kind: int, answers: ndarray) -> None: ...
