from typing_extensions import Buffer

def add(
    nodes: Buffer,
    values: Buffer,
    trees: Buffer,
    width: int,
    features: Buffer,
    rows: int,
    columns: int,
    sums: Buffer,
    outputs: int,
) -> None: ...
