"""How much of the machine a node takes: this process and all that it starts, its trials among them."""

import os
import sys

import psutil

from trainer.device import own_cores


def take_share(nice: int, cores: int | None) -> None:
    """Give way to other programs (0 to 19, as `nice` does), and keep to so many of the cores that there are.

    cores: None for all; only Linux can be told.
    """
    if nice:
        psutil.Process().nice(nice)
    if cores is not None and sys.platform == "linux":
        os.sched_setaffinity(0, own_cores()[:cores])
