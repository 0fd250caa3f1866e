"""What is said of a failure, and what is done so that the next edit does not suffer from it."""

import gc
import logging
import sys

from mmdit.families.machine import ran_out_of_memory

log = logging.getLogger(__name__)


def sentence(error: BaseException) -> str:
    """What went wrong in one line; what is not the asker's to mend goes to the log in full."""
    first_line = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, ValueError):  # EditError and ImageError are, and say all that is needed
        return first_line
    log.error("the editor failed", exc_info=error)
    if ran_out_of_memory(error):
        return "the memory ran out; work at a smaller resolution, or close other programs"
    if isinstance(error, OSError):
        return f"a file could not be read or written: {first_line}"
    return f"something unexpected happened: {first_line} ({type(error).__name__}); the log has the details"


def free_memory() -> None:
    """Give back what nothing holds any more; call it where the failure's own frames are gone. Never raises."""
    gc.collect()
    torch = sys.modules.get("torch")  # nothing to free where it was never needed
    try:
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
    except RuntimeError as error:  # as after a fault of the GPU
        log.error("memory could not be freed", exc_info=error)
