"""A node's process stays light: what trials need is not loaded in it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "optuna", "litellm", "numpy", "sqlalchemy", "tokenizers", "matplotlib", "pyarrow")


def test_a_relaying_node_loads_no_machine_learning(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "node.cli", "--home", str(tmp_path / "home"), "join"]
    command += ["--json", "--no-research", "--listen", "/ip4/127.0.0.1/tcp/0", "--swarm", "light"]
    with (tmp_path / "imports").open("w+") as imports:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=imports, text=True) as process:
            assert process.stdout is not None
            events = map(json.loads, process.stdout)
            assert next(event for event in events if event["event"] == "listening")
            process.send_signal(signal.SIGTERM)
            assert next(event for event in events if event["event"] == "stopped")
        imports.seek(0)
        loaded = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in imports}
    assert {"libp2p", "trio"} <= loaded
    assert loaded.isdisjoint(HEAVY)
