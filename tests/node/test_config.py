"""Settings: one value wins, a person sees where it came from, and what is wrong is named with its place."""

import json
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from configs import __file__ as configs
from node.cli import app
from node.config import SETTINGS, Config, load_config, value_of, variable
from node.configfile import PROFILES, ConfigError, profile_file, read_file
from node.configtext import as_environment, template
from node.home import Home, open_home
from trainer.task import load_task

ROOT = Path(configs).parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def write(home: Home, text: str, mode: int = 0o600) -> Path:
    home.config.write_text(text)
    home.config.chmod(mode)
    return home.config


def arnode(home: Home, *arguments: str) -> str:
    """What a command prints. Raises what it raises."""
    done = CliRunner().invoke(app, ["--home", str(home.folder), *arguments], catch_exceptions=False)
    return done.output


def test_nothing_said_is_the_defaults(home: Home) -> None:
    loaded = load_config(home, {"PATH": "/bin"}, {"minutes": None, "bootstrap": []})
    assert loaded.config == Config()
    assert loaded.sources == {}


def test_a_flag_wins_over_the_environment_that_over_the_chosen_file_that_over_the_home_folders(
    home: Home, tmp_path: Path
) -> None:
    path = write(home, 'minutes = 1\nexperiments = 1\nalias = "one"\ntask = "one"')
    chosen = tmp_path / "chosen.toml"
    chosen.write_text('minutes = 2\nexperiments = 2\nalias = "two"')
    variables = {"ARNODE_MINUTES": "3", "ARNODE_EXPERIMENTS": "3"}
    loaded = load_config(home, variables, {"minutes": 4.0}, str(chosen))
    assert [value_of(loaded.config, key) for key in ("minutes", "experiments", "alias", "task")] == [4, 3, "two", "one"]
    assert loaded.sources == {
        "minutes": "--minutes",
        "experiments": "ARNODE_EXPERIMENTS",
        "alias": f"{chosen}:3",
        "task": f"{path}:4",
    }


def test_a_flag_that_says_no_is_said(home: Home) -> None:
    write(home, "lan = true\nexperiments = 5")
    config = load_config(home, {}, {"lan": False, "experiments": 0}).config
    assert (config.lan, config.experiments) == (False, 0)


def test_lines_are_those_of_the_statement_whatever_its_form(home: Home) -> None:
    write(
        home,
        '# first\n\nbootstrap = [\n  "a",\n\n  "b",\n]\n"minutes" = 3\n'
        'llm.model = """x\n[llm]\n"""\nllm . base_url="y"\n',
    )
    sources = load_config(home, {}, {}).sources
    lines = {key: int(where.rpartition(":")[2]) for key, where in sources.items()}
    assert lines == {"bootstrap": 3, "minutes": 8, "llm.model": 9, "llm.base_url": 12}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("minutes = 1\nminuts = 2", ["config.toml:2: there is no setting minuts; did you mean minutes?"]),
        ("[llm]\nmodle = 'x'", ["config.toml:2: there is no setting llm.modle; did you mean llm.model?"]),
        ("model = 'x'", ["config.toml:1:", "did you mean llm.model?"]),
        ("zzzzz = 1", ["config.toml:1:", "`arnode config show` lists them all"]),
        ("llm = 'x'", ["config.toml:1: llm is a section: write [llm]"]),
        ("\nminutes = -1", ["config.toml:2: minutes: Input should be greater than or equal to 0"]),
        ("bootstrap = [1]", ["config.toml:1: bootstrap: Input should be a valid string"]),
        ("[llm]\nmodel = 5", ["config.toml:2: llm.model: Input should be a valid string"]),
        ("swarm = 'A B'\nalias = ''\nlan = 7", ["toml:1: swarm: the swarm name", "toml:2: alias:", "toml:3: lan:"]),
        ("minutes = \n", ["config.toml: this is not TOML", "line 1"]),
        ("minutes = 1\nminutes = 2\n", ["config.toml: this is not TOML", "line 2"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_line_and_key(home: Home, text: str, words: list[str]) -> None:
    write(home, text)
    with pytest.raises(ConfigError) as refused:
        load_config(home, {}, {})
    for part in words:
        assert part in str(refused.value)


def test_bytes_that_are_no_text_are_refused(home: Home) -> None:
    home.config.write_bytes(b"alias = '\xff'")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(home, {}, {})


def test_what_is_wrong_elsewhere_is_named_too(home: Home) -> None:
    with pytest.raises(ConfigError, match="ARNODE_MINUTES: minutes: Input should be a valid number"):
        load_config(home, {"ARNODE_MINUTES": "soon"}, {})
    with pytest.raises(ConfigError, match="did you mean ARNODE_LLM_MODEL"):
        load_config(home, {"ARNODE_LLM_MODL": "x"}, {})
    with pytest.raises(ConfigError, match="--swarm: swarm: the swarm name"):
        load_config(home, {}, {"swarm": "A B"})
    with pytest.raises(ConfigError, match=r"cannot read .*laptpo: No such file.*laptop, h100, server"):
        load_config(home, {}, {}, "laptpo")


def test_variables_of_other_purposes_and_empty_ones_say_nothing(home: Home) -> None:
    others = "HOME INVITE SEED BUDGET BUDGET_KIND DEVICE THREADS DATA DOWNLOADS INTEROP BROWSER SOAK_MINUTES SOAK_SEED"
    variables = {f"ARNODE_{name}": "1" for name in others.split()} | {"ARNODE_MINUTES": ""}
    assert load_config(home, variables, {}).sources == {}


def test_a_secret_is_refused_in_a_file_that_others_can_read_and_is_shown_nowhere(home: Home) -> None:
    text = '[llm]\nmodel = "m"\napi_key = "sk-open"\n'
    write(home, text, 0o644)
    with pytest.raises(ConfigError, match=r"config.toml:3: llm.api_key is a secret, but .* can be read by others"):
        load_config(home, {}, {})
    write(home, text)
    assert load_config(home, {}, {}).config.llm.api_key is not None
    for how in ([], ["--json"]):
        out = arnode(home, "config", "show", *how)
        assert "***" in out
        assert "sk-open" not in out
    write(home, '[llm]\napi_key = ["sk-open"]\n')
    with pytest.raises(ConfigError, match="api_key") as refused:
        load_config(home, {}, {})
    assert "sk-open" not in str(refused.value)


def test_paths_in_a_file_are_meant_from_its_folder(home: Home) -> None:
    write(home, 'swarm_key = "lab.key"\ntask = "./mine"')
    config = load_config(home, {}, {}).config
    assert (config.swarm_key, config.task) == (home.folder / "lab.key", f"{home.folder}/mine")
    write(home, 'swarm_key = "~/lab.key"\ntask = "story-cpu"')
    config = load_config(home, {}, {}).config
    assert (config.swarm_key, config.task) == (Path("~/lab.key").expanduser(), "story-cpu")


def test_what_was_said_reaches_another_node_through_its_environment(home: Home, tmp_path: Path) -> None:
    write(home, 'research = false\nbootstrap = ["a", "b"]\nminutes = 2.5\n[llm]\napi_key = "sk"')
    loaded = load_config(home, {}, {"accept_code": "sandbox"})
    variables = as_environment(loaded, SETTINGS)
    assert load_config(open_home(tmp_path / "other"), variables, {}).config == loaded.config
    assert variables.keys() == {variable(key) for key in loaded.sources}


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_sound_and_its_task_exists(name: str, home: Home) -> None:
    config = load_config(home, {}, {}, name).config
    assert config != Config()
    load_task(config.task or "story-cpu")


def test_a_template_says_nothing_until_it_is_edited_and_is_sound_when_uncommented(home: Home) -> None:
    path = Path(arnode(home, "config", "init").strip())
    assert path == home.config
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_config(home, {}, {}).sources == {}
    with pytest.raises(ConfigError, match="is there already"):
        arnode(home, "config", "init")
    path.write_text("".join(line.removeprefix("# ") if " = " in line else line for line in template().splitlines(True)))
    assert read_file(path, {"llm"}, set()).keys() == SETTINGS.keys()


def test_config_show_tells_every_setting_with_its_value_and_source(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_LAN", "0")
    path = write(home, "minutes = 30")
    rows = [json.loads(line) for line in arnode(home, "config", "show", "--json").splitlines()]
    by_key = {row["key"]: row for row in rows}
    assert by_key.keys() == SETTINGS.keys()
    assert by_key["minutes"] == {"key": "minutes", "value": 30.0, "source": f"{path}:1"}
    assert by_key["lan"] == {"key": "lan", "value": False, "source": "ARNODE_LAN"}
    assert by_key["nice"] == {"key": "nice", "value": 0, "source": "default"}
    assert "server.toml:" in arnode(home, "config", "show", "--config", "server", "--json")


def test_profiles_come_with_the_package() -> None:
    assert profile_file("laptop") == ROOT / "configs" / "laptop.toml"


def test_the_page_about_the_settings_says_what_they_are() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = [line for line in page.splitlines() if "| `ARNODE_" in line]
    assert rows == [
        f"| `{key}` | `{variable(key)}` | `{default_text(field.default)}` | {field.description} |"
        for key, field in SETTINGS.items()
    ], "docs/configuration.md, table Settings: replace it with the right side"
    for name in PROFILES:
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        for key in read_file(profile_file(name), {"llm"}, set()):
            assert f"`{key}" in row


def default_text(value: object) -> str:
    return "none" if value in (None, ()) else str(value).lower()


def test_every_flag_of_join_that_is_a_setting_has_the_settings_name() -> None:
    options = {option.removeprefix("--") for command in ("join", "swarm") for option in options_of(command)}
    once = {"config", "invite", "move", "json", "help"}  # said at one start, never set
    other_words = {"no-http", "quiet"}  # for http = "off", verbose = false
    names = {key.rpartition(".")[2].replace("_", "-") for key in SETTINGS}
    assert options - once - other_words <= names | {f"no-{name}" for name in names}


def options_of(command: str) -> list[str]:
    found = get_command(app).get_command(typer.Context(get_command(app)), command)  # type: ignore[attr-defined]
    return [option for one in found.params for option in (*one.opts, *one.secondary_opts) if option.startswith("--")]
