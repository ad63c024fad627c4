"""The knobs of the two verdict procedures, in one place; every logged result names the values it was made with."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Settings:
    """Reliable paired comparison (Wang and Zhang 2023, BREC) with the values of its released code.

    Args:
        channels: output width d of the model.
        copies: relabelled copies q of each graph.
        couples: couples (one copy of each graph) in a batch; a batch is never split across a couple.
        epochs: at most so many passes over the copies.
        learning_rate, weight_decay: of Adam.
        margin: of the cosine embedding loss, whose target is -1.
        loss_stop: stop once the mean loss of an epoch is below.
        threshold: Hotelling's bound at d = 16, q = 32: (q - 1) d / (q - d) F_0.95(d, q - d).
        ridge: added to the diagonal of the covariance by the verdict `rpc_eps`.
        close: absolute tolerance within which T2 counts as close to T2_rel.
        max_nodes: a batch with more nodes (after the model's transform) is run in chunks of whole couples, and the
            gradients are added up: the same step for any model that treats the graphs of a batch independently.

    Raises:
        ValueError: a count is not positive, or there are not more copies than channels.

    >>> Settings().threshold
    72.34
    """

    channels: int = 16
    copies: int = 32
    couples: int = 8
    epochs: int = 20
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    margin: float = 0.0
    loss_stop: float = 0.2
    threshold: float = 72.34
    ridge: float = 1e-7
    close: float = 1e-6
    max_nodes: int = 16_384

    def __post_init__(self) -> None:
        for name in ("channels", "copies", "couples", "max_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}")
        if self.epochs < 0:
            raise ValueError(f"`epochs` must not be negative, got {self.epochs}")
        if self.copies <= self.channels:
            raise ValueError(
                f"`copies` must exceed `channels`, got {self.copies} and {self.channels}: the statistic is singular"
            )

    def as_dict(self) -> dict[str, int | float]:
        """All knobs, for the log."""
        return asdict(self)


@dataclass(frozen=True)
class ExactSettings:
    """The verdict `exact`: no training, float64; the gap between two graphs against the spread over one graph's copies.

    Args:
        channels: output width d of the model.
        copies: relabelled copies of each graph.
        seeds: one draw of the weights each; the graphs are separated if one draw separates them.
        ratio: the gap must exceed `ratio` times the largest spread within one graph's copies ...
        floor: ... and `floor` times the outputs' scale. A spread above `floor` times the scale is a reliability failure.
        max_nodes: nodes of one batch.

    >>> ExactSettings().copies
    8
    """

    channels: int = 16
    copies: int = 8
    seeds: tuple[int, ...] = (100, 200, 300)
    ratio: float = 1e3
    floor: float = 1e-9
    max_nodes: int = 60_000
