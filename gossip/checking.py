"""Form and signature of many records, checked by a process of its own: what a new node spends most of its time on.

Run as `python -P -m gossip.checking`, which imports little and so takes little memory. It reads a frame, an array of
records as they travel, and answers with an array: nothing for a good one, else the error's name and message. A frame is
four bytes of length and msgpack. It ends with its input.
"""

import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

import msgspec

from gossip.record import BadField, BadSignature, NotCanonical, RecordError, TooLarge, parse, verify

LENGTH_BYTES: Final = 4
ERRORS: Final = {error.__name__: error for error in (TooLarge, NotCanonical, BadField, BadSignature)}

Verdict = tuple[str, str] | None


def look(raws: Sequence[bytes]) -> list[Verdict]:
    """Of each record's bytes: None, or the name and the message of the error that they raise."""
    return [_look(raw) for raw in raws]


def error_of(verdict: Verdict) -> RecordError | None:
    """The error that a verdict tells of."""
    return ERRORS[verdict[0]](verdict[1]) if verdict else None


def framed(value: object) -> bytes:
    """A frame."""
    packed = msgspec.msgpack.encode(value)
    return len(packed).to_bytes(LENGTH_BYTES, "big") + packed


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the input ends."""
    while head := asked.read(LENGTH_BYTES):
        raws = msgspec.msgpack.decode(asked.read(int.from_bytes(head, "big")), type=list[bytes])
        answers.write(framed(look(raws)))
        answers.flush()


def _look(raw: bytes) -> Verdict:
    try:
        verify(parse(raw))
    except RecordError as error:
        return type(error).__name__, str(error)
    return None


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
