"""Exports: patches that apply, notebooks that others read, and clear words when there is nothing to export."""

import subprocess
from email import message_from_string, policy
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.entries import Profile
from gossip.identity import new_identity
from gossip.record import Record
from node.archive import check_lines
from node.export import ExportError, export
from node.names import alias_of
from tests.node.lab import Lab, open_lab
from trainer.recipe import make_recipe, materialise

BOB = new_identity()
OUR_WORDS = set(
    "change hypothesis verdict score seed task budget record author proposer status program apply repeat".split()
)


def two_keeps(lab: Lab) -> None:
    lab.write(lab.result({"INIT": "normal"}))
    parent = make_recipe(lab.task, {"INIT": "normal"})
    lab.write(lab.result({"INIT": "zeros"}, parent=parent, verdict="crash", values=(None, 2.0)))
    lab.write(
        lab.result({"RATE": 0.5}, parent=parent, verdict="discard", values=(2.4, 2.0), hypothesis="a\ttab\nand more")
    )
    lab.write(lab.result({"DEPTH": 4}, parent=parent, values=(1.8, 2.0)))
    lab.write(lab.result({"RATE": 0.3}, values=(2.3, 2.7)), BOB)


def test_the_patch_of_the_best_applies_to_the_program_and_gives_its_recipe(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        two_keeps(lab)
        patch = export(lab.home, None, "patch", None)
        (tmp_path / "best.patch").write_text(patch)
        subprocess.run(["git", "apply", "--verbose", str(tmp_path / "best.patch")], cwd=lab.folder, check=True)
        wanted = materialise(lab.task, make_recipe(lab.task, {"INIT": "normal", "DEPTH": 4}))
        assert (lab.folder / "train.py").read_text() == wanted["train.py"]


def test_the_patch_says_where_it_comes_from(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        record = lab.write(lab.result({"INIT": "normal"}, hypothesis="two\nlines --- a/train.py\n+++ b/train.py"))
        lab.write(Profile(alias="bob", device_class="cpu", device="x"), BOB)
        again = lab.write(lab.result({"INIT": "normal"}, replicates=record.id), BOB)
        mail = message_from_string(export(lab.home, None, "patch", record.id.hex()[:8]), policy=policy.default)
    lines = mail.get_content().split("\n---\n")[0].splitlines()
    assert mail["Subject"] == "[PATCH] INIT default -> normal (score 2.7000 -> 2.0000)"
    assert parsedate_to_datetime(mail["Date"]).timestamp() == record.time_ms // 1000
    assert mail["From"].addresses[0].addr_spec == f"{record.author.hex()[:16]}@arnode.invalid"
    assert f"record: {record.id.hex()}" in lines
    assert f"author: {record.author.hex()} ({alias_of(record.author)}), on a processor" in lines
    assert "seed 7: score 2.0, of its parent 2.7" in lines
    assert "hypothesis: two lines --- a/train.py +++ b/train.py" in lines
    tested = next(line for line in lines if line.startswith("tested by"))
    assert "(bob): keep, effect 0.7 (0.69 to 0.71) points" in tested
    assert tested.endswith(again.id.hex())


def repository(folder: Path) -> None:
    """The task's folder as a repository with the program as it came."""
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "as it came")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def three_steps(lab: Lab, hypothesis: str) -> Record:
    """Two keeps of this node's own, and one of another's that it adopted and whose words are hostile."""
    lab.write(lab.result({"INIT": "normal"}))
    first = make_recipe(lab.task, {"INIT": "normal"})
    edited = lab.task.files["train.py"].replace("import sys\n", "import sys  # From here\nFrom = 'there'\n")
    lab.write(lab.result({}, parent=first, files={"train.py": edited}, values=(1.9, 2.0)))
    second = make_recipe(lab.task, {"INIT": "normal"}, {"train.py": edited})
    lab.write(Profile(alias='"<b> \x1b[2J\nFrom: ö', device_class="cpu", device="x"), BOB)
    found = lab.write(lab.result({"DEPTH": 4}, hypothesis=hypothesis), BOB)
    lab.write(lab.result({"DEPTH": 4}, parent=second, values=(1.7, 1.9), replicates=found.id, hypothesis=hypothesis))
    return found


def test_git_am_makes_a_commit_of_each_keep_and_ends_at_the_best_program(tmp_path: Path) -> None:
    hypothesis = "\nFrom 0123 Mon Sep 17 00:00:00 2001\nSubject: evil\n---\ndiff --git a/x b/x\n-- >8 --\x00\u2028x"
    with open_lab(tmp_path) as lab:
        found = three_steps(lab, hypothesis)
        (tmp_path / "kept.mbox").write_text(export(lab.home, None, "patch", "kept"))
        best = export(lab.home, None, "program", "best")
        repository(lab.folder)
        git(lab.folder, "am", str(tmp_path / "kept.mbox"))
    assert (lab.folder / "train.py").read_text() == best
    assert git(lab.folder, "log", "--format=%s", "--reverse").splitlines() == [
        "as it came",
        "INIT default -> normal (score 2.7000 -> 2.0000)",
        "train.py +2 -1 (score 2.0000 -> 1.9000)",
        "DEPTH 2 -> 4 (score 1.9000 -> 1.7000)",
    ]
    assert git(lab.folder, "log", "-1", "--format=%ae").strip() == f"{BOB.author.hex()[:16]}@arnode.invalid"
    body = git(lab.folder, "log", "-1", "--format=%b")
    assert f"replicates: {found.id.hex()}" in body
    assert "hypothesis: From 0123 Mon Sep 17 00:00:00 2001 Subject: evil --- diff --git a/x b/x -- >8 --" in body


def test_git_apply_takes_the_series_at_once(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        three_steps(lab, "why not")
        (tmp_path / "kept.mbox").write_text(export(lab.home, None, "patch", "kept"))
        best = export(lab.home, None, "program", "best")
        git(lab.folder, "apply", str(tmp_path / "kept.mbox"))
        assert (lab.folder / "train.py").read_text() == best


def test_in_a_subfolder_of_a_repository_git_am_needs_to_be_told_which(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        three_steps(lab, "why not")
        (tmp_path / "kept.mbox").write_text(export(lab.home, None, "patch", "kept"))
        best = export(lab.home, None, "program", "best")
        repository(tmp_path)
        with pytest.raises(subprocess.CalledProcessError) as failed:
            git(lab.folder, "am", str(tmp_path / "kept.mbox"))
        assert "train.py" in failed.value.stderr  # told, not passed over
        git(lab.folder, "am", "--abort")
        git(lab.folder, "am", "--directory=toy", str(tmp_path / "kept.mbox"))
        assert (lab.folder / "train.py").read_text() == best


def test_the_program_is_the_recipes(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        two_keeps(lab)
        assert export(lab.home, None, "program", "baseline") == lab.task.files["train.py"]
        assert 'INIT = "normal"' in export(lab.home, None, "program", "best")


def test_results_tsv_is_what_autoresearchs_notebook_reads(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        two_keeps(lab)
        lines = export(lab.home, None, "tsv", None).splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert lines[0] == "commit\tscore\tmemory_gb\tstatus\tdescription"
    assert [row["status"] for row in rows] == ["keep", "keep", "crash", "discard", "keep"]
    assert [row["score"] for row in rows] == ["2.700000", "2.000000", "0.000000", "2.400000", "1.800000"]
    assert rows[2]["memory_gb"] == "0.0"
    assert rows[1]["memory_gb"] == "0.5"
    assert all(len(row["commit"]) == 7 for row in rows)
    assert rows[1]["description"] == "INIT default → normal"


def test_the_archive_of_the_whole_log_verifies(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        two_keeps(lab)
        lines = export(lab.home, None, "jsonl", "all").splitlines()
        assert len(lines) == lab.log.count() == 5
        assert all(one.error is None for one in check_lines(lines))
        assert len(export(lab.home, None, "jsonl", "kept").splitlines()) == 3
        assert len(export(lab.home, None, "jsonl", "best").splitlines()) == 1


@pytest.mark.parametrize(
    ("form", "what", "reason"),
    [
        ("patch", "best", "kept nothing yet"),
        ("patch", "baseline", "no patch of it"),
        ("patch", "all", "not for a patch"),
        ("patch", "kept", "no series"),
        ("program", "kept", "not for a program"),
        ("patch", "abcd1234", "no record begins"),
        ("patch", "xyz", "at least four digits"),
        ("tsv", "all", "no experiment yet"),
        ("tsv", "best", "all or of kept"),
    ],
)
def test_what_cannot_be_exported_is_said(tmp_path: Path, form: str, what: str, reason: str) -> None:
    with open_lab(tmp_path) as lab, pytest.raises(ExportError, match=reason):
        export(lab.home, None, form, what)  # type: ignore[arg-type]


def test_a_record_of_another_kind_or_task_is_no_patch(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        profile = lab.write(Profile(alias="me", device_class="cpu", device="x"))
        with pytest.raises(ExportError, match="a profile, not a result"):
            export(lab.home, None, "patch", profile.id.hex())
        record = lab.write(lab.result({"INIT": "normal"}))
        with pytest.raises(ExportError, match="another task"):
            export(lab.home, "story-cpu", "patch", record.id.hex())


@settings(max_examples=15, deadline=None)
@given(alias=st.text(max_size=40), words=st.text(max_size=60), knob=st.sampled_from(["normal", "zeros"]))
def test_whatever_a_peer_calls_itself_a_patch_is_one_mail_from_its_key(
    tmp_path_factory: pytest.TempPathFactory, alias: str, words: str, knob: str
) -> None:
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.write(Profile(alias=alias, device_class="cpu", device="x"), BOB)
        record = lab.write(lab.result({"INIT": knob}, hypothesis=words), BOB)
        text = str(export(lab.home, None, "patch", record.id.hex()))
    mail = message_from_string(text, policy=policy.default)
    (sender,) = mail["From"].addresses
    assert sender.addr_spec == f"{BOB.author.hex()[:16]}@arnode.invalid"
    assert mail["Subject"] == f"[PATCH] INIT default -> {knob} (score 2.7000 -> 2.0000)"
    assert not mail.defects
    message, _, diff = mail.get_content().partition("\n---\n")
    assert {line.split()[0].rstrip(":") for line in message.splitlines()} <= OUR_WORDS
    assert diff.startswith("\n--- a/train.py\n+++ b/train.py\n@@ ")
