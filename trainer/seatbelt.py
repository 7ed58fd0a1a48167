"""Locking a program in on macOS, with the system's own sandbox-exec.

UNTESTED: written from Apple's documentation of sandbox profiles and the profiles that ship in /usr/share/sandbox; it
has never run. The attacks at start decide whether it is used. As with Landlock, memory and disk are only watched, so it
is for code that this machine's own model wrote.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SANDBOX_EXEC: Final = "/usr/bin/sandbox-exec"
PROFILE: Final = """\
(version 1)
(deny default)
(allow process-exec)
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
(allow file-read-metadata)
(allow file-read* (subpath "/usr/lib") (subpath "/usr/share") (subpath "/System/Library") (subpath "/Library/Apple")
  (literal "/dev/null") (literal "/dev/zero") (literal "/dev/random") (literal "/dev/urandom"))
(allow file-write-data (literal "/dev/null"))
"""


@dataclass(frozen=True)
class Seatbelt:
    """sandbox-exec with a profile that denies all that is not listed: no fork, no network, no other process."""

    interpreter: tuple[str, ...]
    """Folders of the interpreter and its packages."""

    def command(self, command: Sequence[str], *, folder: Path, readable: Sequence[str]) -> list[str]:
        """The command line that runs `command` in `folder`, the only place where it may write."""
        rules = [f"(allow file-read* (subpath {_quoted(path)}))" for path in (*self.interpreter, *readable)]
        rules.append(f"(allow file-read* file-write* (subpath {_quoted(str(folder))}))")
        return [SANDBOX_EXEC, "-p", PROFILE + "\n".join(rules), *command]


def available() -> bool:
    """Whether this is macOS with sandbox-exec."""
    return sys.platform == "darwin" and Path(SANDBOX_EXEC).exists()


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
