"""Files that appear whole or not at all."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAMED_BY = 50  # last characters of a file's name that the hidden one has; all of them could be too many for a name


@contextmanager
def appearing(file: str | Path) -> Iterator[Path]:
    """A hidden path beside a file, this thread's own; the file is replaced by what is there when the context ends well,
    and stays as it was otherwise.
    """
    file = Path(file)
    partial = _hidden(file)
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def check_appearing(file: Path) -> None:
    """Try whether a file could appear: permissions alone do not tell for every user and file system.

    Raises:
        OSError: it could not; what is there stays as it is.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(file.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    partial = _hidden(file)
    try:
        partial.touch()
    finally:
        partial.unlink(missing_ok=True)


def _hidden(file: Path) -> Path:
    return file.with_name(f".{file.name[-NAMED_BY:]}.{os.getpid()}-{threading.get_ident()}.partial")
