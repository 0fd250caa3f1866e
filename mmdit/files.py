"""Files that appear whole or not at all."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(file: str | Path) -> Iterator[Path]:
    """A hidden path beside a file, this thread's own; the file is replaced by what is there when the context ends well,
    and stays as it was otherwise.
    """
    file = Path(file)
    partial = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
