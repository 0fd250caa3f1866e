"""Sizes of files as people write and read them: "5GB", "750 MB"."""

import re

UNITS = {"B": 1} | {
    f"{prefix}{ending}": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for ending, base in (("B", 1000), ("iB", 1024))
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]+)")


def parse_size(text: str) -> int:
    """ "5GB", "1.5 GiB" → bytes; "0" for no limit is 0.

    Raises:
        ValueError: anything else, a number without a unit too.
    """
    if text.strip() == "0":
        return 0
    units = {unit.casefold(): factor for unit, factor in UNITS.items()}
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].casefold() not in units:
        raise ValueError(
            f"the size {text[:40]!r} is not understood; write it like 5GB, 750MB or 2GiB, or 0 for no limit"
        )
    size = int(float(match[1]) * units[match[2].casefold()])
    if size == 0:
        raise ValueError(f"the size {text[:40]!r} is less than a byte; write 0 for no limit")
    return size


def shown_size(size: int) -> str:
    """Bytes as people read them, to three digits: "5 GB", "412 MB"."""
    power = min(int(f"{size:.2e}".partition("e")[2]) // 3, 4)
    return f"{size / 1000**power:.3g} {'kB' if power == 1 else ('B', '', 'MB', 'GB', 'TB')[power]}"
