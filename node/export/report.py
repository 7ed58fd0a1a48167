"""The report: what was found, how sure that is, by whom, what failed, and what is next, as Markdown.

It is written for somebody who was not there: short sentences, then tables. Everything in it is computed from the
records that this node has, so two nodes with the same records write the same, but for what is their own.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from agent.discoveries import Discovery
from agent.entries import kept
from agent.hypotheses import open_ideas
from agent.insights import standing
from agent.wording import setting
from node.events import change_text, count, mean_values, percent, relative_to, value_text
from node.export.choice import ExportError, own_keeps
from node.export.markdown import bullets, code, table, text
from node.state import State
from node.view.board import change_fields
from node.view.headline import headline
from trainer.recipe import BASELINE, Change, values

MOST: Final = 20  # rows of a table
FEW: Final = 8


def write_report(state: State, what: str) -> str:
    """The report on all that this node knows of the task. Raises ExportError."""
    if what != "all":
        raise ExportError(f"--what {what}: the report is on all records")
    if not state.notebook.experiments():
        raise ExportError("no experiment has ended yet, so there is nothing to report")
    parts = (_head, _in_short, _found, _best, _insights, _nodes, _failed, _next, _repeat)
    return "\n".join(line for part in parts for line in part(state)).rstrip() + "\n"


def _head(state: State) -> Iterator[str]:
    tests, metric = state.notebook.experiments(), state.task.metric
    authors = len({test.author for test in tests})
    better = "lower" if metric.direction == "minimize" else "higher"
    yield f"# What was found on {text(state.task.name)}"
    yield ""
    yield (
        f"The task: {text(state.task.title)}. Its measure is {_metric(state)}; {better} is better. This report is on "
        f"{count(len(tests), 'experiment')} of {count(authors, 'node')}, from {_time(tests[0].moment[0])} to "
        f"{_time(tests[-1].moment[0])} UTC, as the node {text(state.alias(state.me))} knows them. An experiment tries "
        "a change against the program without it, on the same random seeds."
    )
    yield ""


def _in_short(state: State) -> Iterator[str]:
    notebook, metric = state.notebook, state.task.metric
    found = Counter(discovery.status for discovery in notebook.discoveries())
    tested = f"{found['confirmed']} confirmed by at least two nodes beside the finder, {found['open']} open"
    lines = [text(sentence) for sentence in headline(state, notebook.experiments()[-1].moment[0])["sentences"]]
    lines.append(f"{count(found.total(), 'change')} helped whoever found them: {tested}, {found['refuted']} refuted.")
    lines.append(
        f"By chance alone one trial differs from the next by about {_number(notebook.noise().sd)} (standard deviation "
        "over seeds): a single value that is better by less says nothing."
    )
    if metric.floor is not None:
        lines.append(f"No value can be better than {_number(metric.floor)}.")
    if metric.known_best is not None:
        lines.append(f"Best known: {metric.known_best.value!r} ({text(metric.known_best.source)}).")
    yield "## In short"
    yield ""
    yield from bullets(lines)


def _found(state: State) -> Iterator[str]:
    found = [discovery for discovery in state.notebook.discoveries() if discovery.status != "refuted"]
    found.sort(key=lambda discovery: (discovery.status != "confirmed", -discovery.expected, discovery.record_id))
    yield "## What was found"
    yield ""
    if not found:
        yield "Nothing yet that holds up."
        yield ""
        return
    yield (
        f"Gain: the improvement of {_metric(state)} over the program without the change, the median over all nodes "
        "that tested it; beside it what its finder measured, with its interval. A first finding is often too good."
    )
    yield ""
    rows = [
        (
            _change(discovery.change),
            _number(discovery.expected),
            _measured(state, discovery),
            _sure(discovery),
            text(state.alias(discovery.author)),
            code(discovery.record_id.hex()[:8]),
        )
        for discovery in found[:MOST]
    ]
    yield from table(("change", "gain:", "as found", "how sure", "found by", "record"), rows)
    yield from _more(len(found))


def _best(state: State) -> Iterator[str]:
    steps = own_keeps(state)
    yield "## The best recipe of this node"
    yield ""
    if not steps:
        yield "It has kept nothing yet: its best is the task's own program."
        yield ""
        return
    best, task = state.notebook.best(), state.task
    before, after = values(task, BASELINE), values(task, best)
    yield "What it sets, against the task's own program; everything else is as it was:"
    yield ""
    rows = [(text(name), text(str(before[name])), text(str(after[name]))) for name in best.knobs]
    rows += [(text(file), "as it came", "edited") for file in best.files]
    yield from table(("knob or file", "program", "best recipe"), rows)
    last = "" if len(steps) <= MOST else f", of which the last {MOST}"
    yield f"How it came to that, {count(len(steps), 'step')}{last}:"
    yield ""
    lines = []
    for step in steps[-MOST:]:
        value, parent = mean_values(step.result.pairs)
        origin = state.notebook.discovery(step.record_id)
        whose = (
            "" if step.result.replicates is None or origin is None else f"; found by {text(state.alias(origin.author))}"
        )
        moved = f"{value_text(parent)} → {value_text(value)} over {count(step.seeds, 'seed')}"
        lines.append(f"{_change(step.change)}: {moved}{whose}")
    yield from bullets(lines)


def _insights(state: State) -> Iterator[str]:
    said = standing(state.notebook)
    if said:
        yield "## What holds across results"
        yield ""
        yield from bullets(
            f"{text(told.insight.text)} ({text(state.alias(told.author))}, {code(told.moment[1].hex()[:8])})"
            for told in said[:MOST]
        )
        yield from _more(len(said))


def _nodes(state: State) -> Iterator[str]:
    baseline = state.notebook.baseline()
    rows = [
        (
            text(state.alias(row.author)) + (" (this node)" if row.author == state.me else ""),
            value_text(row.value),
            percent(relative_to(row.value, baseline)),
            str(row.experiments),
            str(row.keeps),
            str(row.confirmed),
            "" if row.author == state.me else f"{state.notebook.credibility(row.author):.2f}",
        )
        for row in state.notebook.board()
    ]
    yield "## Who"
    yield ""
    yield (
        f"The program as it came reaches {value_text(baseline)}. The best is each node's own word. Believed: how often "
        "what a node kept held when this node tested it, 0.5 for one of which it tested nothing."
    )
    yield ""
    yield from table(
        ("node", "best:", "against program:", "experiments:", "kept:", "confirmed:", "believed:"), rows[:MOST]
    )
    yield from _more(len(rows))


def _failed(state: State) -> Iterator[str]:
    notebook = state.notebook
    tests = notebook.experiments()
    verdicts = Counter(test.verdict for test in tests)
    yield "## What failed"
    yield ""
    yield (
        f"Of {count(len(tests), 'experiment')}, {sum(kept(test.verdict) for test in tests)} were kept, "
        f"{verdicts['discard']:,} were clearly no better, {verdicts['inconclusive']:,} could not be told from chance, "
        f"and {verdicts['crash']:,} crashed."
    )
    yield ""
    refuted = [discovery for discovery in notebook.discoveries() if discovery.status == "refuted"]
    if refuted:
        yield "Kept by their finder, and not confirmed by anyone who tried:"
        yield ""
        yield from bullets(
            f"{_change(one.change)} (found by {text(state.alias(one.author))}, {code(one.record_id.hex()[:8])})"
            for one in refuted[:FEW]
        )
    worse = sorted(
        (effect.interval[1], cell, effect) for cell, effect in notebook.effects().items() if effect.interval[1] < 0
    )
    if worse:
        yield "Clearly worse, whatever else was set; of each knob the worst (95 % interval):"
        yield ""
        worst = {knob: (value, effect) for _, (knob, value), effect in reversed(worse)}
        yield from bullets(
            f"{text(setting(state.task, (knob, value)))}: worse by {_number(-effect.mean)} "
            f"({_number(-effect.interval[1])} to {_number(-effect.interval[0])}), {count(effect.authors, 'node')}"
            for knob, (value, effect) in sorted(worst.items(), key=lambda pair: pair[1][1].mean)[:FEW]
        )
    reasons = Counter(text(test.result.reason.removeprefix("crash: ")) for test in tests if test.verdict == "crash")
    if reasons:
        yield "Crashes:"
        yield ""
        yield from bullets(f"{times} × {reason or 'without a reason'}" for reason, times in reasons.most_common(FEW))


def _next(state: State) -> Iterator[str]:
    notebook = state.notebook
    lines = [
        f"Test {_change(one.change)} here: {text(state.alias(one.author))} gained {_number(one.effect)} by it "
        f"({code(one.record_id.hex()[:8])})."
        for one in notebook.open_replications()[:FEW]
    ]
    lines += [
        f"{text(idea.hypothesis.text)} (an idea of {text(state.alias(idea.author))}, {code(idea.record_id.hex()[:8])})"
        for idea in open_ideas(notebook)[:FEW]
    ]
    tried = {knob for test in notebook.experiments() for knob in test.change.knobs}
    untried = [name for name in state.task.knobs if name not in tried]
    if untried:
        lines.append(f"Nobody has changed {text(', '.join(untried))}.")
    yield "## What is next"
    yield ""
    yield from bullets(lines or ["This node knows of no open question; it goes on searching around its best recipe."])


def _repeat(state: State) -> Iterator[str]:
    yield "## To repeat it"
    yield ""
    made = f"arnode export --task {state.task.name} --format"
    yield from bullets(
        [
            f"the best program: {code(f'{made} program')}",
            f"its steps as commits: {code(f'{made} patch --what kept')}, then {code('git am')}",
            f"one experiment with its own seeds: {code(f'arnode run --task {state.task.name} --recipe RECORD')}",
            f"every record, signed by who made it: {code(f'{made} jsonl')}",
        ]
    )


def _metric(state: State) -> str:
    metric = state.task.metric
    return text(f"{metric.name} ({metric.unit})" if metric.unit else metric.name)


def _change(change: Change) -> str:
    fields = change_fields(change)
    return text(change_text(fields["change"], fields["edits"]))


def _measured(state: State, discovery: Discovery) -> str:
    first = state.notebook.experiment(discovery.record_id)
    if first is None or first.result.interval is None:
        return _number(discovery.effect)
    low, high = first.result.interval
    return f"{_number(discovery.effect)} ({_number(low)} to {_number(high)})"


def _sure(discovery: Discovery) -> str:
    tested = [verdict for _, verdict in discovery.replications]
    others = sum(map(kept, tested))
    if discovery.status == "confirmed":
        return f"**confirmed** by {count(others, 'other node')}"
    word = "only its author's word; " if discovery.integrity == "reported" else ""
    return word + (f"held for {others} of {count(len(tested), 'other')}" if tested else "not tested by others yet")


def _more(total: int) -> Iterator[str]:
    if total > MOST:
        yield f"And {total - MOST:,} more."
        yield ""


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _number(value: float) -> str:
    return f"{value:.3g}"
