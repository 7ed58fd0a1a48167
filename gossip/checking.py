"""Form, signature and body of many records, checked by a process of its own: what a new node spends most time on.

Run as `python -P -m gossip.checking MODULE:FUNCTION`, the function being the node's check of a body, which decides how
much has to be imported. It reads a frame, an array of records as they travel, and answers with an array: nothing for a
good one, else the error's name and message. A frame is four bytes of length and msgpack. It ends with its input.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import BinaryIO, Final

import msgspec

from gossip.reasons import reason_of
from gossip.record import BadField, BadSignature, NotCanonical, Record, RecordError, TooLarge, parse, verify


class BodyRefused(RecordError):
    """The node's check does not accept the body of a record that is sound otherwise."""


LENGTH_BYTES: Final = 4
ERRORS: Final = {error.__name__: error for error in (TooLarge, NotCanonical, BadField, BadSignature, BodyRefused)}

Check = Callable[[Record], None]
Verdict = tuple[str, str] | None


def look(raws: Sequence[bytes], check: Check) -> list[Verdict]:
    """Of each record's bytes: None, or the name and the message of the error that they raise."""
    return [_look(raw, check) for raw in raws]


def check_body(record: Record, check: Check) -> None:
    """Raise BodyRefused for a body that `check` does not accept, or cannot cope with."""
    try:
        check(record)
    except RecordError as error:
        raise BodyRefused(str(error)) from error
    except Exception as error:
        raise BodyRefused(f"the node's check failed ({reason_of(error)})") from error


def name_of(check: Check) -> str | None:
    """MODULE:FUNCTION, if another process can import it by that."""
    module = sys.modules.get(check.__module__)
    importable = check.__module__ != "__main__" and getattr(module, check.__qualname__, None) is check
    return f"{check.__module__}:{check.__qualname__}" if importable else None


def error_of(verdict: Verdict) -> RecordError | None:
    """The error that a verdict tells of."""
    return ERRORS[verdict[0]](verdict[1]) if verdict else None


def framed(value: object) -> bytes:
    """A frame."""
    packed = msgspec.msgpack.encode(value)
    return len(packed).to_bytes(LENGTH_BYTES, "big") + packed


def serve(check: Check, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the input ends."""
    while head := asked.read(LENGTH_BYTES):
        raws = msgspec.msgpack.decode(asked.read(int.from_bytes(head, "big")), type=list[bytes])
        answers.write(framed(look(raws, check)))
        answers.flush()


def _look(raw: bytes, check: Check) -> Verdict:
    try:
        record = parse(raw)
        verify(record)
        check_body(record, check)
    except RecordError as error:
        return type(error).__name__, str(error)
    return None


def main() -> None:
    module, function = sys.argv[1].split(":")
    serve(getattr(import_module(module), function), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
