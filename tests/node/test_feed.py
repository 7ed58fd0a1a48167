"""The feed: each event is one line that says the same on a terminal, in a pipe and as JSON."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from agent.entries import Pair
from node.events import Event, change_text, from_json
from node.feed import Feed, feed_console
from node.lines import BODIES, is_quiet, line_of
from node.state import open_state
from node.tally import Tally
from tests.node.lab import open_lab
from tests.node.terminal import terminal

RESULT = {
    "id": "ab" * 32,
    "verdict": "keep",
    "change": {"INIT": ["default", "normal"], "FAST": [False, True]},
    "metric": "score",
    "value": 2.0,
    "parent_value": 2.5,
    "relative": -0.2,
    "effect": 0.5,
    "interval": [0.4, 0.6],
    "seeds": [7, 8],
    "reason": "",
    "replicates": None,
}


def event(kind: str, own: bool = True, **data: object) -> Event:
    return Event(kind, 1_700_000_000_000, "ada", own, data)  # type: ignore[arg-type]


def plain(one: Event) -> str:
    return line_of(one).plain


def test_a_discovery_says_what_changed_by_how_much_and_how_sure() -> None:
    line = plain(event("result", **RESULT))
    for part in (
        "ada",
        "discovery",
        "FAST False → True, INIT default → normal",
        "2.5000 → 2.0000",
        "-20.0%",
        "2 seeds",
        "abababab",
    ):
        assert part in line


def test_a_discovery_says_how_sure_it_is_and_who_holds_it() -> None:
    data = RESULT | {"relative_interval": [-0.24, -0.16], "replicates": "cd" * 32, "replicates_of": "bob"}
    line = plain(event("result", **data, holders=3, nodes=5))
    for part in ("(-24.0% to -16.0%)", "of bob", "held by 3 of 5"):
        assert part in line


def test_own_and_others_lines_differ_without_colours() -> None:
    assert plain(event("note", text="x")).split()[1] == "›ada"
    assert plain(event("note", own=False, text="x")).split()[1] == "ada"


def test_a_confirmation_names_who_kept_it() -> None:
    data = {"id": "ab" * 32, "change": {"A": [1, 2]}, "keepers": 4, "kept_by": ["ada", "bob", "cal", "dan"]}
    assert "kept by ada, bob, cal and 1 more" in plain(event("confirmed", **data))


def test_a_peer_has_a_name_and_a_place() -> None:
    for address, place in (("/ip4/192.0.2.7/tcp/4477/p2p/12D", "192.0.2.7:4477"), ("/ip6/::1/tcp/1/p2p/1", "[::1]:1")):
        data = {"state": "connected", "address": address, "peer": "12D3", "alias": "brisk-toad"}
        assert plain(event("peer", **data)).endswith(f"brisk-toad connected from {place}")


@pytest.mark.parametrize(
    ("verdict", "replicates", "word"),
    [
        ("keep", None, "discovery"),
        ("keep", "cd" * 32, "adopted"),
        ("discard", None, "no gain"),
        ("discard", "cd" * 32, "not here"),
        ("inconclusive", None, "unclear"),
        ("crash", None, "crash"),
    ],
)
def test_every_verdict_has_its_word_and_replications_have_theirs(
    verdict: str, replicates: str | None, word: str
) -> None:
    data = RESULT | {"verdict": verdict, "replicates": replicates, "replicates_of": "bob"}
    line = plain(event("result", **data))
    assert word in line
    assert ("of bob" in line) is (replicates is not None)


def test_a_crash_says_why() -> None:
    data = RESULT | {"verdict": "crash", "value": None, "reason": "oom: needed more than 3000 MB"}
    assert "oom: needed more than 3000 MB" in plain(event("result", **data))


TRIAL = {"status": "ok", "first": False, "value": 1.0, "seconds": 1.0, "metric": "score", "reason": ""}


@pytest.mark.parametrize(
    ("one", "quiet"),
    [
        (event("result", **RESULT | {"verdict": "discard"}), False),
        (event("result", own=False, **RESULT | {"verdict": "discard"}), True),
        (event("result", own=False, **RESULT | {"verdict": "discard", "of_own": True}), False),
        (event("result", own=False, **RESULT | {"verdict": "discard", "of_swarm": True}), False),
        (event("result", own=False, **RESULT | {"verdict": "crash"}), True),
        (event("result", own=False, **RESULT | {"verdict": "keep"}), False),
        (event("result", own=False, **RESULT | {"verdict": "simpler"}), False),
        (event("trial", **TRIAL), True),
        (event("trial", **TRIAL | {"first": True}), False),
        (event("trial", **TRIAL | {"status": "oom", "judged": True}), True),
        (event("trial", **TRIAL | {"status": "oom", "judged": False}), False),
        (event("sync", peer="x", received=9, sent=0), True),
        (event("sync", peer="x", received=10, sent=0), False),
        (event("insight", own=False, text="x"), False),
        (event("trouble", what="x", why="y"), False),
    ],
)
def test_what_others_tried_in_vain_and_what_is_as_it_should_be_is_for_who_asks(
    one: Event, quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_quiet(one) is quiet
    for verbose, json_too, lines in ((False, False, 0 if quiet else 1), (True, False, 1), (False, True, 1)):
        with Feed(Console(force_terminal=False), json=json_too, verbose=verbose) as feed:
            feed.show(one)
        assert len(capsys.readouterr().out.splitlines()) == lines


def test_what_a_peer_wrote_is_never_markup_or_control_characters() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, markup=False, highlight=False, emoji=False)
    hostile = event("insight", text="[red]hello[/red] :skull: \x1b[2J\x07 \u202e and on\nand on")
    with Feed(console) as feed:
        feed.show(hostile)
    shown = out.getvalue()
    assert "[red]hello[/red] :skull:" in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


@given(st.sampled_from(sorted(BODIES)), st.text(max_size=20), st.booleans(), st.integers(0, 2**53))
def test_json_gives_the_event_back(kind: str, who: str, own: bool, time_ms: int) -> None:
    one = Event(kind, time_ms, who, own, {"text": who, "n": [1, 2.5, None]})  # type: ignore[arg-type]
    assert from_json(one.to_json()) == one


@pytest.mark.parametrize("line", ["", "{}", "[]", "7", '{"event": "note"}', "no json"])
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(line)


def test_json_is_one_object_to_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Feed(Console(), json=True) as feed:
        feed.show(event("note", text="two\nlines"))
        feed.progress("x", 0.5, 1.0, 100.0)
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["two\nlines"]


def test_a_pipe_gets_plain_text_without_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Feed(Console(force_terminal=False)) as feed:
        feed.show(event("result", **RESULT))
        feed.progress("x", 0.5, 1.0, 100.0)
        feed.progress_ended()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 1


def test_a_terminal_shows_the_running_trials_and_takes_them_away() -> None:
    out = io.StringIO()
    with Feed(Console(file=out, force_terminal=True, width=120, markup=False)) as feed:
        feed.progress("seed 1: INIT default → normal", 0.42, 3.21, 20_400.0)
        feed.progress("seed 1: parent", 0.1, None, None)
        shown = out.getvalue()
        for part in ("seed 1: INIT default", "seed 1: parent", "42%", "10%", "loss 3.210", "20400 tok/s"):
            assert part in shown
        out.truncate(out.seek(0))
        feed.progress_ended()
        assert "INIT" not in out.getvalue(), "the one that got furthest is the one that ended"
        assert "parent" in out.getvalue()
        feed.idle()
        out.truncate(out.seek(0))
        feed.show(event("note", text="x"))
        assert "parent" not in out.getvalue()


def test_what_came_of_the_work_stays_in_sight_on_a_terminal() -> None:
    out = io.StringIO()
    with Feed(Console(file=out, force_terminal=True, width=80, markup=False)) as feed:
        feed.show(event("result", own=False, **RESULT | {"verdict": "discard"}))
    assert "1 experiment" in out.getvalue()
    assert "no gain" not in out.getvalue()


@pytest.mark.parametrize(("minutes", "words"), [(2, "2:00 left"), (90, "1:30:00 left"), (0, "0:00 left")])
def test_how_much_time_is_left_is_in_sight(minutes: float, words: str) -> None:
    out = io.StringIO()
    with Feed(Console(file=out, force_terminal=True, width=80, markup=False)) as feed:
        feed.ends_in(minutes)
    assert words in out.getvalue()


def test_the_tally_counts_what_happened() -> None:
    tally = Tally()
    assert str(tally) == ""
    for one in (
        event("peer", state="connected", address="", peer="x"),
        event("trial", **TRIAL),
        event("result", **RESULT),
        event("result", own=False, **RESULT | {"verdict": "discard"}),
        event("result", own=False, **RESULT | {"replicates": "cd", "replicates_of": "ada"}),
        event("confirmed"),
    ):
        tally = tally.after(one)
    assert str(tally) == (
        "1 trial · 1 experiment here, 2 elsewhere · 1 discovery · 1 adoption · 1 confirmed · 1 peer · best score 2.0000"
    )
    assert tally.after(event("peer", state="lost", address="", peer="x")).peers == 0


@pytest.mark.parametrize("width", [60, 80, 99, 100, 120])
@given(
    st.text(max_size=40).filter(lambda who: "★" not in who)  # by which the column is found
    | st.sampled_from(["漢字" * 9, "e" + "\u0301" * 30, "\U0001f1e9\U0001f1ea" * 6, "\x1b[2J"])
)
def test_columns_stand_below_each_other_whatever_a_node_calls_itself(width: int, who: str) -> None:
    line = line_of(Event("result", 0, who, False, RESULT), width)
    usual = line_of(Event("result", 0, "ada", False, RESULT), width)
    assert line.cell_len <= width
    assert cell_len(line.plain.partition("★")[0]) == cell_len(usual.plain.partition("★")[0])
    assert max(map(len, re.findall("\u0301+", line.plain)), default=0) <= 2


def test_changes_read_like_a_person_wrote_them() -> None:
    assert (
        change_text({"B": [1, 2], "A": [1e-3, 3e-2], "C": [False, True]}) == "A 0.001 → 0.03, B 1 → 2, C False → True"
    )


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_on_a_narrow_terminal_the_figures_stay(width: int) -> None:
    long = RESULT | {"change": {f"KNOB_{n}": [0.001, 0.002] for n in range(8)}}
    out = io.StringIO()
    with Feed(Console(file=out, force_terminal=True, color_system=None, width=width, markup=False)) as feed:
        feed.show(event("result", **long))
        feed.show(event("note", text="x"))
    lines = re.sub(r"\x1b\[[?\d;]*[A-Za-z]|\r", "", out.getvalue()).split("\n")
    shown, _ = (line for line in lines if "ada" in line)
    assert len(shown) <= width
    assert "-20.0%" in shown
    assert "abababab" in shown or width < 80
    assert "2.5000 → 2.0000" in shown or width < 120
    assert "2 seeds" in shown or width < 200
    assert "…" in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_crash_says_why_on_a_narrow_terminal_too(width: int) -> None:
    data = RESULT | {"verdict": "crash", "value": None, "relative": None, "reason": "crash: loss is nan"}
    line = line_of(event("result", **data), width)
    assert "loss is nan" in line.plain
    assert line.cell_len <= width


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_is_said_in_words_comes_whole_and_is_broken_between_them(width: int) -> None:
    words = [f"word{n}" for n in range(60)]
    lines = line_of(event("trouble", what="log", why=" ".join(words)), width).plain.split("\n")
    assert all(len(line.rstrip()) <= width for line in lines)
    assert " ".join(" ".join(lines).split()).endswith(" ".join(words))
    assert len({len(line) - len(line.lstrip()) for line in lines[1:]}) == 1, "they begin below each other"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_line_to_paste_comes_whole_on_any_terminal(width: int) -> None:
    line = "arnode join --bootstrap /ip4/192.0.2.7/tcp/4477/p2p/12D3KooWQg81SS1Ny31RUkeniYzkqScmNKRkpSKr8ebsgeenVB2M"
    out = io.StringIO()
    with Feed(Console(file=out, force_terminal=True, color_system=None, width=width, markup=False)) as feed:
        feed.show(event("listening", task="story-cpu", swarm="main", join=line, addresses=[]))
    assert line in out.getvalue()


def test_numbers_beyond_reason_stay_short_and_json_stays_json(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=False) as state:
        result = lab.result({"INIT": "normal"}, values=(-1e308, 1e-320))
        wild = result.model_copy(update={"pairs": [Pair(seed=n, candidate=-1.7e308, parent=1e-320) for n in range(9)]})
        for body in (result, wild):
            (told,) = state.take(lab.write(body))
            assert len(plain(told)) < 160
            json.loads(told.to_json(), parse_constant=pytest.fail)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("json", [True, False])
def test_a_feed_whose_file_is_on_a_full_disk_stops_no_node(json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails too
    monkeypatch.setattr("sys.stdout", full)
    with Feed(feed_console(json=json), json=json) as feed:
        for _ in range(2):
            feed.show(Event("note", 1, "me", True, {"text": "hello"}))
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_lines_fit_a_terminal_that_was_made_narrower(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal", "DEPTH": 5, "RATE": 0.25}))
        with terminal("feed", "--follow", home=lab.home.folder, columns=120) as one:
            one.until("discovery")
            one.resize(70)
            lab.write(lab.result({"INIT": "normal", "DEPTH": 6, "RATE": 0.25}))
            one.until("DEPTH 2 → 6")
            wide, narrow = (clean(line) for line in one.seen.splitlines() if "★ discovery" in line)
    assert 70 < cell_len(wide) <= 120
    assert cell_len(narrow) <= 70


@pytest.mark.parametrize(
    ("variables", "colours", "star"),
    [({"NO_COLOR": "1"}, False, "★"), ({"TERM": "dumb"}, False, "★"), ({"PYTHONIOENCODING": "latin-1"}, True, "?")],
)
def test_a_terminal_without_colours_or_letters_still_gets_its_lines(
    variables: dict[str, str], colours: bool, star: str, tmp_path: Path
) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}))
    with terminal("feed", home=tmp_path / "home", columns=120, variables=variables) as one:
        assert one.end() == 0
        assert f"{star} discovery" in one.seen
        assert bool(re.search("\x1b\\[[0-9;]*3[0-7]", one.raw)) is colours


def clean(line: str) -> str:
    """What is seen of a line, without what moves the cursor."""
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]|\r", "", line).strip()
