"""Run benchmarks, and show what changed against the baseline that is kept with the code.

    python -m bench [NAME ...] [--all] [--quick] [--save-baseline] [--baseline FILE]

Each benchmark is a process of its own; one that fails does not stop the others. Its lines go to standard error as they
come, the table to standard output. Exit status 1 if a benchmark failed. --quick gives each less to do, to see that all
run: its figures have other sizes, so it is compared with nothing and never kept.
"""

import argparse
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import baseline, report
from bench.baseline import BaselineError, Run, Summary
from bench.running import ROOT, Ended, run
from bench.suite import BENCHES, Bench
from scripts import figures
from trainer.device import detect


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(bench.name for bench in BENCHES)}")
    parser.add_argument("--all", action="store_true", help="also those that take ten minutes and more")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see that it runs")
    parser.add_argument("--save-baseline", action="store_true", help="keep what was measured as the baseline")
    parser.add_argument("--baseline", type=Path, default=baseline.BASELINE, metavar="FILE")
    options = parser.parse_args()
    if options.quick and options.save_baseline:
        parser.error("--quick measures other sizes, which are no baseline")
    if unknown := set(options.names) - {bench.name for bench in BENCHES}:
        parser.error(f"no benchmark has the name {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what runs is stopped
    try:
        known = {} if options.quick else baseline.load(options.baseline)
    except BaselineError as error:
        sys.exit(str(error))
    wanted = [bench for bench in BENCHES if bench.name in options.names]
    if not options.names:
        wanted = [bench for bench in BENCHES if options.all or options.quick or not bench.long]
    keep = options.baseline if options.save_baseline else None
    runs, skipped, failed = measured(wanted, quick=options.quick, keep=keep)
    report.show(Console(highlight=False), runs, known)
    for line in report.closing(runs, known):
        print(line)
    for what, why in (("skipped", skipped), ("FAILED", failed)):
        for name, told in why.items():
            print(f"{what}: bench.{name}: {told}")
    if not options.names and (left := [bench.name for bench in BENCHES if bench not in wanted]):
        print(f"not run without --all: {', '.join(left)}")
    if options.save_baseline:
        print(f"kept as the baseline: {', '.join(runs) or 'nothing'}")
        if options.baseline == baseline.BASELINE:
            failed |= into_pages()
    sys.exit(1 if failed else 0)


def measured(
    wanted: Sequence[Bench], *, quick: bool, keep: Path | None
) -> tuple[dict[str, Run], dict[str, str], dict[str, str]]:
    """Run benchmarks one after the other: (runs, why which were skipped, why which failed); each is kept at once."""
    runs, skipped, failed = {}, {}, {}
    code = commit()  # before anything is kept, which changes a file of it
    for bench in wanted:
        print(f"## bench.{bench.name}", file=sys.stderr, flush=True)
        ended = run(bench.words(quick), 60 * bench.minutes)
        if ended.failed:
            failed[bench.name] = ended.failed
        elif ended.skipped:
            skipped[bench.name] = ended.skipped
        else:
            runs[bench.name] = described(bench, ended, code, quick=quick)
            if keep is not None:
                baseline.save({bench.name: runs[bench.name]}, keep)
    return runs, skipped, failed


def into_pages() -> dict[str, str]:
    """Fill the baseline's figures into the pages; what went wrong."""
    try:
        changed = figures.write(baseline.load())
    except figures.UnknownFigure as error:
        print(f"no page was changed: {error}")
        return {"pages": str(error)}
    print(f"written into {', '.join(page.name for page in changed) or 'no page, as all say so already'}")
    return {}


def described(bench: Bench, ended: Ended, code: str, *, quick: bool) -> Run:
    """A benchmark's figures with where they are from."""
    here, card = detect(("cpu",)), detect()
    machine = [here.name, f"{here.cores} cores", platform.system(), *([card.name] if card.kind != "cpu" else [])]
    return Run(
        command=" ".join(["python", *bench.words(quick)]),
        commit=code,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=", ".join(machine),
        python=platform.python_version(),
        speed=ended.speed,
        others=round(ended.others, 2),
        seconds=round(ended.seconds, 1),
        figures={name: Summary.of(figure) for name, figure in baseline.named(ended.figures).items()},
    )


def commit() -> str:
    """Of the code that ran, with a `+` if files were changed; `unknown` without git."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped, with the benchmark that ran: no table")
