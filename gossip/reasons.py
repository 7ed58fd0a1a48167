"""What went wrong, told by an exception: in one line for a person, and without the groups that it came in.

By itself, so that a process that only checks records (gossip/checking.py) need not hold trio in memory.
"""


def reason_of(error: BaseException) -> str:
    """One line for a person: the exceptions inside groups, each once, by type and message."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys("; ".join(map(reason_of, error.exceptions)).split("; ")))
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def alone(error: BaseException) -> BaseException:
    """The exception inside groups of one; what a nursery wrapped, as its cause raised it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
