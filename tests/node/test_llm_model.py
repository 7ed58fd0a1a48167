"""Asking a model: what it may cost holds whatever happens, and one that fails is left alone for a while."""

import json
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from agent.llm.prompt import Circumstances, Message
from agent.llm.synthesis import Entry
from agent.notebook import Notebook
from node.events import Event
from node.lines import line_of
from node.llm.model import MAX_TOKENS, Model
from node.llm.process import CallFailed, Reply, seconds_in
from node.llm.proposing import FIRST_PAUSE, LONGEST_PAUSE, Proposing
from node.llm.spending import Budget, BudgetSpent, LedgerError, Spending, Spent
from node.llm.terms import Address, ModelRefused, Terms, check_terms
from node.told import Told
from tests.trainer.toys import KNOB_TASK

ASKED = [Message("user", "x" * 2000)]
PROMPT = 1000  # tokens at most
PRICE = Terms("some", 1e-6, 1e-5)
FREE = Terms("some", 0.0, 0.0)
MOST = PROMPT * 1e-6 + MAX_TOKENS * 1e-5  # US dollars


class Scripted:
    """A caller that gives what it is told to, and notes when it was asked."""

    def __init__(self, *answers: Reply | CallFailed) -> None:
        self.answers = list(answers)
        self.asked_at: list[float] = []

    async def call(self, messages: Sequence[Message], *, max_tokens: int, seconds: float) -> Reply:
        await trio.lowlevel.checkpoint()
        self.asked_at.append(trio.current_time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, CallFailed):
            raise answer
        return answer


def failed(kind: str, retry_after: float | None = None, *, charged: bool = False) -> CallFailed:
    return CallFailed(kind, "why", retry_after, charged=charged)


def model(caller: Scripted, ledger: Path) -> Model:
    return Model("some/model", caller, PRICE, Spending(ledger, Budget()), seconds=60)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "spending.sqlite"


async def test_what_passes_is_tried_again_later_and_later(ledger: Path, autojump_clock: MockClock) -> None:
    caller = Scripted(failed("busy"), failed("server"), Reply("yes", (10, 5)))
    answer, cost = await model(caller, ledger).ask(ASKED)
    assert (answer, cost.tokens, cost.usd) == ("yes", 15, pytest.approx(6e-5))
    first, second, third = caller.asked_at
    assert 2.0 <= second - first <= 2.5
    assert 4.0 <= third - second <= 5.0


async def test_a_server_that_says_when_to_come_back_is_obeyed(ledger: Path, autojump_clock: MockClock) -> None:
    caller = Scripted(failed("busy", 30.0), Reply("yes", (10, 5)))
    await model(caller, ledger).ask(ASKED)
    assert 30.0 <= caller.asked_at[1] - caller.asked_at[0] <= 37.5


@pytest.mark.parametrize(
    ("failure", "tries"),
    [(failed("busy", 3600.0), 1), (failed("refused"), 1), (failed("slow"), 1), (failed("broken"), 3)],
    ids=["come back in an hour", "refused", "slow", "broken"],
)
async def test_what_does_not_pass_is_not_tried_again(
    ledger: Path, autojump_clock: MockClock, failure: CallFailed, tries: int
) -> None:
    caller = Scripted(failure)
    with pytest.raises(CallFailed):
        await model(caller, ledger).ask(ASKED)
    assert len(caller.asked_at) == tries


@pytest.mark.parametrize(
    ("answer", "usd", "tokens"),
    [
        (Reply("yes", (10, 5)), 6e-5, 15),
        (Reply("y" * 20, None), PROMPT * 1e-6 + 10 * 1e-5, PROMPT + 10),
        (failed("refused"), 0.0, 0),
        (failed("slow", charged=True), MOST, PROMPT + MAX_TOKENS),
    ],
    ids=["as the server counts", "as much as it can have been", "nothing was done", "all of it may have been charged"],
)
async def test_a_call_counts_as_what_it_may_have_cost(
    ledger: Path, answer: Reply | CallFailed, usd: float, tokens: int
) -> None:
    try:
        await model(Scripted(answer), ledger).ask(ASKED)
    except CallFailed:
        assert isinstance(answer, CallFailed)
    assert Spending(ledger, Budget()).total() == Spent(pytest.approx(usd), tokens)


async def test_a_call_that_is_cut_off_counts_in_full(ledger: Path) -> None:
    class Endless(Scripted):
        async def call(self, messages: Sequence[Message], *, max_tokens: int, seconds: float) -> Reply:
            scope.cancel()
            await trio.sleep_forever()
            raise AssertionError

    with trio.CancelScope() as scope:
        await model(Endless(), ledger).ask(ASKED)
    assert scope.cancelled_caught
    assert Spending(ledger, Budget()).total().usd == pytest.approx(MOST)


@pytest.mark.parametrize(
    ("budget", "calls", "why"),
    [
        (Budget(usd=3.5 * MOST), 3, "in all are spent"),
        (Budget(usd_day=2 * MOST), 2, "a day are spent"),
        (Budget(tokens=2 * (PROMPT + MAX_TOKENS)), 2, "tokens in all are used"),
        (Budget(tokens_day=PROMPT), 0, "tokens a day are used"),
    ],
    ids=["USD", "USD a day", "tokens", "tokens a day"],
)
def test_no_call_is_made_that_could_go_beyond_the_budget(ledger: Path, budget: Budget, calls: int, why: str) -> None:
    for _ in range(calls):
        Spending(ledger, budget).reserve("m", PROMPT + MAX_TOKENS, MOST)  # each time as after a restart
    with pytest.raises(BudgetSpent, match=why):
        Spending(ledger, budget).reserve("m", PROMPT + MAX_TOKENS, MOST)


def test_a_days_budget_comes_back_with_the_day_and_a_total_does_not(ledger: Path) -> None:
    day = date(2026, 11, 21)
    budget = Budget(usd=3.0, usd_day=2.0)
    spending = Spending(ledger, budget, lambda: day)
    spending.settle(spending.reserve("m", 10, 1.5), 10, 1.5)
    with pytest.raises(BudgetSpent, match=r"\$1.50 of \$2 a day are spent"):
        spending.reserve("m", 10, 1.0)
    day = date(2026, 11, 22)
    assert spending.today() == Spent(0.0, 0)
    spending.reserve("m", 10, 1.0)
    with pytest.raises(BudgetSpent, match=r"\$2.50 of \$3 in all are spent"):
        spending.reserve("m", 10, 1.0)


def test_what_cannot_be_noted_is_not_spent(ledger: Path) -> None:
    ledger.write_bytes(b"no database " * 100)
    with pytest.raises(LedgerError, match=r"spending.sqlite cannot be used"):
        Spending(ledger, Budget()).reserve("m", 1, 0.0)


AT_HOME = Address("openai/qwen", "http://127.0.0.1:8080/v1")
AWAY = Address("openai/qwen", "https://models.example/v1")


@pytest.mark.parametrize(
    ("terms", "budget", "refused"),
    [
        (FREE, Budget(), None),
        (PRICE, Budget(), "say what it may cost, as in --budget-usd-day 2"),
        (PRICE, Budget(usd=1), None),
        (PRICE, Budget(tokens_day=1), None),
        (Terms("some", None, None), Budget(), "limit its tokens"),
        (Terms("some", None, None), Budget(usd=1), "--budget-usd cannot hold without a price"),
        (Terms("some", None, None), Budget(tokens=1), None),
        (Terms("some", 1.0, 1.0, ("SOME_API_KEY",)), Budget(usd=1), "set SOME_API_KEY in the environment"),
    ],
)
def test_a_model_is_asked_only_where_the_budget_bounds_what_it_costs(
    terms: Terms, budget: Budget, refused: str | None
) -> None:
    if refused is None:
        check_terms(AWAY, terms, budget)
    else:
        with pytest.raises(ModelRefused, match=refused):
            check_terms(AWAY, terms, budget)


@pytest.mark.parametrize(
    ("url", "at_home"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:1234/v1", True),
        ("http://[::1]:8080", True),
        ("http://192.168.1.20:11434", True),
        ("https://api.example.com/v1", False),
        ("http://8.8.8.8/v1", False),
        (None, False),
    ],
)
def test_only_what_runs_on_this_network_is_free_without_a_price(url: str | None, at_home: bool) -> None:
    assert Address("openai/x", url).at_home is at_home


def test_a_key_is_in_no_text_of_an_address() -> None:
    assert "sk-1234" not in f"{Address('m', None, 'sk-1234')!r} {Address('m', None, 'sk-1234')}"


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("Fri, 31 Dec", None), ("-1", None)])
def test_a_waiting_time_is_a_number_of_seconds_or_none(header: str | None, seconds: float | None) -> None:
    assert seconds_in(header) == seconds


class Lab:
    """A model as a proposer of the toy task, with what it told the feed."""

    def __init__(self, nursery: trio.Nursery, caller: Scripted, spending: Spending, terms: Terms = FREE) -> None:
        self.shown: list[Event] = []
        self.caller = caller
        model = Model("some/model", caller, terms, spending, seconds=60)
        self.proposing = Proposing(model, Told(self.shown.append, "ada"), nursery, patience=math.inf)

    async def propose(self) -> object:
        around = Circumstances("a processor")
        return await self.proposing.propose(Notebook(KNOB_TASK, b"m" * 32, "cpu"), KNOB_TASK, around)

    async def synthesise(self) -> Sequence[Entry]:
        book = Notebook(KNOB_TASK, b"m" * 32, "cpu")
        return await self.proposing.synthesise(book, KNOB_TASK, Circumstances("a processor"))

    def told(self, kind: str) -> list[str]:
        return [event.data.get("why") or event.data.get("text", "") for event in self.shown if event.kind == kind]


GOOD = Reply(json.dumps({"hypothesis": "more", "knobs": {"SIZE": 32}}), (10, 5))


async def test_a_model_that_fails_is_left_alone_longer_each_time_and_asked_again(
    nursery: trio.Nursery, ledger: Path, autojump_clock: MockClock
) -> None:
    lab = Lab(nursery, Scripted(failed("refused")), Spending(ledger, Budget()))
    waits = []
    for _ in range(8):
        assert await lab.propose() is None
        asked, began = len(lab.caller.asked_at), trio.current_time()
        while len(lab.caller.asked_at) == asked:
            await trio.sleep(10)
            await lab.propose()
        waits.append(trio.current_time() - began)
    assert waits[:4] == [60, 120, 240, 480]
    assert max(waits) == LONGEST_PAUSE
    assert len(lab.told("trouble")) == len(lab.caller.asked_at), "each failure is told once"
    assert lab.told("trouble")[0] == "refused: why; the node searches, and asks it again in 1 min"
    lab.caller.answers = [GOOD, failed("refused")]
    await trio.sleep(LONGEST_PAUSE)
    assert await lab.propose() is not None
    assert await lab.propose() is None
    assert lab.told("trouble")[-1].endswith("in 1 min"), "what worked once begins anew"


async def test_a_model_that_writes_nonsense_is_left_alone_too(
    nursery: trio.Nursery, ledger: Path, autojump_clock: MockClock
) -> None:
    lab = Lab(nursery, Scripted(Reply("no", (10, 5))), Spending(ledger, Budget()))
    assert await lab.propose() is None
    assert await lab.propose() is None
    assert len(lab.caller.asked_at) == 2, "one question and one repair"
    assert "its answer cannot be used: the answer holds no complete JSON object" in lab.told("trouble")[0]
    await trio.sleep(FIRST_PAUSE)
    await lab.propose()
    assert len(lab.caller.asked_at) == 4


async def test_a_spent_budget_is_told_once_and_the_next_day_the_model_is_asked_again(
    nursery: trio.Nursery, ledger: Path
) -> None:
    today = [date(2026, 11, 21)]
    spending = Spending(ledger, Budget(usd_day=0.2), lambda: today[0])
    spending.reserve("m", 10, 0.19)
    lab = Lab(nursery, Scripted(GOOD), spending, PRICE)
    assert await lab.propose() is None
    assert await lab.propose() is None
    (told,) = lab.told("note")
    assert told.startswith("$0.19 of $0.2 a day are spent, and a call may cost $0.")
    assert "some/model is not asked until there is room, and the node searches" in told
    today[0] = date(2026, 11, 22)
    assert await lab.propose() is not None


async def test_every_call_tells_what_it_cost_and_what_all_have(nursery: trio.Nursery, ledger: Path) -> None:
    lab = Lab(nursery, Scripted(GOOD), Spending(ledger, Budget(usd=1)), PRICE)
    for _ in range(2):
        await lab.propose()
    first, second = (event for event in lab.shown if event.kind == "model")
    assert (first.data["tokens"], first.data["usd"]) == (15, pytest.approx(6e-5))
    assert second.data["total"] == {"tokens": 30, "usd": pytest.approx(1.2e-4)}
    line = line_of(second).plain
    assert line.endswith("asked some/model  15 tokens, $0.0001  today $0.0001  in all $0.0001")
    json.loads(second.to_json())


async def test_what_a_model_concludes_is_nothing_where_it_fails(nursery: trio.Nursery, ledger: Path) -> None:
    said = {"hypotheses": [{"text": "larger", "knobs": {"SIZE": 64}}]}
    lab = Lab(nursery, Scripted(Reply(json.dumps(said), (10, 5)), failed("refused")), Spending(ledger, Budget()))
    (concluded,) = await lab.synthesise()
    assert (concluded.text, concluded.proposer) == ("larger", "some/model")
    assert not await lab.synthesise()
    assert lab.told("trouble") == ["refused: why; the node searches, and asks it again in 1 min"]
