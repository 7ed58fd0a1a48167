"""A server on loopback that gives files as the Hugging Face Hub does.

It names size and SHA-256 where it redirects; the file lies elsewhere, under another ETag, and is given in ranges.
"""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """files: bytes by name, changed as a test likes; stall: give half of what is asked for, then nothing until `go`;
    cut: give half of what is asked for, and end the connection, so many times.
    """

    url: str
    files: dict[str, bytes]
    stall: bool = False
    cut: int = 0
    named: dict[str, str] = field(default_factory=dict)
    """SHA-256 that the Hub names for a file, where it is not the true one."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Name and Range of each file that was asked for."""
    go: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub("", files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            name, wanted = self.path.rpartition("/")[2], self.headers.get("Range", "")
            content = hub.files.get(name)
            if content is None:
                self.send_error(404)
            elif not self.path.startswith("/elsewhere/"):
                self.send_response(302)
                self.send_header("X-Linked-ETag", f'"{hub.named.get(name, hashlib.sha256(content).hexdigest())}"')
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("Location", f"/elsewhere/{name}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                hub.asked.append((name, wanted))
                self._give(content, wanted)

        def _give(self, content: bytes, wanted: str) -> None:
            start = int(found[1]) if (found := re.fullmatch(r"bytes=(\d+)-", wanted)) else 0
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", '"of-elsewhere"')
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if hub.stall or hub.cut:
                self.wfile.write(content[start : (start + len(content)) // 2])
                self.wfile.flush()
                self.close_connection = True
                if hub.cut:
                    hub.cut -= 1
                else:
                    hub.go.wait(30)
            else:
                self.wfile.write(content[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.go.set()
        server.shutdown()
        thread.join()
        server.server_close()
