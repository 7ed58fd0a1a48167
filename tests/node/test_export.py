"""Exports: patches that apply, notebooks that others read, and clear words when there is nothing to export."""

import subprocess
from pathlib import Path

import pytest

from agent.entries import Profile
from gossip.identity import new_identity
from node.archive import check_lines
from node.export import ExportError, export
from tests.node.lab import Lab, open_lab
from trainer.recipe import make_recipe, materialise

BOB = new_identity()


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
        lab.write(lab.result({"INIT": "normal"}, replicates=record.id), BOB)
        text = export(lab.home, None, "patch", record.id.hex()[:8])
        header = list(text.split("--- a/train.py\n")[0].splitlines())
        assert all(line.startswith("# ") for line in header if "two lines" not in line)
        assert f"# record: {record.id.hex()}" in header
        assert f"# author: {lab.me.author.hex()}" in text
        assert "# seed 7: score 2.0" in header
        assert any("(bob): keep" in line for line in header)


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
        ("patch", "kept", "for tsv and jsonl"),
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
