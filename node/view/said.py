"""What was said in words: insights, and the ideas that wait for a test."""

from collections.abc import Sequence
from typing import Any, Final

from agent.claims import Claim
from agent.hypotheses import Idea, ideas, open_ideas
from agent.insights import standing
from agent.said import ToldInsight
from node.state import State
from node.view.live import Live

MOST: Final = 200


def insight_rows(state: State) -> list[dict[str, Any]]:
    """What stands: the newest insight about each thing, those of most authors first."""
    return [insight_row(state, told) for told in standing(state.notebook)]


def idea_rows(state: State, claims: Sequence[Claim] = (), now_ms: int = 0) -> list[dict[str, Any]]:
    """The open hypotheses, in the order in which this node would test them."""
    return [idea_row(state, idea) for idea in open_ideas(state.notebook, claims=claims, now_ms=now_ms)]


def notebook_view(state: State, live: Live | None, now_ms: int) -> dict[str, Any]:
    """`insights`: what stands; `open`: hypotheses that wait for a test, the next to be tested first; `answered`: the
    others, the latest first. At most MOST of each.
    """
    claims = [
        Claim(author, heard.presence.claim, heard.presence.expires_ms, heard.presence.hypothesis)
        for author, heard in (live.presences.items() if live else ())
    ]
    answered = [idea for idea in ideas(state.notebook) if not idea.is_open]
    return {
        "insights": insight_rows(state)[:MOST],
        "open": idea_rows(state, claims, now_ms)[:MOST],
        "answered": [idea_row(state, idea) for idea in reversed(answered[-MOST:])],
    }


def insight_row(state: State, told: ToldInsight) -> dict[str, Any]:
    """An insight in one line."""
    said = told.insight
    return {
        "id": told.moment[1].hex(),
        "author": told.author.hex(),
        "alias": state.alias(told.author),
        "own": told.author == state.me,
        "time_ms": told.moment[0],
        "kind": said.kind,
        "text": said.text,
        "about": dict(said.about),
        "effect": said.effect,
        "interval": said.interval,
        "authors": said.authors,
        "evidence": [record_id.hex() for record_id in said.evidence],
        "proposer": said.proposer,
    }


def idea_row(state: State, idea: Idea) -> dict[str, Any]:
    """A hypothesis in one line, with who is at it and what came of it."""
    said = idea.hypothesis
    return {
        "id": idea.record_id.hex(),
        "author": idea.author.hex(),
        "alias": state.alias(idea.author),
        "own": idea.author == state.me,
        "time_ms": idea.moment[0],
        "text": said.text,
        "set": dict(said.change),
        "priority": said.priority,
        "evidence": [record_id.hex() for record_id in said.evidence],
        "proposer": said.proposer,
        "open": idea.is_open,
        "claimed_by": [state.alias(author) for author in idea.claimed_by],
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
    }


def answers_of(state: State, record_id: bytes) -> dict[str, Any]:
    """Whether a hypothesis is open, and its answers; nothing for another record."""
    rows = [idea_row(state, idea) for idea in ideas(state.notebook) if idea.record_id == record_id]
    return {name: row[name] for row in rows for name in ("open", "answers")}
