"""Training by epochs with early stopping, the same for every network: the weights of the best epoch are kept."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.progress import progress


@dataclass(frozen=True, slots=True)
class History:
    """The mean losses of the epochs that ran, in order.

    Attributes:
        best_epoch: Number of the epoch with the lowest validation loss, counted from 1; the earliest of equals.
    """

    train: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains a network epoch by epoch and sets the weights of the best epoch at the end.

    Attributes:
        network: Its weights and buffers are what is kept.
        max_epochs: Number of epochs without early stopping.
        patience: Stop after this many epochs in a row without a lower validation loss; None trains all epochs.
        title: Subject of the progress bar and of the error, such as "training torch".
    """

    network: nn.Module
    max_epochs: int
    patience: int | None
    title: str

    def run(self, train_epoch: Callable[[], float], validation_loss: Callable[[], float]) -> History:
        """Train the network; it has the weights of the best epoch afterwards, whether it stopped early or not.

        Args:
            train_epoch: Trains one epoch and returns its mean loss.
            validation_loss: Returns the mean validation loss of the network as it is.

        Raises:
            InputError: If no epoch has a finite validation loss.
        """
        train: list[float] = []
        validation: list[float] = []
        best_epoch, lowest, weights = 0, float("inf"), None
        with progress(self.title, total=self.max_epochs, unit="epochs") as advance:
            for epoch in range(1, self.max_epochs + 1):
                train.append(train_epoch())
                validation.append(validation_loss())
                advance()
                if validation[-1] < lowest:
                    best_epoch, lowest = epoch, validation[-1]
                    weights = {name: value.detach().to("cpu", copy=True) for name, value in self.network.state_dict().items()}
                elif self.patience is not None and epoch - best_epoch >= self.patience:
                    break
        if weights is None:
            raise InputError(f"{self.title} diverged: the loss is not a number; lower params.learning_rate")
        self.network.load_state_dict(weights)
        return History(tuple(train), tuple(validation), best_epoch)
