"""From noise to a picture along a rectified flow.

The path is x_t = (1 − t) · x + t · noise, t from 1 to 0 (Liu et al. 2022, arXiv 2209.03003). Knows nothing of the
model but that it estimates the finished picture x from x_t.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Solver = Literal["euler", "dpm++2m"]
SOLVERS: tuple[Solver, ...] = ("euler", "dpm++2m")


def timesteps(steps: int) -> list[float]:
    """steps + 1 evenly spaced times from 1 to 0. Raises ValueError when steps < 1."""
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    return torch.linspace(1.0, 0.0, steps + 1).tolist()


def sample(
    estimate: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    steps: int,
    solver: Solver = "euler",
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate the flow from noise to a picture.

    Args:
        estimate: (x_t, t) → the model's estimate of x; called once a step.
        noise: x_1, any shape.
        steps: at least 1. With 1 the result is the estimate from noise alone.
        solver: "euler"; or "dpm++2m", which extrapolates from the last two estimates (Lu et al. 2022,
            arXiv 2211.01095, algorithm 2, for σ = t and α = 1 − t).
        on_step: called after each step with (steps done, the estimate). What it raises ends the sampling.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver is {solver!r}; use one of {', '.join(SOLVERS)}")
    times = timesteps(steps)
    x, previous = noise, None
    for index, (now, after) in enumerate(pairwise(times)):
        clean = estimate(x, now)
        aim = clean
        if solver == "dpm++2m" and 0 < index < steps - 1:
            aim = _extrapolated(clean, previous, times[index - 1], now, after)
        x = torch.lerp(aim, x, after / now)  # exact for a constant estimate
        previous = clean
        if on_step is not None:
            on_step(index + 1, clean)
    return x


def _half_log_snr(t: float) -> float:
    """λ = log(α / σ) = log((1 − t) / t)."""
    return math.log((1 - t) / t)


def _extrapolated(clean: Tensor, previous: Tensor, before: float, now: float, after: float) -> Tensor:
    """The second-order estimate; the first-order one where the last step began at t = 1, λ = −∞."""
    if before >= 1.0:
        return clean
    ratio = (_half_log_snr(now) - _half_log_snr(before)) / (_half_log_snr(after) - _half_log_snr(now))
    return torch.lerp(previous, clean, 1 + 1 / (2 * ratio))
