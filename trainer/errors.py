"""The trainer's exceptions. A message says what happened, where, and what to do about it."""

from typing import Literal, TypeAlias

Obstacle: TypeAlias = Literal["missing", "old", "namespaces", "leaks", "other"]
"""What keeps a sandbox away: not installed, too old, no namespaces allowed, attacks got through, or something else."""


class TrainerError(Exception):
    """Anything that the trainer refuses to do; the message is meant for a person."""


class TaskError(TrainerError):
    """A task file, or the program folder it names, is missing or wrong."""


class KnobError(TrainerError):
    """A knob does not exist, or was given a value outside its type or range."""


class RecipeError(TrainerError):
    """A recipe does not have the shape of one, or does not fit the task."""


class DataError(TrainerError):
    """A task's data could not be prepared, or is not the data the task names."""


class DeviceError(TrainerError):
    """A task's program is for devices that this machine does not have."""


class SandboxError(TrainerError):
    """Programs cannot be locked in on this machine; `obstacle` is what a program can know of the reason."""

    def __init__(self, message: str, obstacle: Obstacle = "other") -> None:
        super().__init__(message)
        self.obstacle = obstacle
