"""What the nodes made of the results: insights, and hypotheses with how each was answered."""

from typing import Any, Final

from agent.claims import Claim
from agent.hypotheses import Idea, ideas, open_ideas
from agent.said import ToldInsight
from node.state import State
from node.view.live import Live

MOST: Final = 200


def notebook_view(state: State, live: Live | None, now_ms: int) -> dict[str, Any]:
    """`insights`, the latest first: id, author, alias, own, time_ms, text, kind, about (knob -> value or None), effect,
    low, high, authors, evidence, proposer. `open`: hypotheses that wait for a test, the most promising first;
    `answered`: the others, the latest first; each with id, author, alias, own, time_ms, text, change (knob -> value),
    priority, proposer, evidence, answers (id, alias, own, verdict, effect), claimed_by (aliases). At most MOST each.
    """
    claims = [
        Claim(author, said.presence.claim, said.presence.expires_ms, said.presence.hypothesis)
        for author, said in (live.presences.items() if live else ())
    ]
    waiting = open_ideas(state.notebook, claims=claims, now_ms=now_ms)
    answered = [idea for idea in ideas(state.notebook) if not idea.is_open]
    return {
        "insights": [_insight(state, told) for told in reversed(state.notebook.insights()[-MOST:])],
        "open": [_idea(state, idea) for idea in waiting[:MOST]],
        "answered": [_idea(state, idea) for idea in reversed(answered[-MOST:])],
    }


def _insight(state: State, told: ToldInsight) -> dict[str, Any]:
    said = told.insight
    return {
        **_by(state, told.moment[1], told.author, told.moment[0]),
        "text": said.text,
        "kind": said.kind,
        "about": dict(said.about),
        "effect": said.effect,
        "low": said.interval[0] if said.interval else None,
        "high": said.interval[1] if said.interval else None,
        "authors": said.authors,
        "evidence": [record_id.hex() for record_id in said.evidence],
        "proposer": said.proposer,
    }


def _idea(state: State, idea: Idea) -> dict[str, Any]:
    said = idea.hypothesis
    return {
        **_by(state, idea.record_id, idea.author, idea.moment[0]),
        "text": said.text,
        "change": dict(said.change),
        "priority": said.priority,
        "proposer": said.proposer,
        "evidence": [record_id.hex() for record_id in said.evidence],
        "answers": [
            {
                "id": answer.record_id.hex(),
                "alias": state.alias(answer.author),
                "own": answer.author == state.me,
                "verdict": answer.verdict,
                "effect": answer.effect,
            }
            for answer in idea.answers
        ],
        "claimed_by": [state.alias(author) for author in idea.claimed_by],
    }


def _by(state: State, record_id: bytes, author: bytes, time_ms: int) -> dict[str, Any]:
    return {
        "id": record_id.hex(),
        "author": author.hex(),
        "alias": state.alias(author),
        "own": author == state.me,
        "time_ms": time_ms,
    }
