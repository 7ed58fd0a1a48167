"""The report: what it says, and that texts of strangers stay texts in it."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent.entries import Hypothesis, Insight, Profile
from gossip.identity import new_identity
from node.events import printable
from node.export import ExportError, export
from node.export.markdown import bullets, table, text
from tests.node.lab import Lab, open_lab
from trainer.recipe import make_recipe

BOB, CAROL = new_identity(), new_identity()
HOSTILE = "<script>alert(1)</script> | [x](javascript:1) ![x](http://evil/x.png) `</code>` **b** &lt; # <img src=x>"
READER = MarkdownIt("commonmark", {"html": True}).enable("table")


def a_swarm(lab: Lab, words: str = "because") -> None:
    """A discovery that three nodes keep, one that is refuted, a crash, and ideas."""
    lab.write(Profile(alias=words[:40], device_class="cpu", device="x"), BOB)
    found = lab.write(lab.result({"INIT": "normal"}, hypothesis=words), BOB)
    lab.write(lab.result({"INIT": "normal"}, replicates=found.id))
    lab.write(lab.result({"INIT": "normal"}, replicates=found.id), CAROL)
    parent = make_recipe(lab.task, {"INIT": "normal"})
    wrong = lab.write(lab.result({"RATE": 0.5}, parent=parent, values=(1.9, 2.0)), BOB)
    for author in (None, CAROL):
        worse = lab.result({"RATE": 0.5}, parent=parent, verdict="discard", values=(2.5, 2.0), replicates=wrong.id)
        lab.write(worse, author)
    lab.write(lab.result({"INIT": "zeros"}, parent=parent, verdict="crash", values=(None, 2.0)))
    lab.write(Hypothesis(text=f"deeper {words}", change={"DEPTH": 4}), BOB)
    lab.write(Insight(text=f"INIT matters {words}"), BOB)


def section(report: str, name: str) -> str:
    return report.split(f"## {name}\n")[1].split("\n## ")[0]


def test_the_report_says_what_was_found_how_sure_and_what_failed(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        a_swarm(lab)
        report = str(export(lab.home, None, "md", None))
    assert "7 experiments of 3 nodes" in report
    assert "score went from 2.7000 to 2.0000 points (−25.9%)" in section(report, "In short")
    assert "| INIT default → normal | 0.7 | 0.7 (0.69 to 0.71) | **confirmed** by 2 other nodes | because |" in section(
        report, "What was found"
    )
    assert "| INIT | default | normal |" in section(report, "The best recipe of this node")
    assert "INIT matters because (because," in section(report, "What holds across results")
    failed = section(report, "What failed")
    assert "RATE 0.1 → 0.5 (found by because," in failed
    assert "1 × zeros never learn" in failed
    coming = section(report, "What is next")
    assert "deeper because (an idea of because," in coming
    assert "Nobody has changed DEPTH." in coming


def test_without_an_experiment_there_is_no_report(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, pytest.raises(ExportError, match="nothing to report"):
        export(lab.home, None, "md", None)


def test_a_node_that_kept_nothing_has_a_report_too(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, None)))
        report = str(export(lab.home, None, "md", None))
    assert "Nothing yet that holds up." in report
    assert "It has kept nothing yet" in report


@given(st.text(max_size=60))
def test_a_text_in_markdown_reads_as_it_was_said(said: str) -> None:
    """In a list and in a table, for a reader that takes HTML at its word."""
    wanted = printable(" ".join(said.split()))
    for lines in (bullets([text(said)]), table(["head"], [[text(said)]])):
        rendered = READER.render("\n".join(lines))
        cell = re.search(r"<li>(.*)</li>|<td>(.*)</td>", rendered, re.DOTALL)
        assert cell is not None
        assert html.unescape(cell[1] or cell[2] or "") == wanted


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_the_page_holds_strangers_words_as_words_and_asks_nothing_of_anyone(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        a_swarm(lab, HOSTILE)
        page = str(export(lab.home, None, "html", None))
    found = Tags()
    found.feed(page)
    assert found.tags.isdisjoint({"script", "img", "a", "link", "iframe", "object", "form", "base"})
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    fetched = [value for name, value in found.attributes if name in ("src", "href", "xlink:href", "data", "action")]
    assert all(value.startswith("#") for value in fetched)
    assert "url(http" not in page
    assert "INIT matters <script>alert(1)</script>" in html.unescape(page)
    assert "default-src 'none'" in page
    assert "<title>What was found on toy</title>" in page
    assert "<svg" in page
    assert "var(--own)" in page
