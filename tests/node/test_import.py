"""Imports: signed records arrive as they are, anything else as ideas to test, and a bad file changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.entries import Hypothesis, Profile, write
from gossip.identity import new_identity
from gossip.record import Record
from gossip.swarmkey import new_swarm_key
from node.cli import app
from node.events import printable
from node.export import export
from node.export.tsv import HEADER as TSV_HEADER
from node.export.tsv import row
from node.home import Home, open_home
from node.ideas import waiting_ideas
from node.importing import ImportRefused, import_file
from node.membership import Membership, remember_membership
from node.outside import from_tsv, suggested, tsv_columns
from node.running import announced
from node.state import open_state
from tests.node.lab import Lab, open_lab

BOB = new_identity()
HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
GOOD = HEADER + (
    "a1b2c3d\t0.997900\t44.0\tkeep\tbaseline\n"
    "b2c3d4e\t0.993200\t44.2\tkeep\tincrease DEPTH to 4 (was 2)\n"
    "c3d4e5f\t1.005000\t44.0\tdiscard\tswitch to GeLU activation\n"
    "d4e5f6a\t0.000000\t0.0\tcrash\tdouble model width (OOM)\n"
    "e5f6a7b\t0.991000\t44.0\tKEEP\tsomething in words only\n"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def import_text(lab: Lab, text: str, name: str = "results.tsv", home: Home | None = None) -> None:
    file = lab.folder.parent / name
    file.write_text(text)
    import_file(home or lab.home, str(lab.folder), file, as_json=True)


def ideas(lab: Lab) -> list[Hypothesis]:
    return [idea for _, idea in waiting_ideas(lab.home, lab.task)]


def records(home: Home, lab: Lab) -> set[Record]:
    with open_state(home, str(lab.folder), writing=False) as state:
        return {record for _, record in state.log.since()}


def test_what_autoresearch_kept_becomes_hypotheses_that_name_their_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_lab(tmp_path) as lab:
        import_text(lab, GOOD)
        assert json.loads(capsys.readouterr().out) == {
            "records": 0,
            "known_records": 0,
            "hypotheses": 2,
            "known_hypotheses": 0,
            "left_out": 3,
        }
        deeper, words = ideas(lab)
        assert deeper.change == {"DEPTH": 4}
        assert deeper.text == "increase DEPTH to 4 (was 2) (kept elsewhere: results.tsv, b2c3d4e, val_bpb 0.993200)"
        assert words.change == {}
        assert {idea.proposer for idea in ideas(lab)} == {"import"}


def test_the_same_file_again_brings_nothing_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_lab(tmp_path) as lab:
        import_text(lab, GOOD)
        import_text(lab, GOOD)
        assert len(ideas(lab)) == 2
        for path, idea in list(waiting_ideas(lab.home, lab.task)):  # as a running node does
            lab.write(idea)
            path.unlink()
        import_text(lab, GOOD)
        assert ideas(lab) == []
        told = [json.loads(line)["known_hypotheses"] for line in capsys.readouterr().out.splitlines()]
        assert told == [0, 2, 2]


def test_an_archive_gives_another_node_the_records_of_their_authors(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(Profile(alias="bob", device_class="cpu", device="x"), BOB)
        lab.write(lab.result({"INIT": "normal"}), BOB)
        lab.write(lab.result({"DEPTH": 4}))
        other = open_home(tmp_path / "other")
        import_text(lab, str(export(lab.home, None, "jsonl", None)), "all.jsonl", other)
        assert records(other, lab) == records(lab.home, lab)


def test_objects_without_a_signature_become_hypotheses(tmp_path: Path) -> None:
    rows = [
        {"description": "deeper", "status": "keep", "change": {"DEPTH": [2, 4], "NO_SUCH": 1}, "score": 1.9, "id": "x"},
        {"hypothesis": "INIT = normal", "verdict": "keep"},
        {"description": "shallower", "status": "discard"},
    ]
    with open_lab(tmp_path) as lab:
        import_text(lab, "".join(json.dumps(row) + "\n" for row in rows), "found.jsonl")
        first, second = ideas(lab)
    assert (first.change, second.change) == ({"DEPTH": 4}, {"INIT": "normal"})
    assert first.text == "deeper (kept elsewhere: found.jsonl, x, score 1.9)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "a\t1.0\t0.1\tkeep\n", "results.tsv:2: 4 columns where the header has 5"),
        (GOOD + "a\tnan\t0.1\tkeep\tx\n", "results.tsv:7: val_bpb 'nan' is no finite number"),
        (GOOD + "a\t1\t0.1\tmaybe\tx\n", "results.tsv:7: status 'maybe'"),
        (GOOD + "a\t1\t0.1\tkeep\t\n", "results.tsv:7: no description"),
        ("a\tb\n1\t2\n", "results.tsv:1: no column commit, status, description"),
        ("hello\n", "results.tsv:1: no column"),
        ('{"description": "x", "status": "keep"}\n{"status": "keep"}\n', "results.tsv:2: no field description"),
        ('{"record": "AAAA"}\n', "results.tsv:1: "),
        ('{"record"\n', "results.tsv:1: not JSON"),
        ("", "holds no result"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(tmp_path: Path, text: str, words: str) -> None:
    with open_lab(tmp_path) as lab:
        with pytest.raises(ImportRefused) as refused:
            import_text(lab, text)
        assert words in str(refused.value)
        assert lab.log.count() == 0
        assert ideas(lab) == []


def test_a_record_that_was_tampered_with_refuses_the_file(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"DEPTH": 4}), BOB)
        lab.write(lab.result({"DEPTH": 3}), BOB)
        lines = str(export(lab.home, None, "jsonl", None)).splitlines()
        other = open_home(tmp_path / "other")
        with pytest.raises(ImportRefused, match=r"1 line of 2 .*\n.*all.jsonl:2: the field `time_ms`"):
            import_text(lab, lines[0] + "\n" + lines[1].replace('"time_ms": 17', '"time_ms": 18'), "all.jsonl", other)
        assert not other.log.exists()


def test_a_record_of_the_future_waits_outside(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.clock = 4_000_000_000_000
        lab.write(Hypothesis(text="later"), BOB)
        archive = str(export(lab.home, None, "jsonl", None))
        with pytest.raises(ImportRefused, match="minutes ahead"):
            import_text(lab, archive, "all.jsonl", open_home(tmp_path / "other"))


def test_records_of_a_private_swarm_stay_in_it(tmp_path: Path) -> None:
    key = new_swarm_key()
    with open_lab(tmp_path) as lab:
        remember_membership(lab.home, Membership("lab", (), key))
        lab.write(lab.result({"DEPTH": 4}))
        archive = str(export(lab.home, None, "jsonl", None))
        public, inside = open_home(tmp_path / "public"), open_home(tmp_path / "inside")
        remember_membership(inside, Membership("lab", (), key))
        with pytest.raises(ImportRefused, match=f"private swarm with key {key.fingerprint}.*belongs to the swarm main"):
            import_text(lab, archive, "all.jsonl", public)
        assert not public.log.exists()
        import_text(lab, archive, "all.jsonl", inside)
        assert records(inside, lab) == records(lab.home, lab)


def test_who_exports_from_a_private_swarm_is_told_what_that_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_lab(tmp_path) as lab:
        remember_membership(lab.home, Membership("lab", (), new_swarm_key()))
        lab.write(lab.result({"DEPTH": 4}))
    with pytest.raises(SystemExit):
        app(["--home", str(lab.home.folder), "export", "--format", "tsv"])
    told = capsys.readouterr()
    assert told.out.startswith("commit\tscore\t")
    assert "private swarm lab" in told.err
    assert "can read it without the key" in told.err


def test_a_running_node_takes_ideas_but_must_stop_for_records(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(Hypothesis(text="x"), BOB)
        archive = str(export(lab.home, None, "jsonl", None))
        with announced(lab.home, swarm="main", addresses=[], url=None, report=print):
            import_text(lab, GOOD)
            with pytest.raises(ImportRefused, match="stop it"):
                import_text(lab, archive, "all.jsonl")
        assert len(ideas(lab)) == 2


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("DEPTH 2 → 3", {"DEPTH": 3}),
        ("depth 2 -> 3, rate 0.1 -> 0.5", {"DEPTH": 3, "RATE": 0.5}),
        ("set DEPTH=2**2.", {"DEPTH": 4}),
        ("INIT default → normal, DEPTH 2 → 4", {"INIT": "normal", "DEPTH": 4}),
        ("raise depth from 2 to 5; rate = 1", {"DEPTH": 5, "RATE": 1.0}),
        ("a good depth: DEPTH = 5", {"DEPTH": 5}),
        ("DEPTH 2 → 99", {}),
        ("DEPTH 2 → 3.5", {}),
        ("DEPTH 3 → 2", {}),  # what the program has anyway
        ("INDEPTH 2 → 3, DEPTHS = 3", {}),
        ("go deeper", {}),
    ],
)
def test_knobs_that_a_text_sets_are_found(lab: Lab, text: str, change: dict[str, object]) -> None:
    assert suggested(lab.task, text) == change


@given(
    text=st.text(max_size=100).filter(lambda text: text.split() and not text.split()[0].startswith('"')),
    value=st.floats(-1e6, 1e6),
    status=st.sampled_from(["keep", "discard", "crash"]),
)
def test_a_row_of_results_tsv_comes_back_from_it(lab: Lab, text: str, value: float, status: str) -> None:
    line = row("0123abc", value, 512.0, status, text)
    found = from_tsv(lab.task, tsv_columns(TSV_HEADER.format(metric="score")), line)
    assert found.text == printable(" ".join(text.split()))
    assert (found.name, found.status, found.value) == ("0123abc", status, f"score {value:.6f}")
    assert len(line.splitlines()) == 1


def test_a_signed_record_of_this_nodes_own_is_taken_back(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        mine = write(lab.me, lab.task.fingerprint, 1_700_000_000_000, Hypothesis(text="mine"))
        (tmp_path / "mine.jsonl").write_text("")
        lab.log.append([mine])
        archive = str(export(lab.home, None, "jsonl", None))
    lab.home.log.unlink()
    import_text(lab, archive, "mine.jsonl")
    assert records(lab.home, lab) == {mine}
