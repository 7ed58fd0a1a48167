"""The progress picture: the same records give the same picture, whatever they say."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agent.entries import Profile
from gossip.identity import new_identity
from node.export import ExportError, export
from node.export.chart import COLOURS
from tests.node.lab import Lab, open_lab
from trainer.recipe import make_recipe

BOB = new_identity()
SVG = "{http://www.w3.org/2000/svg}"


def some_progress(lab: Lab) -> None:
    lab.write(lab.result({"INIT": "normal"}, values=(2.3, 2.7)))
    parent = make_recipe(lab.task, {"INIT": "normal"})
    lab.write(lab.result({"INIT": "zeros"}, parent=parent, verdict="crash", values=(None, 2.3)))
    lab.write(lab.result({"RATE": 0.5}, parent=parent, verdict="discard", values=(1e90, 2.3)))
    lab.write(lab.result({"DEPTH": 4}, parent=parent, values=(2.1, 2.3)))
    lab.write(Profile(alias="$\\frac{<b>漢", device_class="cpu", device="x"), BOB)
    lab.write(lab.result({"RATE": 0.3}, values=(2.4, 2.7)), BOB)


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_picture_names_the_task_the_changes_and_the_floor(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        some_progress(lab)
        svg = str(export(lab.home, None, "svg", None))
        assert svg == export(lab.home, None, "svg", None)
    shown = texts(svg)
    assert "toy: 5 experiments of 2 nodes, 3 kept, 1 crashed" in shown
    assert "INIT default → normal" in shown
    assert "DEPTH 2 → 4" in shown
    assert "score, points (lower is better)" in shown
    assert "floor 2" in " ".join(shown)
    assert "best known 1.999" in " ".join(shown)
    # the page replaces these by its own
    assert all(colour in svg for name, colour in COLOURS.items())


def test_a_png_is_one(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        some_progress(lab)
        picture = export(lab.home, None, "png", None)
    assert isinstance(picture, bytes)
    assert picture.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(picture[16:20], "big") == 1920  # pixels across


def test_a_log_in_which_nothing_ever_worked_has_a_picture_too(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        with pytest.raises(ExportError, match="no experiment has ended"):
            export(lab.home, None, "svg", None)
        lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, None)))
        assert "toy: 1 experiment of 1 node, 0 kept, 1 crashed" in texts(str(export(lab.home, None, "svg", None)))


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with open_lab(tmp_path) as lab:
        some_progress(lab)
        with pytest.raises(ExportError, match=r"png needs matplotlib.*arnode\[export\]"):
            export(lab.home, None, "png", None)
