"""The service: its unit is one that systemd accepts, and what it starts is a node that runs and ends in order."""

import configparser
import json
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import node.service
from node.cli import app
from node.configfile import ConfigError
from node.service import ServiceError, unit_path
from tests.e2e.processes import environment


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder whose name systemd would expand or split, on a machine that systemd seems to run."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setattr(node.service, "BOOTED", tmp_path)
    if shutil.which("systemctl") is None:
        monkeypatch.setattr(shutil, "which", lambda program: program)
    return tmp_path / "a 100% 'home' of $USER"


def arnode(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), "service", *arguments], catch_exceptions=False)


def command_in(unit: str) -> list[str]:
    """The words of ExecStart, as systemd.service(5) reads them."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(parser["Service"]["ExecStart"])]


def test_the_unit_starts_a_node_with_this_folder_that_ends_in_order(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('research = false\nlisten = ["/ip4/127.0.0.1/tcp/0"]\nhttp = "off"')
    command = command_in(arnode(home, "install", "--print").stdout)
    assert Path(command[0]).is_absolute()
    assert command[1:] == ["--home", str(home), "join"]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, env=environment())
    with process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["research"] is False
        process.send_signal(signal.SIGTERM)
        assert json.loads(process.stdout.read().splitlines()[-1])["event"] == "stopped"
    assert process.returncode == 0, "Restart=on-failure would start a node that was told to stop"


def test_what_is_installed_is_a_unit_that_systemd_accepts(home: Path) -> None:
    said = arnode(home, "install", "--config", "server").stdout
    assert "systemctl --user enable --now arnode" in said
    assert "loginctl enable-linger" in said
    assert command_in(unit_path().read_text())[-2:] == ["--config", "server"]
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", unit_path()], capture_output=True, text=True, timeout=60, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_a_file_of_settings_is_named_by_its_whole_path(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text("minutes = 5")
    monkeypatch.chdir(tmp_path)
    assert command_in(arnode(home, "install", "--print", "--config", "mine.toml").stdout)[-1] == str(
        tmp_path / "mine.toml"
    )


def test_nothing_is_installed_with_settings_that_are_wrong(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("minuts = 5")
    with pytest.raises(ConfigError, match="did you mean minutes"):
        arnode(home, "install")
    assert not unit_path().exists()


def test_variables_that_the_service_will_not_have_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_ALIAS", "ada")
    assert "ARNODE_ALIAS will not apply" in arnode(home, "install").stdout


@pytest.mark.parametrize("action", ["install", "uninstall", "status"])
def test_a_machine_without_systemd_is_refused(action: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.service, "BOOTED", home / "not there")
    with pytest.raises(ServiceError, match="systemd does not run this machine"):
        arnode(home, action)
    assert not unit_path().exists()


@pytest.mark.parametrize("action", ["uninstall", "status"])
def test_a_service_that_is_not_there_is_named(action: str, home: Path) -> None:
    with pytest.raises(ServiceError, match="there is no service"):
        arnode(home, action)


def test_the_unit_is_removed_only_when_systemd_has_stopped_the_service(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arnode(home, "install")
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    systemctl = programs / "systemctl"
    systemctl.write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    systemctl.chmod(0o755)
    with pytest.raises(ServiceError, match="cannot stop the service: no bus"):
        arnode(home, "uninstall")
    assert unit_path().exists()
    systemctl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    arnode(home, "uninstall")
    assert (tmp_path / "said").read_text() == "--user disable --now arnode\n"
    assert not unit_path().exists()
