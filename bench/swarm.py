"""What a swarm on one machine finds: the built-in task, from nothing.

python -m bench.swarm [NODES] [MINUTES]
"""

import json
import subprocess
import sys
import tempfile

from bench.figures import machine


def main() -> None:
    nodes = sys.argv[1] if len(sys.argv) > 1 else "4"
    minutes = sys.argv[2] if len(sys.argv) > 2 else "10"
    print(machine())
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "node.cli", "--home", home, "swarm", nodes, "--minutes", minutes, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    print(f"swarm {nodes} --minutes {minutes}, experiments: {summary['experiments']}")
    print(f"discoveries: {summary['discoveries']}, of them confirmed: {summary['confirmed']}")
    print(f"adoptions: {summary['adoptions']}; discoveries adopted by all nodes: {summary['adopted_by_all']}")
    spread = "none" if summary["spread"] is None else f"{summary['spread']:.0f} s"
    print(f"from publication to adoption by all, median: {spread}")
    print(f"baseline: {summary['baseline']:.4f}, best: {summary['best']:.4f} ({summary['improvement']:.1%} better)")


if __name__ == "__main__":
    main()
