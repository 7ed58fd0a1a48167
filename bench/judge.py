"""How often the judge is wrong, and how many seeds it needs, on simulated trials; one line per figure.

Deviations are of one trial; candidate and parent are uncorrelated, the case in which pairing does not help. The noise
given to the judge is itself estimated, with the degrees of freedom named in each line.
"""

import random
import statistics
from collections.abc import Iterator

from agent.judge import judge
from agent.noise import PairedNoise

RUNS = 20_000
MIX = [0.0] * 4 + [-40.0, -15.0, -5.0, -2.0, 1.0, 3.0, 10.0, 30.0]
"""True effects in deviations: many nothing, some tens of deviations either way, as measured on the built-in task."""


def experiments(
    rng: random.Random, effects: list[float], degrees: int, runs: int = RUNS, parent_sd: float = 1.0
) -> Iterator[tuple[float, str, int, float]]:
    """(true effect, verdict, seeds, published effect) of simulated experiments; effects take turns."""
    for run in range(runs):
        effect = effects[run % len(effects)]
        known = (statistics.fmean(rng.gauss(0, 1) ** 2 for _ in range(degrees))) ** 0.5
        noise = PairedNoise(2**0.5 * known, degrees)
        improvements: list[float] = []
        verdict = None
        while verdict is None:
            improvements.append(effect + rng.gauss(0, 1) + rng.gauss(0, parent_sd))
            judgement = judge(improvements, noise, minimum=0.5 * known)
            verdict = judgement.verdict
        yield effect, verdict, len(improvements), judgement.effect


def rate(runs: list[tuple[float, str, int, float]], verdict: str = "keep") -> float:
    """The share of experiments with that verdict."""
    return statistics.fmean(run[1] == verdict for run in runs)


def main() -> None:
    rng = random.Random(1)
    anyhow = statistics.fmean(rng.gauss(0, 1) + rng.gauss(0, 1) > 0 for _ in range(RUNS))
    print(f"A/A kept by the rule 'any decrease': {anyhow:.1%} of {RUNS} experiments, 1 seed")
    for degrees in (3, 4, 8, 30):
        runs = list(experiments(rng, [0.0], degrees))
        seeds = statistics.fmean(run[2] for run in runs)
        print(
            f"A/A kept by the judge: {rate(runs):.2%} of {RUNS} experiments, {seeds:.2f} seeds, "
            f"inconclusive {rate(runs, 'inconclusive'):.1%} (noise known to {degrees} degrees)"
        )
    for parent_sd in (0.58, 1.7):
        runs = list(experiments(rng, [0.0], 8, parent_sd=parent_sd))
        print(
            f"A/A kept by the judge: {rate(runs):.2%} if the parent's noise is {parent_sd} times the pooled (8 degrees)"
        )
    for effect in (1.0, 2.0, 3.0, 5.0, 10.0):
        runs = list(experiments(rng, [effect], 8))
        kept = [run[3] for run in runs if run[1] == "keep"]
        print(
            f"power at {effect:g} deviations: {rate(runs):.1%}, {statistics.fmean(run[2] for run in runs):.2f} seeds, "
            f"published effect of keeps {statistics.fmean(kept):.2f} (8 degrees)"
        )
    runs = list(experiments(rng, MIX, 8))
    print(f"seeds per verdict on the effect mix: {statistics.fmean(run[2] for run in runs):.2f} (8 degrees)")


if __name__ == "__main__":
    main()
