"""How every benchmark prints: one line per figure, median and spread."""

import statistics
from collections.abc import Sequence

from trainer.device import detect


def figure(name: str, unit: str, values: Sequence[float]) -> str:
    """`name: median unit (median of n; least to greatest)`."""
    middle, least, greatest = statistics.median(values), min(values), max(values)
    return f"{name}: {middle:.4g} {unit} (median of {len(values)}; {least:.4g} to {greatest:.4g})"


def machine() -> str:
    """The line that says where the figures are from."""
    here = detect()
    return f"machine: {here.name}, {here.cores} cores, torch {here.torch}, Python {here.software['python']}"
