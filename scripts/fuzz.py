"""Look for bytes of strangers that raise something else than a named error.

    python scripts/fuzz.py [SECONDS] [TARGET ...]

Each target of tests/fuzz.py gets an equal part of SECONDS (60 unless told otherwise), in a process of its own, since
atheris ends its process at the first find and says which bytes it was.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def one(target: str, seconds: int, corpus: str) -> None:
    """Fuzz one target in this process. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["gossip", "agent", "msgpack", "multiaddr"]):
        from tests import fuzz, test_fuzz
    seeds = {
        "record": test_fuzz.TRUE_RECORD,
        "reconciliation": test_fuzz.TRUE_MESSAGE,
        "packed_text": test_fuzz.TRUE_TEXT,
    }
    Path(corpus, "seed").write_bytes(seeds.get(target, b"\x80"))
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=1024", f"-artifact_prefix={ROOT}/crash-"]
    atheris.Setup([sys.argv[0], *options, corpus], fuzz.TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    from tests.fuzz import TARGETS

    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    targets = sys.argv[2:] or list(TARGETS)
    failed = []
    for target in targets:
        with tempfile.TemporaryDirectory() as corpus:
            command = [sys.executable, __file__, "--one", target, str(max(1, seconds // len(targets))), corpus]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = run.stderr.splitlines()
        done = [line for line in lines if line.startswith("Done")]
        print(f"{target}: {done[0] if done and not run.returncode else 'FOUND SOMETHING'}", flush=True)
        if run.returncode:
            failed.append(target)
            print("\n".join(lines[-40:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
