"""The report and the progress picture as one page, which asks nothing of anyone: no script, no font, no request.

The report's Markdown has every text of a peer escaped, and HTML in it would be shown rather than read. A policy in the
page forbids what it does not need, should both ever fail.
"""

import re
from collections.abc import Mapping
from string import Template
from typing import Final

from node.export.chart import COLOURS, write_svg
from node.export.report import write_report
from node.state import State

PAGE: Final = Template(
    """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { $light --code: #f3f4f6; }
@media (prefers-color-scheme: dark) { :root { $dark --code: #21262d; } }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
figure, .wide { margin: 1rem 0; overflow-x: auto; }
figure svg { display: block; width: 100%; min-width: 44rem; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--grid); vertical-align: top; text-align: left; }
th { color: var(--faint); font-weight: 600; }
td:first-child { min-width: 12rem; }
code { background: var(--code); border-radius: .25rem; padding: .1rem .3rem; font-size: .88em; }
</style>
</head>
<body>
<main>
$report
</main>
</body>
</html>
"""
)
DARK: Final = {
    "ink": "#e6edf3",
    "faint": "#9198a1",
    "grid": "#30363d",
    "paper": "#0d1117",
    "own": "#3fb950",
    "swarm": "#58a6ff",
    "limit": "#f0883e",
}


def write_page(state: State, what: str) -> str:
    """The page. Raises ExportError."""
    from markdown_it import MarkdownIt  # only here, as nothing else shows Markdown

    report, figure = write_report(state, what), _figure(write_svg(state, what))
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = reader.render(report).replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    head, heading, rest = html.partition("<h2>")
    return PAGE.substitute(
        title=head.partition("<h1>")[2].partition("</h1>")[0],
        light=_variables(COLOURS),
        dark=_variables(DARK),
        report=f"{head}{figure}{heading}{rest}",
    )


def _figure(svg: str) -> str:
    """The picture as a part of the page, in the page's colours."""
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    opening, _, drawing = svg[svg.index("<svg") :].partition(">")
    scaling = re.sub(r' (width|height)="[^"]*"', "", opening)  # the page says how large
    return f'<figure>{scaling} role="img" aria-label="Progress: the value of each experiment">{drawing}</figure>'


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
