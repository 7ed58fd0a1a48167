"""From a model's draft to a proposal: knobs within their ranges, edits that fit, and nothing that was tried before.

Whatever a model writes, a proposal can set knobs that the task file names to values that it allows, and edit files
that it lets be edited. There is no third thing.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from agent.evidence import claim_of
from agent.llm.answer import BadAnswer, Draft, Edit
from agent.llm.prompt import Circumstances
from agent.notebook import Notebook
from agent.proposal import Proposal
from trainer import knobs as constants
from trainer.errors import TrainerError
from trainer.knobs import Scalar
from trainer.output import clean
from trainer.recipe import Recipe, change_between, materialise
from trainer.task import Task

SHOWN: Final = 60  # characters of a search text in a message


def proposal_of(
    draft: Draft,
    notebook: Notebook,
    task: Task,
    *,
    around: Circumstances,
    proposer: str,
) -> Proposal:
    """The draft as a proposal. Raises BadAnswer."""
    if not draft.knobs and not draft.edits:
        raise BadAnswer("there are neither knobs nor edits: change something")
    if draft.edits and around.no_edits_because:
        raise BadAnswer(f"leave edits out and change knobs only: {around.no_edits_because}")
    best = notebook.best()
    try:
        edits = _edited(task, materialise(task, best), draft.edits)
        knobs = {name: _typed(task, name, value) for name, value in draft.knobs.items()}
        candidate = notebook.on_best(knobs, edits)
        materialise(task, candidate)
        change = change_between(task, best, candidate)
    except TrainerError as error:
        raise BadAnswer(str(error)) from error
    if not change:
        raise BadAnswer("this changes nothing: the best program is so already")
    if notebook.was_tried(candidate, by_anyone=True):
        raise BadAnswer(f"exactly this was tried already{_verdict(notebook, candidate)}: propose something else")
    if notebook.worn(candidate):
        raise BadAnswer("what is nearly the same was tried often enough: propose something else")
    if claim_of(change) in [dict(claim) for claim in around.avoid]:
        raise BadAnswer("a peer is testing exactly this just now: propose something else")
    set_to = {name: candidate.knobs.get(name, task.knobs[name].default) for name in knobs}
    known = draft.idea is not None and 1 <= draft.idea <= len(around.ideas)
    inspired_by = (around.ideas[draft.idea - 1].record_id,) if draft.idea and known else ()
    return Proposal(set_to, _hypothesis(draft), proposer, inspired_by, edits)


def _typed(task: Task, name: str, value: Scalar) -> Scalar:
    """A number in the knob's own type: many who write JSON take 4 and 4.0 for the same."""
    knob = task.knobs.get(name)
    if knob is None or isinstance(value, bool | str):
        return value
    if knob.type == "choice":
        return next((choice for choice in knob.choices if not isinstance(choice, bool) and choice == value), value)
    return int(value) if knob.type == "int" and value == int(value) else value


def _edited(task: Task, program: Mapping[str, str], edits: Sequence[Edit]) -> dict[str, str]:
    """The full new text of every file that is edited."""
    texts: dict[str, str] = {}
    for number, edit in enumerate(edits, start=1):
        name = edit.file
        if name not in task.editable:
            raise BadAnswer(f"edit {number}: {clean(name)!r} is not editable; editable: {', '.join(task.editable)}")
        text = texts.get(name, program[name])
        found = text.count(edit.search)
        if found != 1:
            shown = clean(edit.search.strip().partition("\n")[0][:SHOWN])
            what = "is not there" if not found else f"is there {found} times"
            how = "copy it exactly, with its indentation" if not found else "take more of the lines around it"
            raise BadAnswer(f"edit {number}: the search text that begins {shown!r} {what} in {name}: {how}")
        texts[name] = text.replace(edit.search, edit.replace)
    for name, text in texts.items():
        if name.endswith(".py"):
            constants.read(text)  # raises with the line where it is not Python
    return texts


def _verdict(notebook: Notebook, candidate: Recipe) -> str:
    tests = [test for test in notebook.near(candidate) if test.candidate == candidate]
    return f" ({tests[-1].verdict})" if tests else ""


def _hypothesis(draft: Draft) -> str:
    text = " ".join(clean(draft.hypothesis).split())
    return text if draft.expected_effect is None else f"{text} (expects {draft.expected_effect:+.3g})"
