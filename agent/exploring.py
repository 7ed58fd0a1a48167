"""An exploration as the policy wants it: an open hypothesis, what the strategy has settled, or what a proposer has."""

from collections.abc import Mapping, Sequence

from agent.hypotheses import Idea
from agent.notebook import Notebook
from agent.proposal import NothingLeft, Proposal, Proposer
from agent.strategy import Strategy
from agent.wording import hypothesis
from trainer.knobs import Scalar


def settled(notebook: Notebook, strategy: Strategy, idea: Idea | None) -> Proposal | None:
    """What is to be tested, where no proposer is needed for that."""
    if idea is not None:
        return Proposal(
            idea.hypothesis.change, idea.hypothesis.text, idea.hypothesis.proposer or "peer", (idea.record_id,)
        )
    if strategy.change:
        text, inspired_by = hypothesis(notebook, strategy.change)
        return Proposal(strategy.change, text, "search", inspired_by)
    return None


def searched(
    notebook: Notebook, proposer: Proposer, strategy: Strategy, avoid: Sequence[Mapping[str, Scalar]]
) -> Proposal:
    """What a proposer finds by the strategy; where that is nothing, what it finds by a leap. Raises NothingLeft."""
    try:
        return proposer.propose(notebook, notebook.task, avoid=avoid, start=strategy.start, bold=strategy.bold)
    except NothingLeft:
        if strategy.bold:
            raise
        return proposer.propose(notebook, notebook.task, avoid=avoid, bold=True)
