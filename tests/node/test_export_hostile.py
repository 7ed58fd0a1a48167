"""Exports of a log with hostile records: every form is made, and the page does nothing in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.export import ExportError, export
from node.formats import FORMATS, FormatName
from tests.node.hostile import OVERRIDE, hostile
from tests.node.lab import Lab, open_lab
from tests.node.served import open_browser
from trainer.errors import TrainerError
from trainer.recipe import make_recipe


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.write(lab.result({"INIT": "normal"}))
        hostile(lab)
        lab.write(lab.result({"DEPTH": 4}, parent=make_recipe(lab.task, {"INIT": "normal"}), values=(1.9, 2.0)))
        yield lab


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_is_made_and_steers_no_terminal(lab: Lab, form: FormatName) -> None:
    made = export(lab.home, None, form, None)
    assert made
    if isinstance(made, str):
        assert "\x1b" not in made
        assert OVERRIDE not in made or form == "jsonl"  # which holds the very words that were signed


def test_every_hostile_record_can_be_a_patch_or_is_refused_in_words(lab: Lab) -> None:
    for _, record in lab.log.since():
        if record.kind == "result":
            try:
                made = str(export(lab.home, None, "patch", record.id.hex()))
            except (ExportError, TrainerError) as error:
                made = str(error)
            assert OVERRIDE not in made


def test_the_page_asks_and_runs_nothing_in_a_browser(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(str(export(lab.home, None, "html", None)))
    asked: list[str] = []
    with open_browser() as browser:
        shown = browser.new_page()
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("dialog", lambda dialog: asked.append(dialog.message))
        shown.goto(file.as_uri())
        assert shown.locator("h1").inner_text() == "What was found on toy"
        assert shown.locator("svg text").count() > 5
        assert shown.locator("script, img, iframe, form, main a, main b").count() == 0
        assert "<script>alert(2)</script>" in shown.locator("main").inner_text()
    assert asked == [file.as_uri()]
