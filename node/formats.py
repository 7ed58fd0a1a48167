"""The forms that `arnode export` writes, with a line about each for `--help`; what writes them is in node/export/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

FormatName: TypeAlias = Literal["patch", "program", "tsv", "jsonl", "parquet", "md", "html", "png", "svg"]


@dataclass(frozen=True)
class Format:
    """summary: for `--help`. what: what is exported unless a person says otherwise. binary: not for a terminal."""

    summary: str
    what: str = "all"
    binary: bool = False


FORMATS: Final[Mapping[FormatName, Format]] = {
    "patch": Format("for git am or git apply; with --what kept one commit for each change", what="best"),
    "program": Format("the changed program", what="best"),
    "tsv": Format("autoresearch's results.tsv, of this node's experiments"),
    "jsonl": Format("the signed records, for `arnode verify` and `arnode import`"),
    "parquet": Format("one row for each experiment, for pandas, Polars or DuckDB", binary=True),
    "md": Format("a report to read: what was found, how sure, by whom, what failed, what is next"),
    "html": Format("the same with the progress picture, as one page that needs nothing else"),
    "png": Format("the progress so far as a picture", binary=True),
    "svg": Format("the same in lines and text, for any size"),
}


def format_lines() -> str:
    """The formats as `--help` lists them, one line each."""
    width = max(map(len, FORMATS))
    return "\n".join(f"{name:<{width}}  {form.summary}" for name, form in FORMATS.items())
