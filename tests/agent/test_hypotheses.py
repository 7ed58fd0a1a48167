"""Open hypotheses: answered, claimed, ordered; and that nobody fills the list or closes it by lying."""

from collections.abc import Mapping

import pytest

from agent.claims import Claim
from agent.entries import Hypothesis
from agent.hypotheses import OF_ONE_AUTHOR, Idea, ideas, open_ideas, takeable
from agent.notebook import Notebook
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, INIT, ME, Writer, notebook
from trainer.knobs import Scalar

NOW = 1_700_000_500_000


def idea(write: Writer, who: Identity, change: Mapping[str, Scalar], priority: float = 0.5, by: str = "rule") -> Record:
    return write(who, Hypothesis(text="it may help", change=dict(change), priority=priority, proposer=by))


def only(book: Notebook) -> Idea:
    (one,) = ideas(book)
    return one


@pytest.mark.parametrize(
    ("verdict", "still_open"), [("keep", False), ("discard", False), ("crash", False), ("inconclusive", True)]
)
def test_a_clear_result_that_names_it_answers_it(verdict: str, still_open: bool) -> None:
    write = Writer()
    told = idea(write, ANN, INIT)
    answer = write.test(BOB, INIT, 0.1, verdict, inspired_by=[told.id])
    stray = write.test(CAT, INIT, 0.1, inspired_by=[])
    found = only(notebook(answer, stray, told))  # in whatever order they come
    assert [(a.record_id, a.author, a.verdict) for a in found.answers] == [(answer.id, BOB.author, verdict)]
    assert found.is_open == still_open
    assert [one.record_id for one in open_ideas(notebook(told, answer))] == ([told.id] if still_open else [])


def test_a_result_of_something_else_is_no_answer() -> None:
    write = Writer()
    told = idea(write, ANN, INIT)
    other = write.test(BOB, {**INIT, "TIED": True}, -0.1, "discard", inspired_by=[told.id])
    assert only(notebook(told, other)).answers == ()


def test_an_idea_in_words_is_answered_by_whatever_names_it() -> None:
    write = Writer()
    told = idea(write, ANN, {})
    answer = write.test(BOB, {"TIED": True}, 0.1, inspired_by=[told.id])
    assert not only(notebook(told, answer)).is_open
    assert takeable(notebook(told)) == []  # there is nothing to set


def test_three_unclear_answers_end_it() -> None:
    write = Writer()
    told = idea(write, ANN, INIT)
    unclear = [write.test(who, INIT, 0.001, "inconclusive", inspired_by=[told.id]) for who in (BOB, CAT, ME)]
    assert only(notebook(told, *unclear[:2])).is_open
    assert not only(notebook(told, *unclear)).is_open


def test_whom_this_node_does_not_believe_cannot_close_an_idea() -> None:
    write = Writer()
    told = idea(write, ANN, INIT)
    lies: list[Record] = []
    for depth in (1, 2, 4, 5, 6, 7):
        lie = write.test(BOB, {"DEPTH": depth}, 0.1)
        lies += [lie, write.test(ME, {"DEPTH": depth}, -0.01, "discard", replicates=lie.id)]
    closing = write.test(BOB, INIT, -0.1, "discard", inspired_by=[told.id])
    assert not only(notebook(told, closing)).is_open
    assert only(notebook(told, closing, *lies)).is_open


def test_a_claim_holds_until_it_expires_and_keeps_others_away() -> None:
    write = Writer()
    told, words = idea(write, ANN, INIT), idea(write, ANN, {"TIED": True})
    book = notebook(told, words)
    claims = [Claim(BOB.author, INIT, NOW + 1000), Claim(CAT.author, {"LR": 0.01}, NOW + 500, hypothesis=words.id)]
    by = {one.record_id: one.claimed_by for one in ideas(book, claims=claims, now_ms=NOW)}
    assert by == {told.id: (BOB.author,), words.id: (CAT.author,)}
    assert takeable(book, claims=claims, now_ms=NOW) == []
    assert [one.record_id for one in takeable(book, claims=claims, now_ms=NOW + 700)] == [words.id]
    assert len(takeable(book, claims=claims, now_ms=NOW + 1000)) == 2


def test_the_own_persons_idea_comes_first_even_where_a_peer_is_at_it() -> None:
    write = Writer()
    promising = idea(write, ANN, {"TIED": True}, priority=1.0)
    mine = idea(write, ME, INIT, priority=0.1, by="person")
    book = notebook(promising, mine)
    claims = [Claim(BOB.author, INIT, NOW + 1000)]
    assert [one.record_id for one in takeable(book, claims=claims, now_ms=NOW)] == [mine.id, promising.id]


def test_the_promise_orders_and_credibility_tempers_it() -> None:
    write = Writer()
    lie = write.test(ANN, {"DEPTH": 7}, 0.1)
    refuted = [lie, write.test(ME, {"DEPTH": 7}, -0.1, "discard", replicates=lie.id)]
    loud, modest = idea(write, ANN, INIT, priority=0.8), idea(write, BOB, {"TIED": True}, priority=0.7)
    assert [one.record_id for one in open_ideas(notebook(loud, modest))] == [loud.id, modest.id]
    assert [one.record_id for one in open_ideas(notebook(loud, modest, *refuted))] == [modest.id, loud.id]


def test_what_is_tested_held_or_not_allowed_here_is_not_taken() -> None:
    write = Writer()
    told = [
        idea(write, ANN, INIT),
        idea(write, ANN, {"TIED": True}),
        idea(write, ANN, {"INIT": "nonsense"}),
        idea(write, ANN, {"NO_SUCH_KNOB": 1}),
        idea(write, ANN, {"POSITIONS": "rope"}),
    ]
    mine = [write.test(ME, INIT, 0.1), write.test(ME, {"DEPTH": 4}, 0.1)]
    own = [write.test(ME, {"TIED": True}, -0.1, "discard", parent=notebook(*mine).best())]
    book = notebook(*told, *mine, *own)
    assert [one.hypothesis.change for one in takeable(book)] == [INIT, {"POSITIONS": "rope"}]
    assert len(open_ideas(book)) == len(told)


def test_one_author_does_not_fill_the_list() -> None:
    write = Writer()
    many = [idea(write, ANN, {"LR": 0.001 + n / 1e4}) for n in range(1, OF_ONE_AUTHOR + 10)]
    other = idea(write, BOB, INIT)
    waiting = open_ideas(notebook(other, *many))
    assert len(waiting) == OF_ONE_AUTHOR + 1
    assert other.id in {one.record_id for one in waiting}
    assert many[0].id not in {one.record_id for one in waiting}
