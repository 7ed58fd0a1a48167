"""A calibration: one recipe on several seeds of this node's own, so that the noise is known."""

from collections.abc import Callable

import trio

from agent.entries import BudgetBody, Calibration
from agent.judge import MAX_SEEDS
from agent.notebook import Notebook
from agent.packed import recipe_body
from agent.policy import CALIBRATION_SEEDS
from agent.seeds import seeds
from gossip.reasons import alone
from node.trials import Trials
from trainer.device import Device
from trainer.recipe import Recipe, recipe_id
from trainer.trial import Progress, Trial


async def run_calibration(
    recipe: Recipe,
    *,
    notebook: Notebook,
    trials: Trials,
    device: Device,
    on_trial: Callable[[Trial], None],
    on_progress: Callable[[int, Progress], None],
) -> Calibration | None:
    """Run the recipe on CALIBRATION_SEEDS new seeds, and return the body of the record; None where a trial failed.

    on_progress: called with the number of the seed, from 0, and the trial's progress.
    """
    task = trials.task
    values: dict[str, float] = {}
    seconds = 0.0
    known = notebook.values(recipe_id(recipe))
    # the seeds that experiments on this recipe use, so that these trials serve them too
    new = [seed for seed in seeds(notebook, recipe, MAX_SEEDS) if seed not in known]

    async def run(number: int, seed: int) -> None:
        nonlocal seconds
        trial = await trials.run(recipe, seed, lambda progress: on_progress(number, progress))
        on_trial(trial)
        seconds += trial.seconds
        if trial.value is not None:
            values[str(seed)] = trial.value

    try:
        async with trio.open_nursery() as nursery:
            for number, seed in enumerate(new[:CALIBRATION_SEEDS]):
                nursery.start_soon(run, number, seed)  # those for which there is no room wait
    except BaseExceptionGroup as group:
        raise alone(group) from None
    if len(values) < CALIBRATION_SEEDS:
        return None
    return Calibration(
        recipe=recipe_body(recipe),
        values=values,
        budget=BudgetBody(kind=task.budget.kind, amount=task.budget.amount),
        device_class=device.device_class,
        device=device.name,
        seconds=seconds,
        versions=device.software,
    )
