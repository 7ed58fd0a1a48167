"""Export: what was found, in forms that other tools and people read. Each form has a module here; node/formats.py names
them."""

from collections.abc import Callable, Mapping
from typing import Final

from node.export.chart import write_png, write_svg
from node.export.choice import ExportError, find_record, find_result, recipe_of
from node.export.jsonl import write_jsonl
from node.export.page import write_page
from node.export.parquet import write_parquet
from node.export.patch import write_patch
from node.export.program import write_program
from node.export.report import write_report
from node.export.tsv import write_tsv
from node.formats import FORMATS, FormatName
from node.home import Home
from node.state import State, open_state

__all__ = ["ExportError", "export", "find_record", "find_result", "recipe_of"]

WRITERS: Final[Mapping[FormatName, Callable[[State, str], str | bytes]]] = {
    "patch": write_patch,
    "program": write_program,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "md": write_report,
    "html": write_page,
    "png": write_png,
    "svg": write_svg,
}


def export(home: Home, task: str | None, form: FormatName, what: str | None) -> str | bytes:
    """An export as text, or as bytes where the form is binary.

    form: one of FORMATS. what: best, baseline, kept, all, or a record's id or its first digits; None for what the form
    is usually of. Raises ExportError.
    """
    with open_state(home, task, writing=False) as state:
        return WRITERS[form](state, what or FORMATS[form].what)
