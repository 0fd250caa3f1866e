"""The samplers on a flow whose exact solution is known.

Data N(mean, spread²): the posterior mean of x given x_t is linear in x_t, and the flow's ODE carries noise z to
mean + spread · z.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmdit.model.sampling import SOLVERS, sample, timesteps

MEAN, SPREAD = 0.4, 0.3
NOISE = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
EXACT = MEAN + SPREAD * NOISE


def posterior_mean(noisy: Tensor, t: float) -> Tensor:
    variance = ((1 - t) * SPREAD) ** 2 + t**2
    return MEAN + (1 - t) * SPREAD**2 / variance * (noisy - (1 - t) * MEAN)


def error(steps: int, solver: str) -> float:
    return (sample(posterior_mean, NOISE, steps, solver) - EXACT).abs().max().item()


def test_eulers_error_halves_with_twice_the_steps() -> None:
    errors = [error(steps, "euler") for steps in (64, 128, 256, 512)]
    for coarse, fine in itertools.pairwise(errors):
        assert 1.8 < coarse / fine < 2.2


@pytest.mark.parametrize("steps", [8, 16, 32, 64, 128])
def test_the_multistep_solver_is_closer_than_euler(steps: int) -> None:
    assert error(steps, "dpm++2m") < 0.75 * error(steps, "euler")


def test_the_multistep_solver_follows_the_papers_formula() -> None:
    """Algorithm 2 of DPM-Solver++, in its exponential form; first order in the first two steps and the last."""
    times = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    x, estimates = NOISE.clone(), []
    for index, (now, after) in enumerate(itertools.pairwise(times)):
        estimates.append(posterior_mean(x, now))
        if now == 1.0 or after == 0.0:  # λ is −∞ or ∞
            x = after * x + (1 - after) * estimates[-1] if now == 1.0 else estimates[-1]
            continue
        log_snr = {t: math.log((1 - t) / t) for t in (times[index - 1], now, after) if t < 1}
        h = log_snr[after] - log_snr[now]
        aim = estimates[-1]
        if times[index - 1] in log_snr:
            r = (log_snr[now] - log_snr[times[index - 1]]) / h
            aim = (1 + 1 / (2 * r)) * estimates[-1] - 1 / (2 * r) * estimates[-2]
        x = after / now * x - (1 - after) * math.expm1(-h) * aim
    torch.testing.assert_close(sample(posterior_mean, NOISE, 5, "dpm++2m"), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_step_gives_the_estimate_from_noise(solver: str) -> None:
    assert torch.equal(sample(posterior_mean, NOISE, 1, solver), posterior_mean(NOISE, 1.0))


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_constant_estimate_is_reached_exactly(solver: str, steps: int) -> None:
    goal = torch.tensor([0.1, -0.7, 0.3])
    assert torch.equal(sample(lambda noisy, t: goal, torch.randn(3), steps, solver), goal)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_estimate_is_asked_once_a_step_at_falling_times(solver: str) -> None:
    asked = []

    def estimate(noisy: Tensor, t: float) -> Tensor:
        asked.append(t)
        return posterior_mean(noisy, t)

    sample(estimate, NOISE, 5, solver)
    assert asked == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_last_estimate_is_the_result(solver: str) -> None:
    estimates = []
    result = sample(posterior_mean, NOISE, 6, solver, lambda done, clean: estimates.append(clean))
    assert torch.equal(result, estimates[-1])


def test_on_step_counts_from_one_to_the_last_step() -> None:
    counted = []
    sample(posterior_mean, NOISE, 4, on_step=lambda done, clean: counted.append((done, clean.shape)))
    assert counted == [(done, NOISE.shape) for done in (1, 2, 3, 4)]


def test_what_on_step_raises_ends_the_sampling() -> None:
    class EnoughError(Exception):
        pass

    asked = []

    def estimate(noisy: Tensor, t: float) -> Tensor:
        asked.append(t)
        return noisy

    def stop_at_two(done: int, clean: Tensor) -> None:
        if done == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        sample(estimate, NOISE, 10, on_step=stop_at_two)
    assert len(asked) == 2


def test_noise_is_left_as_it_was() -> None:
    noise = NOISE.clone()
    sample(posterior_mean, noise, 3, "dpm++2m")
    assert torch.equal(noise, NOISE)


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_below_one_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps is {steps}"):
        sample(posterior_mean, NOISE, steps)


def test_an_unknown_solver_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'heun'.*euler.*dpm\+\+2m"):
        sample(posterior_mean, NOISE, 2, "heun")


def test_timesteps_are_even_from_one_to_zero() -> None:
    assert timesteps(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
