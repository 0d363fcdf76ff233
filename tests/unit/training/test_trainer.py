"""The one loop of early stopping: which epoch's weights are kept, and after which epoch it stops."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from stagewright.components.runtime.errors import InputError
from stagewright.components.training.trainer import History, Trainer

NAN = math.nan


def run(losses: Sequence[float], patience: int | None) -> tuple[History, float]:
    """The history, and the weight that is kept: the number of the epoch that set it. A buffer is set alike."""
    network = nn.Linear(1, 1)
    network.register_buffer("seen", torch.zeros(1))
    passed: list[int] = []

    def train_epoch() -> float:
        passed.append(len(passed) + 1)
        nn.init.constant_(network.weight, passed[-1])
        network.seen.fill_(passed[-1])  # type: ignore[operator]
        return 10.0 * passed[-1]

    history = Trainer(network, len(losses), patience, "training torch").run(train_epoch, lambda: losses[passed[-1] - 1])
    assert network.seen.item() == network.weight.item()  # type: ignore[operator]
    return history, network.weight.item()


@pytest.mark.parametrize(
    ("losses", "patience", "best", "epochs"),
    [
        ([3, 1, 2, 2, 0], 2, 2, 4),  # two epochs in a row without a lower loss: the last, lower one is never reached
        ([3, 1, 2, 0, 2], 2, 4, 5),  # one fewer: the count starts again
        ([3, 1, 2, 2, 0], 3, 5, 5),
        ([1, 2, 3, 0], 2, 1, 3),  # the first epoch is the best
        ([1, 2, 0], 1, 1, 2),
        ([2, 1, 1, 1, 0], 2, 2, 4),  # an equal loss is not lower: the earliest is kept and the patience is used up
        ([2, 1, 2, 3, 4, 5], None, 2, 6),  # never stops early, and still keeps the best
        ([2, 1, 1], None, 2, 3),
        ([3, 2, 1], None, 3, 3),
        ([5], 1, 1, 1),
        ([NAN, 4, NAN, 3], 2, 4, 4),  # not a number is no improvement, and does not end the run before the patience does
        ([4, NAN, NAN, 3], 2, 1, 3),
    ],
)
def test_the_best_epoch_is_kept(losses: list[float], patience: int | None, best: int, epochs: int) -> None:
    history, weight = run(losses, patience)

    assert (history.best_epoch, weight) == (best, best)
    assert history.train == tuple(10.0 * epoch for epoch in range(1, epochs + 1))
    assert history.validation == pytest.approx(losses[:epochs], nan_ok=True)


@pytest.mark.parametrize("patience", [2, None])
@pytest.mark.parametrize("loss", [NAN, math.inf])
def test_a_loss_that_is_never_finite_is_an_error(loss: float, patience: int | None) -> None:
    with pytest.raises(InputError, match=r"training torch diverged: the loss is not a number; lower params\.learning_rate"):
        run([loss, loss, loss], patience)
