"""What `arnode task check` finds: is the task file right, does its program run and repeat, how noisy is it.

The findings are like those of `arnode doctor`: one line about one thing, and what to do about it. The program runs as
in a node, in the sandbox where there is one.
"""

import ast
import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from node.events import count
from node.finding import Finding
from node.home import data_cache
from node.trials import sandbox_or_none
from trainer.data import prepare_data
from trainer.device import require
from trainer.errors import TrainerError
from trainer.integrity import level
from trainer.output import number_in
from trainer.recipe import BASELINE, Recipe
from trainer.sandbox import Sandbox
from trainer.task import Task, load_task
from trainer.trial import Trial, run_trial

SEEDS: Final = (1, 2, 3)
CLOSE_TO_LIMIT: Final = 0.5
"""A baseline that needs more than this share of a limit leaves too little for recipes that need more."""

# The middle 95 % of a chi-square distribution with len(SEEDS) - 1 = 2 degrees of freedom, which is exponential.
_CHI_LOW: Final = -2 * math.log(0.975)
_CHI_HIGH: Final = -2 * math.log(0.025)


def examine_task(reference: str) -> Iterator[Finding]:
    """Check a task, and give what is found as it is found; ends early where nothing more can be run."""
    try:
        task = load_task(reference)
    except TrainerError as error:
        yield Finding("task", "failed", str(error))
        return
    yield _task(task)
    yield from _knobs(task)
    yield _integrity(task)
    try:
        device = require(task.name, task.devices)
    except TrainerError as error:
        yield Finding("device", "failed", str(error))
        return
    notes: list[str] = []
    sandbox = trio.run(sandbox_or_none, notes.append)
    if sandbox is not None and not sandbox.holds(device.kind):
        sandbox = None
        notes.append(f"Runs outside of the sandbox, which lets no {device.kind} in.")
    yield Finding("sandbox", "warning" if notes else "ok", " ".join(notes) or "runs in this machine's sandbox")
    try:
        data = trio.run(prepare_data, task, data_cache())
    except TrainerError as error:
        yield Finding("data", "failed", str(error), "run the data command by hand in a copy of the program's folder")
        return
    yield from examine_runs(task, data, sandbox)


def examine_runs(task: Task, data: Path | None, sandbox: Sandbox | None) -> Iterator[Finding]:
    """Run the baseline on each of SEEDS, and once more where a run has to repeat, until a run fails."""
    values: list[float] = []
    with tempfile.TemporaryDirectory(prefix="arnode-") as workspace:
        once = partial(run_trial, task, task.files, workspace=Path(workspace), data=data, sandbox=sandbox)
        for seed in SEEDS:
            trial = trio.run(once, seed)
            if trial.value is None:
                yield _failure(task, trial)
                return
            values.append(trial.value)
            if seed == SEEDS[0]:
                yield from _baseline(task, trial)
                if task.budget.kind != "seconds":
                    yield _repetition(task, trial, trio.run(once, seed))
    yield _noise(task, values)
    if task.evaluate is not None and sandbox is not None:
        yield _audit(task, data, sandbox, values[0])


def _audit(task: Task, data: Path | None, sandbox: Sandbox, printed: float) -> Finding:
    """Whether the program fulfils the contract of `[evaluate]`, and is worth the same that way."""
    from trainer.audit import run_audited

    run = partial(run_audited, task, task.files, SEEDS[0], data=data, sandbox=sandbox)
    with tempfile.TemporaryDirectory(prefix="arnode-") as workspace:
        trial = trio.run(partial(run, workspace=Path(workspace)))
    if trial.value is None:
        remedy = "the program must offer train(out) and predictor(path): docs/tasks.md, scoring edited code"
        return Finding("audit", "failed", f"{trial.status}: {trial.reason}", remedy)
    difference = abs(trial.value - printed)
    found = {"value": trial.value, "difference": difference, "seconds": trial.metrics["audit_seconds"]}
    text = (
        f"scored from outside by its predictions: {task.metric.name} {trial.value!r}, {difference:.2g} from what it "
        f"prints; {trial.metrics['audited']:g} positions audited in {found['seconds']:.1f} s"
    )
    if difference > task.metric.noise / 10 and task.budget.kind != "seconds":
        remedy = "let the program score itself on the same tokens in the same windows as [evaluate] names"
        return Finding(
            "audit", "warning", f"{text}: edited code does not compare with the baseline", remedy, data=found
        )
    return Finding("audit", "ok", text, data=found)


def _task(task: Task) -> Finding:
    better = "lower is better" if task.metric.direction == "minimize" else "higher is better"
    budget = f"{task.budget.amount:g} {task.budget.kind}"
    text = f"{task.name}: {task.title}; {task.metric.name}, {better}; {budget}; fingerprint {task.fingerprint_hex}"
    data = {
        "name": task.name,
        "fingerprint": task.fingerprint_hex,
        "metric": task.metric.name,
        "direction": task.metric.direction,
        "budget": task.budget.model_dump(),
        "files": sorted(task.files),
        "editable": list(task.editable),
    }
    return Finding("task", "ok", text, data=data)


def _knobs(task: Task) -> Iterator[Finding]:
    names = list(task.knobs)
    editable = ", ".join(task.editable)
    if not names:
        text = f"no knobs: arnode can only change {editable} by edits of code, which needs a language model"
        yield Finding(
            "knobs", "warning", text, "give constants a section [[knobs]] in the task file", data={"knobs": []}
        )
        return
    kinds = Counter(knob.type for knob in task.knobs.values())
    text = f"{count(len(names), 'knob')} in {editable}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    yield Finding("knobs", "ok", text, data={"knobs": names})
    read = {name for text in task.files.values() for name in _names_read(text)}
    idle = [name for name in names if name not in read]
    if idle:
        text = f"no file of the program uses {', '.join(idle)}: changing a knob that nothing reads changes nothing"
        yield Finding("knobs", "warning", text, "use it in the program, or take it out of the task file")


def _names_read(source: str) -> set[str]:
    """The names and attributes that a Python source reads; of any other text, all its words."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(source.replace("=", " ").split())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # a constant may be imported, or looked up by its name
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _integrity(task: Task) -> Finding:
    knobs = level(task, BASELINE)
    edited = level(task, Recipe(files={task.editable[0]: ""}))
    text = f"values of knob recipes are {knobs}, of edited code {edited}"
    if edited == "reported":
        text += ": the program prints its own value, so what others report of edited code is shown and never adopted"
    return Finding("integrity", "ok", text, data={"knobs": knobs, "edits": edited})


def _baseline(task: Task, trial: Trial) -> Iterator[Finding]:
    memory = trial.metrics.get("peak_memory_mb")
    data: dict[str, Any] = {"seed": trial.seed, "value": trial.value, "seconds": trial.seconds, "memory_mb": memory}
    text = f"{task.metric.name} {trial.value!r} on seed {trial.seed}, in {trial.seconds:.1f} s"
    text += "" if memory is None else f" and {memory:,.0f} MB"
    yield Finding("baseline", "ok", f"{text}: about {_rate(trial.seconds)}", data=data)
    limits = task.limits
    used = {"wall_seconds": (trial.seconds, limits.wall_seconds)}
    if memory is not None and not task.reported:  # another's program may mean the memory of its graphics card
        used["memory_mb"] = (memory, limits.memory_mb)
    for name, (need, limit) in used.items():
        if need > CLOSE_TO_LIMIT * limit:
            text = f"the baseline needs {need:,.0f} of the {limit:,.0f} that limits.{name} allows"
            advice = (
                f"raise limits.{name}, so that recipes that need more are not stopped; it is not in the fingerprint"
            )
            yield Finding("limits", "warning", text, advice)


def _rate(seconds: float) -> str:
    # an experiment runs candidate and parent, on two seeds or more
    an_hour = 3600 / (4 * max(seconds, 0.01))
    return f"{an_hour:,.0f} experiments an hour" if an_hour >= 2 else f"{4 * seconds / 3600:.1f} hours an experiment"


def _repetition(task: Task, first: Trial, second: Trial) -> Finding:
    data = {"seed": first.seed, "values": [first.value, second.value]}
    if first.value == second.value:
        return Finding("repeats", "ok", f"seed {first.seed} gives the same value twice, to the last bit", data=data)
    again = repr(second.value) if second.status == "ok" else f"{second.status}: {second.reason}"
    text = (
        f"seed {first.seed} gave {first.value!r}, then {again}; with a budget of {task.budget.kind} a run has to repeat"
    )
    advice = "let all that is random follow ARNODE_SEED, and nothing depend on the clock; or set budget.kind = seconds"
    return Finding("repeats", "warning", text, advice, data=data)


def _noise(task: Task, values: Sequence[float]) -> Finding:
    sd, guess = statistics.stdev(values), task.metric.noise
    low, high = (sd * math.sqrt((len(values) - 1) / chi) for chi in (_CHI_HIGH, _CHI_LOW))
    data = {"seeds": list(SEEDS), "values": list(values), "sd": sd, "low": low, "high": high, "guess": guess}
    if sd == 0:
        text = (
            f"the seed changes nothing: {task.metric.name} is {values[0]!r} each time, so every difference is real. "
            f"metric.noise = {guess:g} then says which differences are too small to matter"
        )
        return Finding("noise", "ok", text, data=data)
    text = (
        f"{task.metric.name} varies by {sd:.3g} from seed to seed (standard deviation of {len(values)} seeds, "
        f"which say little: it may be {low:.3g} to {high:.3g})"
    )
    if low <= guess <= high or task.reported:  # a guess of ours about another's program is nothing to correct
        return Finding("noise", "ok", text, data=data)
    advice = f"the task file guesses {guess:g}: set metric.noise = {sd:.2g}"
    return Finding("noise", "warning", text, advice, data=data)


def _failure(task: Task, trial: Trial) -> Finding:
    text = f"seed {trial.seed} ended with {trial.status} after {trial.seconds:.1f} s: {trial.reason}"
    data = {"seed": trial.seed, "status": trial.status, "reason": trial.reason, "log": trial.log_tail}
    return Finding("baseline", "failed", text, _advice(task, trial), data=data)


def _advice(task: Task, trial: Trial) -> str:
    metric = task.metric.name
    match trial.status:
        case "timeout":
            return "let the program do less, or raise limits.wall_seconds"
        case "oom":
            return "let the program need less memory, or raise limits.memory_mb"
        case "output":
            return "let the program print and write less, or raise limits.output_bytes and limits.disk_mb"
        case "nan":
            return f"the baseline must give a number: change the constants until {metric} is finite"
        case _ if "printed no line" not in trial.reason:
            return (
                "run the program by hand in a copy of its folder; files that it needs must be listed in program.files"
            )
    if any(_says(line, metric) for line in trial.log_tail.splitlines()):
        return f"it does print {metric}, but not after a line that is exactly ---: print that line first"
    others = [name for name in trial.metrics if name != "peak_memory_mb"]
    if others:
        return f"after the line --- it printed {', '.join(others)}: rename that, or set metric.name in the task file"
    return f'end the program with print("---") and print("{metric}:", repr(value))'


def _says(line: str, metric: str) -> bool:
    name, colon, rest = line.partition(":")
    return name.strip() == metric and bool(colon) and number_in(rest.strip()) is not None
