import random
import statistics
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.belief import Step, draw, place
from agent.cells import near_class
from agent.entries import read
from agent.notebook import Notebook
from agent.proposal import NothingLeft
from agent.search import Search
from agent.span import Span
from agent.wording import hypothesis
from tests.agent.test_notebook import ANN, BOB, ME, TASK, Writer, notebook
from tests.agent.world import DEVICE_CLASS, KNOBS, Uniform, experiments_to, knob, make_swarm, make_task
from trainer.knobs import Scalar
from trainer.recipe import make_recipe, values
from trainer.task import Knob

NUMERIC = [k for k in TASK.knobs.values() if Span.of(k)]


def test_every_proposal_is_an_allowed_and_untried_change_of_the_best_recipe() -> None:
    swarm = make_swarm(3)
    swarm.run(minutes=5)
    book = swarm.nodes[0].notebook
    search = Search(9)
    for _ in range(60):
        proposal = search.propose(book, swarm.world.task)
        current = values(swarm.world.task, book.best())
        assert proposal.change
        assert all(current[name] != value for name, value in proposal.change.items())
        assert not book.was_tried(book.on_best(proposal.change), by_anyone=True)


def test_a_change_is_of_few_knobs() -> None:
    search = Search(1)
    sizes = [len(search.propose(notebook(), TASK).change) for _ in range(200)]
    assert 0.3 < sizes.count(1) / 200 < 0.7
    assert max(sizes) <= 3


def test_a_bold_change_is_of_more_knobs() -> None:
    search = Search(1)
    sizes = [len(search.propose(notebook(), TASK, bold=True).change) for _ in range(100)]
    assert 2 <= statistics.fmean(sizes) <= 5


def test_ideas_that_start_from_another_recipe_are_still_changes_of_the_best() -> None:
    write = Writer()
    book = notebook(write.test(ME, {"TIED": True}, 0.1))
    start = make_recipe(TASK, {"OPTIMIZER": "muon", "INIT": "normal"})
    search = Search(1)
    for _ in range(50):
        candidate = values(TASK, book.on_best(search.propose(book, TASK, start=start).change))
        away = [name for name, value in values(TASK, start).items() if candidate[name] != value]
        assert 1 <= len(away) <= 4  # and what is known to gain


def test_what_is_sure_to_gain_is_changed_too() -> None:
    write = Writer()
    changes: list[dict[str, Scalar]] = [{"TIED": True}, {"QK_NORM": True}, {"X0_LAMBDA": True}, {"POSITIONS": "rope"}]
    book = notebook(*(write.test(ANN, setting, 0.2, "discard") for setting in changes))
    sure = {name for setting in changes for name in setting}
    assert all(sure <= set(Search(seed).propose(book, TASK).change) for seed in range(20))


def test_of_near_duplicates_three_are_tried_and_no_more() -> None:
    task = make_task([knob("LR", "float", 0.001, low=1e-4, high=3e-2, log=True), knob("TIED", "bool", False)])
    write = Writer()
    book = Notebook(task, ME.author, DEVICE_CLASS)
    for lr in (0.00300, 0.00301, 0.00302):
        book.add(write(ANN, read(write.test(ANN, {"LR": lr}, 0.05, "discard")), task.fingerprint))
    full = near_class(task, make_recipe(task, {"LR": 0.003}))
    assert len(book.near(make_recipe(task, {"LR": 0.003}))) == 3
    proposed = [book.on_best(Search(seed).propose(book, task).change) for seed in range(100)]
    assert full not in {near_class(task, recipe) for recipe in proposed}
    assert any(0.002 < float(values(task, recipe)["LR"]) < 0.005 for recipe in proposed)


def test_numbers_have_three_significant_digits() -> None:
    search = Search(2)
    for _ in range(200):
        for name, value in search.propose(notebook(), TASK).change.items():
            if TASK.knobs[name].type == "float":
                assert value == float(f"{value:.3g}")


def test_what_peers_are_testing_is_left_to_them() -> None:
    task = make_task([knob("TIED", "bool", False), knob("QK_NORM", "bool", False)])
    book = Notebook(task, ME.author, DEVICE_CLASS)
    for seed in range(20):
        proposal = Search(seed).propose(book, task, avoid=[{"TIED": True}, {"TIED": True, "QK_NORM": True}])
        assert proposal.change == {"QK_NORM": True}


def test_what_peers_discovered_is_left_for_replication() -> None:
    task = make_task([knob("TIED", "bool", False), knob("QK_NORM", "bool", False)])
    write = Writer()
    book = Notebook(task, ME.author, DEVICE_CLASS)
    found = write.test(ANN, {"TIED": True}, 0.1)
    book.add(write(ANN, read(found), task.fingerprint))
    assert {frozenset(Search(seed).propose(book, task).change) for seed in range(20)} <= {
        frozenset({"QK_NORM"}),
        frozenset({"TIED", "QK_NORM"}),
    }


def test_what_failed_here_once_may_be_tried_again_from_another_recipe() -> None:
    task = make_task([knob("TIED", "bool", False), knob("QK_NORM", "bool", False)])
    write = Writer()
    failed = write.test(ME, {"TIED": True}, -0.01, "discard")
    moved = write.test(ME, {"QK_NORM": True}, 0.1)
    book = Notebook(task, ME.author, DEVICE_CLASS)
    for record in (failed, moved):
        book.add(write(ME, read(record), task.fingerprint))
    assert Search(1).propose(book, task).change == {"TIED": True}


def test_a_choice_without_alternatives_is_no_knob_to_turn() -> None:
    task = make_task([knob("ONLY", "choice", "this", choices=("this",)), knob("TIED", "bool", False)])
    book = Notebook(task, ME.author, DEVICE_CLASS)
    assert all(Search(seed).propose(book, task).change == {"TIED": True} for seed in range(10))


def test_any_number_of_claims_can_be_borne() -> None:
    assert Search(1).propose(notebook(), TASK, avoid=[{name: 1} for name in TASK.knobs] * 500).change


def test_nodes_that_know_the_same_propose_different_things() -> None:
    proposals = {tuple(sorted(Search(seed).propose(notebook(), TASK).change.items())) for seed in range(24)}
    assert len(proposals) >= 16


def test_the_same_seed_and_notebook_give_the_same_proposals() -> None:
    first, second = (Search(5) for _ in range(2))
    for _ in range(5):
        assert first.propose(notebook(), TASK) == second.propose(notebook(), TASK)


def test_where_what_promises_most_was_tried_the_rest_is_tried_too() -> None:
    few = [one for one in KNOBS if one.name in ("TIED", "NORM", "DEPTH")]
    task = make_task(few)
    write = Writer()
    book = Notebook(task, ME.author, DEVICE_CLASS)
    search = Search(1)
    tried = 0
    while tried < 44:  # of 47
        change = search.propose(book, task).change
        # nothing helps, and one value hurts so much that nobody would go there again
        effect = -5.0 if change.get("NORM") == "none" else -0.01
        book.add(write(ANN, read(write.test(ANN, dict(change), effect, "discard")), task.fingerprint))
        tried += 1


def test_a_space_that_is_used_up_is_said_to_be() -> None:
    task = make_task([knob("TIED", "bool", False)])
    write = Writer()
    book = Notebook(task, ME.author, DEVICE_CLASS)
    assert Search(1).propose(book, task).change == {"TIED": True}
    book.add(write(ANN, read(write.test(ANN, {"TIED": True}, -0.1, "discard")), task.fingerprint))
    with pytest.raises(NothingLeft, match="widen the knobs"):
        Search(1).propose(book, task)


def test_the_device_classs_priors_lead_the_first_choices() -> None:
    priors = (("A", 8.0), ("B", 1.0), ("C", 1.0))
    task = make_task([knob(name, "float", 0.5, low=0.0, high=1.0, prior={"cpu": p}) for name, p in priors])

    def share(device_class: str) -> float:
        search = Search(3)
        book = Notebook(task, ME.author, device_class)
        alone = [change for _ in range(200) if len(change := search.propose(book, task).change) == 1]
        return statistics.fmean("A" in change for change in alone)

    assert share("cpu") > 0.55
    assert share("cuda-80g+") < 0.45


def test_a_knob_on_which_everybody_failed_is_drawn_less() -> None:
    write = Writer()
    failed = [write.test(who, {"LR": lr}, -0.1, "discard") for who in (ANN, BOB) for lr in (0.002, 0.005, 0.01, 0.0005)]
    before, after = (_shareread("LR", book) for book in (notebook(), notebook(*failed)))
    assert after < before / 2


def _shareread(name: str, book: Notebook) -> float:
    search = Search(4)
    return statistics.fmean(name in search.propose(book, TASK).change for _ in range(300))


def test_it_needs_fewer_experiments_than_uniform_random_changes() -> None:
    numbers = range(1, 11)
    ours = [experiments_to(Search(n), n, 0.68, 150) for n in numbers]
    uniform = [experiments_to(Uniform(n), n, 0.68, 150) for n in numbers]
    assert statistics.fmean(ours) < 0.75 * statistics.fmean(uniform), (ours, uniform)


def test_it_is_fast_on_two_thousand_records() -> None:
    write, rng = Writer(), random.Random(6)
    records = []
    for i in range(2000):
        change = Uniform(i).propose(notebook(), TASK).change
        gain = rng.gauss(-0.02, 0.03)
        records.append(write.test(rng.choice([ME, ANN, BOB]), change, gain, "keep" if gain > 0.03 else "discard"))
    book = notebook(*records)
    search = Search(7)
    search.propose(book, TASK)  # imports numpy
    started = time.process_time()
    for _ in range(5):
        search.propose(book, TASK)
    assert (time.process_time() - started) / 5 < 0.2


def test_importing_the_agent_does_not_import_numpy() -> None:
    code = "import sys, agent.search, agent.policy; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Sentences


def test_hypotheses_read_well() -> None:
    write = Writer()
    kept = [write.test(who, {"LR": lr}, 0.1) for who, lr in ((ANN, 0.003), (BOB, 0.0032))]
    worse = write.test(ANN, {"DEPTH": 7}, -0.08, "discard", parent=make_recipe(TASK, {"TIED": True}))
    swapped = write.test(ANN, {"ACTIVATION": "gelu"}, 0.1, parent=make_recipe(TASK, {"ACTIVATION": "relu2"}))
    book = notebook(*kept, worse, swapped)
    assert hypothesis(book, {"LR": 0.0031}) == (
        "LR 0.0031 instead of 0.001: kept by 2 nodes at similar values",
        tuple(record.id for record in kept),
    )
    assert hypothesis(book, {"LR": 0.02})[0] == "LR 0.02 instead of 0.001: further in the direction that paid"
    assert hypothesis(book, {"DEPTH": 8})[0] == "DEPTH 8 instead of 3: 7 was worse by 0.08, on another recipe"
    assert hypothesis(book, {"DEPTH": 4})[0] == "DEPTH 4 instead of 3: a part of the range that nobody tried"
    assert hypothesis(book, {"INIT": "normal"})[0] == (
        "INIT normal instead of default: not tried yet, promising on cpu"
    )
    assert hypothesis(book, {"QK_NORM": True})[0] == "QK_NORM True instead of False: not tried yet"
    assert hypothesis(book, {"ACTIVATION": "relu2"})[0] == (
        "ACTIVATION relu2 instead of gelu: given up for gelu, but on another recipe"
    )
    assert hypothesis(book, {"TIED": True, "DEPTH": 4})[0] == (
        "DEPTH 4 instead of 3 and TIED True instead of False: in case they help only together"
    )


# Values


@given(st.sampled_from(NUMERIC), st.floats(-1, 2))
def test_every_position_gives_an_allowed_value(knob: Knob, position: float) -> None:
    span = Span.of(knob)
    assert span is not None
    value = span.value(min(max(position, 0), 1))
    assert knob.check(value) == value
    assert 0 <= span.position(value) <= 1


# What is believed of values

DRAWN = 200


def gains(name: str, steps: list[Step]) -> list[float]:
    """Mean gain of each place of a knob over its default, over draws."""
    knobs = {knob.name: knob for knob in KNOBS}
    here = place(knobs[name], knobs[name].default)
    drawn = [truth[name] for truth in draw(knobs, DEVICE_CLASS, steps, 1, DRAWN)]
    return [statistics.fmean(heights[there] - heights[here] for heights in drawn) for there in range(len(drawn[0]))]


def step(improvement: float, variance: float = 2.0, **change: Scalar) -> Step:
    defaults = {knob.name: knob.default for knob in KNOBS}
    return Step({name: (defaults[name], value) for name, value in change.items()}, improvement, variance)


def test_draws_gather_where_values_were_good() -> None:
    seen = {0.0003: -8.0, 0.002: 12.0, 0.003: 14.0, 0.01: -10.0}
    mean = gains("LR", [step(gain, LR=lr) for lr, gain in seen.items()])
    lr = TASK.knobs["LR"]
    span = Span.of(lr)
    assert span is not None
    assert 0.0012 < span.value(mean.index(max(mean)) / 16) < 0.006


def test_knobs_that_changed_together_are_told_apart_by_other_experiments() -> None:
    together = step(20.0, TIED=True, QK_NORM=True)
    assert abs(gains("TIED", [together])[1] - gains("QK_NORM", [together])[1]) < 4
    apart = [together, step(0.2, QK_NORM=True)]
    assert gains("TIED", apart)[1] > 15
    assert abs(gains("QK_NORM", apart)[1]) < 3


def test_evidence_that_is_blurred_counts_less() -> None:
    sure, blurred = (gains("TIED", [step(-15.0, variance, TIED=True)])[1] for variance in (2.0, 400.0))
    assert sure < -11
    assert sure < blurred - 4


def test_a_knob_of_small_steps_is_thought_to_matter_less() -> None:
    knobs = {knob.name: knob for knob in KNOBS}
    small = [step(0.3, ACTIVATION=value) for value in ("relu2", "swiglu")]
    spread = [
        statistics.pstdev(truth["ACTIVATION"][0] for truth in draw(knobs, DEVICE_CLASS, steps, 1, DRAWN))
        for steps in ([], small)
    ]
    assert spread[1] < 0.85 * spread[0]
