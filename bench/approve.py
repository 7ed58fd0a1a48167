"""In the place of a process that checks records (gossip/checking.py): says yes unread. For bench/sync.py."""

import sys

import msgspec

from gossip.checking import LENGTH_BYTES, framed


def main() -> None:
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        raws = msgspec.msgpack.decode(sys.stdin.buffer.read(int.from_bytes(head, "big")), type=list[bytes])
        sys.stdout.buffer.write(framed([None] * len(raws)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
