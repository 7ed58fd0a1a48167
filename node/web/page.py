"""The page's files: `/` and `/static/…`, a fixed set that comes with this package, and plotly.js from its own.

The policy lets the browser load scripts and styles from this node alone, run none that stand in the page or come from a
record, and make no markup of text (trusted types). Plotly's ordinary bundle works under it: it needs `eval` for WebGL
traces only, which are not used, and leaves its styles out where an element says that they are there already (page.html,
plotly.css). Its style for maps is blocked, and the browser's console says so once; nothing here is a map.
"""

import importlib.util
from pathlib import Path
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
STATIC: Final = Path(__file__).parent / "static"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PLOTLY: Final = "plotly.min.js"
KEEP_SECONDS: Final = 24 * 3600  # plotly's 5 MB; the page's own files are small and asked for each time


def routes() -> list[Route]:
    """The page and its files."""
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}

    async def front(request: Request) -> Response:
        return await _file(files["page.html"], {"Content-Security-Policy": POLICY})

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name == PLOTLY:
            found = plotly_script()
            if found is None:
                return PlainTextResponse("plotly is not installed here: pip install plotly\n", 404)
            return await _file(found, {"Cache-Control": f"private, max-age={KEEP_SECONDS}"})
        if name not in files:
            return PlainTextResponse("no such file\n", 404)
        return await _file(files[name], {})

    return [Route("/", front), Route("/static/{name}", static)]


async def _file(path: Path, headers: dict[str, str]) -> Response:
    text = await trio.to_thread.run_sync(path.read_bytes)
    return Response(text, media_type=TYPES[path.suffix], headers=headers)


def plotly_script() -> Path | None:
    """plotly.js in the plotly package, found without importing that, which would load 40 MB of Python for one file."""
    package = importlib.util.find_spec("plotly")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "package_data" / PLOTLY
    return path if path.is_file() else None
