"""What a person may set, once for good or for one start: flags, the environment, `config.toml`, a profile.

One model names every setting with its type, default and meaning. A flag wins over the environment variable
`ARNODE_KEY`, that over the file that `--config` names, that over `config.toml` in the state folder, that over the
default; where each value came from is kept. A key of a section, such as `model` in `[llm]`, is `llm.model` in messages
and `ARNODE_LLM_MODEL` in the environment.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from node.configfile import ConfigError, Given, profile_file, read_file
from node.home import Home
from node.names import NameRefused, clean_alias, clean_swarm

PREFIX: Final = "ARNODE_"
NEAR: Final = 0.8
"""How much of a variable's name has to be a setting's to be taken for a mistake; others may use the prefix too."""


def _swarm(text: str) -> str:
    try:
        return clean_swarm(text)
    except NameRefused as error:
        raise ValueError(str(error)) from error


def _alias(text: str) -> str:
    try:
        return clean_alias(text)
    except NameRefused as error:
        raise ValueError(str(error)) from error


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Llm(_Section):
    """The language model that has ideas; none is asked unless `model` is set."""

    model: str | None = Field(
        default=None, description="Which model, as litellm names it; without one the node searches."
    )
    base_url: str | None = Field(
        default=None, description="Where the model is served, if not at its provider's usual place."
    )
    api_key: SecretStr | None = Field(
        default=None, description="The provider's key. A file with it must be of mode 0600."
    )
    budget_usd: float | None = Field(default=None, ge=0, description="The most that it may cost in all, in US dollars.")
    budget_usd_day: float | None = Field(default=None, ge=0, description="The most that it may cost a day.")
    budget_tokens: int | None = Field(
        default=None, ge=0, description="The most tokens that it may use in all, of questions and answers."
    )
    budget_tokens_day: int | None = Field(default=None, ge=0, description="The most tokens that it may use a day.")
    seconds: float = Field(default=600.0, gt=0, description="The longest that it may take for an answer, in seconds.")


class Config(_Section):
    """The settings of a node that is started. None, or nothing in a list: not said, and the default applies."""

    task: str | None = Field(
        default=None, description="Name or folder of the task (default: the last one here, else story-cpu)."
    )
    alias: Annotated[str, AfterValidator(_alias)] | None = Field(default=None, description="This node's name in feeds.")

    swarm: Annotated[str, AfterValidator(_swarm)] | None = Field(
        default=None, description="The swarm's name (default: the last one here, else main)."
    )
    swarm_key: Path | None = Field(default=None, description="File with the key of a private swarm.")
    bootstrap: tuple[str, ...] = Field(
        default=(), description="Peers to join through, as they printed their addresses."
    )
    listen: tuple[str, ...] = Field(
        default=(), description="Where to listen (default: port 4477, or a free one if taken)."
    )
    lan: bool = Field(default=True, description="Whether to find nodes on the local network by mDNS.")

    research: bool = Field(
        default=True, description="Whether to do research, or only keep the log and pass records on."
    )
    accept_code: Literal["never", "sandbox"] = Field(
        default="never", description="Whether to test code that peers wrote, locked in the sandbox."
    )
    experiments: int | None = Field(default=None, ge=0, description="Stop after so many experiments.")
    minutes: float | None = Field(default=None, ge=0, description="Stop after so many minutes.")
    until: float | None = Field(default=None, description="Stop once the best that was kept is that good, or better.")

    keep_days: float = Field(
        default=30.0, ge=1, description="For how many days to keep what others tried in vain; its effects stay known."
    )
    archive: bool | None = Field(
        default=None, description="Whether to keep everything for ever (default: only where no research is done)."
    )

    verbose: bool = Field(default=False, description="Whether the feed shows also what others tried in vain.")

    nice: int = Field(default=0, ge=0, le=19, description="How far trials and the node give way to other programs.")
    cores: int | None = Field(
        default=None, ge=1, description="How many processor cores trials and the node may use, on Linux (default: all)."
    )

    http: str | None = Field(
        default=None,
        description="ADDR:PORT of the local server (default: 127.0.0.1:4478, or a free port); off for none.",
    )
    llm: Llm = Field(default_factory=Llm)

    @property
    def keeps_all(self) -> bool:
        """Whether this node is an archive."""
        return not self.research if self.archive is None else self.archive

    @property
    def serves(self) -> bool:
        """Whether there is a local server."""
        return self.http != "off"


def _settings() -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in Config.model_fields.items():
        if name in SECTIONS:
            found |= {f"{name}.{inner}": one for inner, one in SECTIONS[name].model_fields.items()}
        else:
            found[name] = field
    return found


SECTIONS: Final[Mapping[str, type[BaseModel]]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
SETTINGS: Final[Mapping[str, FieldInfo]] = _settings()
"""Every key with its description, type and default."""


@dataclass(frozen=True)
class Loaded:
    """The settings, and where each that was said came from: `--minutes`, `ARNODE_MINUTES`, `FILE:LINE`."""

    config: Config
    sources: Mapping[str, str]


def variable(key: str) -> str:
    """The environment variable of a key: `llm.model` is `ARNODE_LLM_MODEL`."""
    return PREFIX + key.upper().replace(".", "_")


def load_config(
    home: Home, environment: Mapping[str, str], flags: Mapping[str, object], chosen: str | None = None
) -> Loaded:
    """The settings that apply, strongest first: flags, environment, the chosen file, `config.toml`, defaults.

    Args:
        flags: by key; None, and an empty list, where a flag was not given.
        chosen: what `--config` named: a file, or one of the profiles that come with arnode.

    Raises ConfigError, which names every value that is wrong, with file and line.
    """
    said: dict[str, Given] = {}
    said |= read_file(home.config, SECTIONS, _secrets(), optional=True)
    if chosen is not None:
        said |= read_file(profile_file(chosen), SECTIONS, _secrets())
    said |= _from_environment(environment)
    said |= {
        key: Given(value, f"--{key.rpartition('.')[2].replace('_', '-')}")
        for key, value in flags.items()
        if value not in (None, [], ())
    }
    wrong = [f"{given.where}: {_unknown(key)}" for key, given in said.items() if key not in SETTINGS]
    if wrong:
        raise ConfigError("\n".join(wrong))
    try:
        config = Config.model_validate(_nested({key: given.value for key, given in said.items()}))
    except ValidationError as error:
        raise ConfigError("\n".join(_explained(error, said))) from None  # its own text would hold the values
    return Loaded(config, {key: given.where for key, given in said.items()})


def value_of(config: Config, key: str) -> Any:
    """The value of a key."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _secrets() -> frozenset[str]:
    return frozenset(key for key, field in SETTINGS.items() if "SecretStr" in str(field.annotation))


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    """What the variables say; an empty one says nothing. A mistake stays under its own name, to be refused."""
    keys = {variable(key): key for key in SETTINGS}
    found: dict[str, Given] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or not text or not (name in keys or _near(name)):
            continue
        key = keys.get(name, name)
        several = key in SETTINGS and get_origin(SETTINGS[key].annotation) is tuple
        found[key] = Given(text.replace(",", " ").split() if several else text, name)
    return found


def _near(name: str) -> str | None:
    """The variable that was probably meant by one that is no setting's."""
    known = [variable(key).removeprefix(PREFIX) for key in SETTINGS]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=NEAR)
    return PREFIX + near[0] if near else None


def _unknown(key: str) -> str:
    if key in SECTIONS:
        return f"{key} is a section: write [{key}], and below it its keys"
    near = _near(key) if key.startswith(PREFIX) else next(iter(difflib.get_close_matches(key, SETTINGS, n=1)), None)
    hint = f"did you mean {near}?" if near else "`arnode config show` lists them all"
    return f"there is no setting {key}; {hint}"


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        (data.setdefault(section, {}) if section else data)[name] = value
    return data


def _explained(error: ValidationError, said: Mapping[str, Given]) -> Iterable[str]:
    for one in error.errors(include_url=False, include_input=False):
        key = ".".join(map(str, one["loc"][:2] if one["loc"][0] in SECTIONS else one["loc"][:1]))
        what = one["msg"].removeprefix("Value error, ")
        yield f"{said[key].where}: {key}: {what}"
