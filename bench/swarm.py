"""What a swarm on one machine finds: the built-in task, from nothing.

python -m bench.swarm [NODES] [MINUTES]
"""

import json
import subprocess
import sys
import tempfile

from bench.figures import figure, machine


def main() -> None:
    nodes = sys.argv[1] if len(sys.argv) > 1 else "4"
    minutes = sys.argv[2] if len(sys.argv) > 2 else "10"
    print(machine())
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "node.cli", "--home", home, "swarm", nodes, "--minutes", minutes, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    print(figure(f"swarm {nodes} --minutes {minutes}, experiments", "", [summary["experiments"]]))
    print(figure("… discoveries", "", [summary["discoveries"]]))
    print(figure("… of them confirmed", "", [summary["confirmed"]]))
    print(figure("… adoptions", "", [summary["adoptions"]]))
    print(figure("… discoveries adopted by all nodes", "", [summary["adopted_by_all"]]))
    if summary["spread"] is not None:
        print(figure("… from publication to adoption by all, median", "s", [summary["spread"]], kind="outcome"))
    print(figure("… baseline", "bits per byte", [summary["baseline"]]))
    print(figure("… best", "bits per byte", [summary["best"]], better="lower"))
    print(figure("… better by", "%", [100 * summary["improvement"]], better="higher"))


if __name__ == "__main__":
    main()
