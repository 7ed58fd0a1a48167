"""The ClimbMix text: parquet files on the Hugging Face Hub, fetched once, resumed where they were cut off, and checked.

karpathy/climbmix-400b-shuffle holds the 400 billion tokens of NVIDIA's ClimbMix, shuffled, in 6,543 files of about
90 MB; each has a column `text`. The last one is held out, as nanochat and autoresearch do.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

REPOSITORY = "karpathy/climbmix-400b-shuffle"
TRAIN_SHARDS = tuple(range(10))  # about 0.6 billion tokens of BPE 8192; five minutes of an H100 see 0.5
VAL_SHARD = 6542
SILENCE_SECONDS = 30  # after which a connection counts as broken
ATTEMPTS = 4  # without a byte arriving


def downloads_folder() -> Path:
    """Where shards are kept: ARNODE_DOWNLOADS, or a cache folder of the user when the program is run by hand."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "arnode-climbmix"
    return Path(os.environ.get("ARNODE_DOWNLOADS", default))


def shard_name(index: int) -> str:
    return f"shard_{index:05d}.parquet"


def fetch(indices: Iterable[int], folder: Path) -> list[Path]:
    """The named shards in the folder, downloaded where they are not there yet.

    What a cut download left is continued. A file gets its name when it is complete and its SHA-256 is the one that the
    Hub names for it; then the network is not asked for it again.

    Raises SystemExit, which says what happened and what to do.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [shard_name(index) for index in indices]
    for count, name in enumerate(wanted, 1):
        if (folder / name).is_file():
            continue
        print(f"note: downloading {name}, {count} of {len(wanted)}", flush=True)
        arriving = folder / f"{name}.part"
        try:
            expected = download(f"{endpoint}/datasets/{REPOSITORY}/resolve/main/{name}", arriving)
        except (OSError, HTTPException) as error:
            sys.exit(
                f"cannot download {name} from {endpoint}: {one_line(error)}. What has arrived is kept in {folder}, and "
                "the next attempt continues; check the network (a proxy is HTTPS_PROXY, a mirror is HF_ENDPOINT)"
            )
        found = sha256(arriving)
        if found != expected:
            arriving.unlink()
            sys.exit(
                f"{name} from {endpoint} is damaged: its SHA-256 is {found}, and should be {expected}. It was removed; "
                "try again"
            )
        arriving.rename(folder / name)
    return [folder / name for name in wanted]


def download(url: str, path: Path) -> str:
    """Fetch what the file at `path` lacks of the one at the URL, by HTTP Range. Returns the SHA-256 it should have.

    huggingface_hub would do it, but begins anew a file that another process left (seen with 1.33).

    Raises OSError or HTTPException where that fails several times without a byte arriving.
    """
    size, expected = described(url)
    failures = 0
    while (have := path.stat().st_size if path.exists() else 0) < size:
        request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with (
                urlopen(request, timeout=SILENCE_SECONDS) as response,
                # 200 in place of 206: the server gives the whole file again
                path.open("ab" if response.status == 206 else "wb") as file,
            ):
                shutil.copyfileobj(response, file, 1 << 20)
            failure: OSError | HTTPException = ConnectionError("the connection ended before the file did")
        except (OSError, HTTPException) as error:
            failure = error
        failures = 0 if path.exists() and path.stat().st_size > have else failures + 1
        if failures == ATTEMPTS:
            raise failure
        time.sleep(failures)
    return expected


def described(url: str) -> tuple[int, str]:
    """Size and SHA-256 of a large file on the Hub, as it names them before it redirects to where the file lies."""
    try:
        with build_opener(NoRedirect).open(Request(url, method="HEAD"), timeout=SILENCE_SECONDS) as answer:
            said = answer.headers
    except HTTPError as answer:
        if not 300 <= answer.code < 400:
            raise
        said = answer.headers
    size, tag = (said.get(f"X-Linked-{name}", "").strip('"') for name in ("Size", "ETag"))
    if not size.isdigit() or len(tag) != 64:
        raise OSError(f"the server names no size and SHA-256 for it (X-Linked-Size {size!r}, X-Linked-ETag {tag!r})")
    return int(size), tag


class NoRedirect(HTTPRedirectHandler):
    """Lets a redirection be read in place of being followed."""

    def redirect_request(self, *_: object) -> None:
        return None


def texts(paths: Iterable[Path]) -> Iterator[list[str]]:
    """The documents of the shards in their order, some at a time. Raises SystemExit where a shard cannot be read."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        sys.exit("pyarrow is missing: pip install pyarrow")
    for path in paths:
        try:
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=2048, columns=["text"]):
                yield batch.column(0).to_pylist()
        except (ArrowException, OSError, IndexError) as error:
            sys.exit(f"{path} cannot be read as a shard: {one_line(error)}. Remove it, and it is downloaded again")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_line(error: Exception) -> str:
    """The error's first line, with the type where the text alone says little."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
