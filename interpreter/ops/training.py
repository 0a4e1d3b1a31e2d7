"""One step of an optimiser: Adam, Adagrad, Momentum.

The inputs behind R and T come in groups, one tensor of each optimised variable
in a group: X, G, then the optimiser's states; the outputs likewise, without G.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..registry import op
from ..types import Array

DOMAIN = "ai.onnx.preview.training"


def _each(
    inputs: tuple[Array, ...], group_count: int, update: Callable[..., tuple[Array, ...]]
) -> tuple[Array, ...]:
    """Apply ``update`` to the tensors of each variable, and put the results in groups again."""
    count, rest = divmod(len(inputs), group_count)
    if rest or not count:
        raise ValueError(
            f"behind R and T there must be {group_count} inputs for each variable, and there are "
            f"{len(inputs)}"
        )
    results = [update(*inputs[variable::count]) for variable in range(count)]
    return tuple(result for group in zip(*results, strict=True) for result in group)


@op("Adam", since=1, domain=DOMAIN)
def adam(
    R: Array,
    T: Array,
    *inputs: Array,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Array, ...]:
    """X, G, V, H → new X, V, H.

    G' = norm_coefficient·X + G, V = alpha·V + (1 - alpha)·G', H = beta·H + (1 - beta)·G'²,
    X = (1 - norm_coefficient_post)·(X - R'·V / (√H + epsilon)), where
    R' = R·√(1 - beta^T) / (1 - alpha^T), and R at T = 0.
    """
    rate, t = float(R.item()), int(T.item())
    if t > 0:
        rate *= (1 - beta**t) ** 0.5 / (1 - alpha**t)

    def update(X: Array, G: Array, V: Array, H: Array) -> tuple[Array, ...]:
        G = norm_coefficient * X + G
        V = alpha * V + (1 - alpha) * G
        H = beta * H + (1 - beta) * G * G
        X = X - rate * V / (np.sqrt(H) + epsilon)
        return (1 - norm_coefficient_post) * X, V, H

    return _each(inputs, 4, update)


@op("Adagrad", since=1, domain=DOMAIN)
def adagrad(
    R: Array,
    T: Array,
    *inputs: Array,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
) -> tuple[Array, ...]:
    """X, G, H → new X, H: G' = norm_coefficient·X + G, H = H + G'²,
    X = X - R / (1 + T·decay_factor)·G' / (√H + epsilon)."""
    rate = float(R.item()) / (1 + int(T.item()) * decay_factor)

    def update(X: Array, G: Array, H: Array) -> tuple[Array, ...]:
        G = norm_coefficient * X + G
        H = H + G * G
        return X - rate * G / (np.sqrt(H) + epsilon), H

    return _each(inputs, 3, update)


@op("Momentum", since=1, domain=DOMAIN)
def momentum(
    R: Array,
    T: Array,
    *inputs: Array,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Array, ...]:
    """X, G, V → new X, V: G' = norm_coefficient·X + G, V = alpha·V + beta·G' (beta is 1 at T = 0),
    X = X - R·V, or for the mode "nesterov" X - R·(G' + alpha·V)."""
    if mode not in ("standard", "nesterov"):
        raise ValueError(f"mode must be standard or nesterov, and is {mode!r}")
    rate = float(R.item())
    scale = beta if T.item() > 0 else 1.0

    def update(X: Array, G: Array, V: Array) -> tuple[Array, ...]:
        G = norm_coefficient * X + G
        V = alpha * V + scale * G
        return X - rate * (G + alpha * V if mode == "nesterov" else V), V

    return _each(inputs, 3, update)
