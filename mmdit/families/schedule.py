"""Another noise schedule for one edit, as LoRAs that make a model faster were trained on."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import DiffusionPipeline


@contextmanager
def shifted(pipeline: DiffusionPipeline, shift: float | None) -> Iterator[None]:
    """Within it the pipeline's σ follow s·t / (1 + (s − 1)·t), whatever the size of the picture.

    A scheduler that shifts by size gets e^μ = s at every size; the σ are not stretched to a last one of its own then.
    (Esser et al. 2024, "Scaling Rectified Flow Transformers", equation 23.)

    Args:
        shift: s; None leaves the schedule as it is.
    """
    own = pipeline.scheduler
    if shift is not None:
        by_size = {
            "base_shift": math.log(shift), "max_shift": math.log(shift),
            "time_shift_type": "exponential", "shift_terminal": None,
        }  # fmt: skip
        changes = by_size if own.config.use_dynamic_shifting else {"shift": shift}
        pipeline.scheduler = type(own).from_config(own.config, **changes)
    try:
        yield
    finally:
        pipeline.scheduler = own
