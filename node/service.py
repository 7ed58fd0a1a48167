"""`arnode service`: the node as a systemd user service, which starts with the machine and comes back after a crash.

Everything else that the service's node should do is a setting: config.toml in its state folder, or a profile.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from node.options import ConfigOption, home_of

NAME: Final = "arnode"
BOOTED: Final = Path("/run/systemd/system")  # systemd's own test for whether it runs: sd_booted(3)

# Hardened as far as bubblewrap can still lock trials in: it needs namespaces, mounts and a whole /proc, and
# RestrictSUIDSGID takes openat2 from it (github.com/containers/bubblewrap/issues/774). PyTorch writes code and runs it.
# OOMPolicy: a trial that is killed for its memory must not end the node.
UNIT: Final = """\
# Written by `arnode service install`; what the node does is set in {config}.
[Unit]
Description=arnode: autonomous machine-learning research

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=30
KillMode=mixed
TimeoutStopSec=30
OOMPolicy=continue
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


class ServiceError(Exception):
    """The service cannot be installed or removed; the message says why and what to do."""


service_app: Final = typer.Typer(no_args_is_help=True, help="Run the node as a systemd user service.")


@service_app.command("install")
def install(
    context: typer.Context,
    config: ConfigOption = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the unit, and write nothing.")] = False,
) -> None:
    """Write the unit of a node with this state folder, and say how to start it."""
    from node.config import PREFIX, load_config

    home = home_of(context)
    loaded = load_config(
        home, os.environ, {}, config
    )  # a setting that is wrong is told now, not by a service that fails
    text = unit_text(start_command(home.folder, config), home.config)
    if only_print:
        typer.echo(text, nl=False)
        return
    _require_systemd()
    path = unit_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ServiceError(f"cannot write {path}: {error.strerror}") from error
    typer.echo(f"written: {path}\nStart it, now and at each login:\n\n    systemctl --user enable --now {NAME}\n")
    typer.echo("and also while you are not logged in:\n\n    loginctl enable-linger\n")
    typer.echo(f"Settings: {home.config}. What it says: journalctl --user -u {NAME} -f")
    said = sorted(where for where in loaded.sources.values() if where.startswith(PREFIX))
    if said:
        typer.secho(f"A service has an environment of its own, so {', '.join(said)} will not apply.", fg="yellow")


@service_app.command("uninstall")
def uninstall() -> None:
    """Stop the service and remove its unit. The state folder stays."""
    _require_systemd()
    path = unit_path()
    if not path.exists():
        raise ServiceError(f"there is no service: {path} does not exist")
    stopped = _systemctl("disable", "--now", NAME)
    if stopped.returncode:
        raise ServiceError(f"cannot stop the service: {stopped.stderr.strip()}")
    path.unlink()
    typer.echo(f"removed: {path}")


@service_app.command("status")
def status() -> None:
    """Tell whether the service is installed and runs, as systemd sees it."""
    _require_systemd()
    path = unit_path()
    if not path.exists():
        raise ServiceError(f"there is no service: {path} does not exist; `arnode service install` writes it")
    found = _systemctl("status", NAME, "--no-pager")
    typer.echo(found.stdout + found.stderr, nl=False)
    raise typer.Exit(0 if found.returncode == 0 else 1)


def unit_path() -> Path:
    """Where systemd looks for this user's units."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user" / f"{NAME}.service"


def start_command(home: Path, config: str | None) -> list[str]:
    """What the service runs, with absolute paths. Raises ServiceError where arnode is not installed as a command."""
    from node.configfile import PROFILES

    program = Path(sys.executable).parent / NAME
    if not program.exists():
        raise ServiceError(f"there is no command {program}: install arnode (`make setup`), and run this with that one")
    command = [str(program), "--home", str(home), "join"]
    if config is not None:
        command += ["--config", config if config in PROFILES else str(Path(config).expanduser().absolute())]
    return command


def unit_text(command: Sequence[str], config: Path) -> str:
    """The unit that runs the command. config: where its settings are, for the person who reads it."""
    return UNIT.format(command=" ".join(map(_quoted, command)), config=str(config).replace("\n", " "))


def _quoted(word: str) -> str:
    """A word as systemd.service(5) reads it: quoted, and with nothing that it would expand."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    return escaped if escaped == word and not any(c.isspace() or c in "';" for c in word) else f'"{escaped}"'


def _require_systemd() -> None:
    if not BOOTED.is_dir() or shutil.which("systemctl") is None:
        raise ServiceError(
            "systemd does not run this machine, so there is no user service here: start `arnode join` with what does "
            "(cron's @reboot, launchd, runit), or see the unit with `arnode service install --print`"
        )


def _systemctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemctl", "--user", *arguments], capture_output=True, text=True, check=False)
