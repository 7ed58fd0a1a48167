"""Prints one number. Put what you want to improve in place of `measure`, and your constants in place of these."""

import os
import random

# The knobs: each is assigned once, at the left margin. Their types and ranges are in task.toml.
COUNTERS = 2  # how many are open
CHAT_SECONDS = 30.0  # how long the staff talk to each customer
QUEUE = "each"  # a queue at each counter, or one for all

CUSTOMERS = 300  # no knob: it is not in task.toml, so it stays as it is


def measure(rng: random.Random) -> float:
    """The number to improve, for one day. Here it is computed; it may as well be what another command prints:

    done = subprocess.run(["sort", "--parallel", str(COUNTERS), "big.txt"], check=True, capture_output=True, text=True)
    """
    free_at = [0.0] * COUNTERS
    arrival = waited = 0.0
    for _ in range(CUSTOMERS):
        arrival += rng.expovariate(1 / 90)
        counter = free_at.index(min(free_at)) if QUEUE == "one" else rng.randrange(COUNTERS)
        start = max(arrival, free_at[counter])
        waited += start - arrival
        free_at[counter] = start + CHAT_SECONDS + rng.expovariate(1 / 90)
    wages = 100.0 * COUNTERS
    smiles = 40.0 * CHAT_SECONDS**0.5
    return wages + 0.02 * waited - smiles


# All that is random follows the seed, so that a run can be repeated, and two recipes compared on the same seeds.
rng = random.Random(int(os.environ.get("ARNODE_SEED", "0")))
days = int(os.environ.get("ARNODE_BUDGET", "20"))
cost = sum(measure(rng) for _ in range(days)) / days
print("---")
print("cost:", repr(cost))
