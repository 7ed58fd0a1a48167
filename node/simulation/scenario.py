"""Scenario files: a swarm, what happens to it, and what has to hold, as TOML (configs/simulations)."""

import operator
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from node.simulation.figures import FIGURES
from node.simulation.liars import KINDS

FOLDER: Final = "simulations"
PROPERTY: Final = re.compile(r"(\w+) *(<=|>=|=) *(-?\d+(?:\.\d+)?)")
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
}
NODE_KINDS: Final = ("honest", "reporter", "flooder", "stranger", *KINDS)


class ScenarioError(Exception):
    """A scenario cannot be used; the message names the file, the key, and what is allowed there."""


@dataclass(frozen=True)
class Property:
    """What has to hold of a figure at the end of a run."""

    figure: str
    comparison: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether the figure may have that value."""
        return COMPARISONS[self.comparison](value, self.limit)

    def __str__(self) -> str:
        return f"{self.figure} {self.comparison} {self.limit:g}"


def parse_property(text: str) -> Property:
    """`missed = 0` and the like. Raises ValueError."""
    found = PROPERTY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not FIGURE =, <= or >= NUMBER, as in 'missed = 0'")
    if found[1] not in FIGURES:
        raise ValueError(f"there is no figure {found[1]!r}; there are {', '.join(sorted(FIGURES))}")
    return Property(found[1], found[2], float(found[3]))


def _node_kind(kind: str) -> str:
    if kind not in NODE_KINDS:
        raise ValueError(f"there is no kind of node {kind!r}; there are {', '.join(NODE_KINDS)}")
    return kind


def _checked(text: str) -> str:
    parse_property(text)
    return text


def _ascending(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("the first of the two must not be the larger")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_ascending)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Group(_Table):
    """Nodes of one sort.

    trial_seconds: what a trial takes on the fastest and the slowest of them, the others spread evenly by ratio; by
    default the world's. noise: deviation that the device adds to a value. every: seconds between two records of a
    reporter or flooder, on average. joins: minute in which they come up. archive: they keep everything, and say so;
    keep_days: when they give up what is old, of others and known to be with an archive, by default never.
    """

    count: int = Field(ge=1)
    kind: Annotated[str, AfterValidator(_node_kind)] = "honest"
    device: str = "cpu"
    trial_seconds: Span | None = None
    noise: float = Field(default=0.0, ge=0)
    every: float | None = Field(default=None, gt=0)
    joins: float = Field(default=0.0, ge=0)
    archive: bool = False
    keep_days: float | None = Field(default=None, gt=0)


class Cut(_Table):
    """A share of the nodes is cut off from the others, in minutes."""

    start: float = Field(ge=0)
    end: float = Field(ge=0)
    share: float = Field(default=0.5, gt=0, lt=1)


class Net(_Table):
    """What carries the records.

    kind: `ideal` brings everything to everybody in one hop; `router` is py-libp2p's GossipSub with our overrides, on a
    modelled internet; `model` is a model of it, for swarms in which only reporters are; `entrance` is where a private
    node is dialled, by members (reporters) and strangers. latency: one way, seconds, of a path in the middle; loss:
    share of packets that are lost; mbit: up and down, of every node's line, by default homes and laboratories mixed;
    churn: share of nodes that goes down each minute, for `away` minutes; sharded: records are on shelves, by what they
    tell and by device class, and a node keeps its own; the router has them.
    """

    kind: Literal["ideal", "router", "model", "entrance"] = "ideal"
    latency: float = Field(default=0.04, gt=0)
    loss: float = Field(default=0.0, ge=0, lt=1)
    mbit: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    churn: float = Field(default=0.0, ge=0, lt=1)
    away: float = Field(default=5.0, gt=0)
    sharded: bool = False


class Scenario(_Table):
    """A scenario. text: what it shows, and what in it is modelled; start: minutes over which nodes come up; history:
    records that all have at the start but those who join later, history_days: over which they were made, by default one
    a second; quiet: minutes at the end in which nobody publishes.
    """

    title: str
    text: str
    seed: int = 1
    minutes: float = Field(gt=0)
    quiet: float = Field(default=0.0, ge=0)
    start: float = Field(default=1.0, ge=0)
    world: str = "surface"
    trial_seconds: float | None = Field(default=None, gt=0)
    history: int = Field(default=0, ge=0)
    history_days: float | None = Field(default=None, gt=0)
    nodes: tuple[Group, ...] = Field(min_length=1)
    network: Net = Field(default_factory=Net)
    cuts: tuple[Cut, ...] = ()
    properties: tuple[Annotated[str, AfterValidator(_checked)], ...] = Field(min_length=1)
    short: dict[str, Any] = Field(default_factory=dict, repr=False)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for cut in self.cuts:
            if not cut.start < cut.end <= self.minutes:
                raise ValueError(
                    f"a cut from {cut.start:g} to {cut.end:g} does not lie within {self.minutes:g} minutes"
                )
        if self.network.kind == "model" and {group.kind for group in self.nodes} != {"reporter"}:
            raise ValueError("on the network's model there are reporters only")
        kinds = {group.kind for group in self.nodes}
        if (self.network.kind == "entrance") != ("stranger" in kinds):
            raise ValueError("strangers dial an entrance: a network of that kind, and no other, has them")
        if self.network.sharded and (self.network.kind != "router" or self.history):
            raise ValueError("shelves are on the router's network only, and without a history")
        if self.network.kind != "router" and any(group.archive or group.keep_days for group in self.nodes):
            raise ValueError("archives and forgetting are on the router's network only")
        if self.quiet >= self.minutes:
            raise ValueError("nobody ever publishes: quiet must be less than minutes")
        return self

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return sum(group.count for group in self.nodes)

    @property
    def asserted(self) -> list[Property]:
        """What has to hold."""
        return [parse_property(text) for text in self.properties]

    def scaled(self, size: int) -> Self:
        """The same with so many nodes, each group's share kept, and one of each at least."""
        counts = [max(1, round(group.count * size / self.size)) for group in self.nodes]
        groups = [group.model_copy(update={"count": n}) for group, n in zip(self.nodes, counts, strict=True)]
        return self.model_copy(update={"nodes": tuple(groups)})


def scenario_names() -> list[str]:
    """The scenarios that come with arnode."""
    return sorted(path.name.removesuffix(".toml") for path in _built_in().iterdir() if path.name.endswith(".toml"))


def load_scenario(chosen: str, *, short: bool = False, minutes: float | None = None) -> Scenario:
    """The scenario of that name, or in that file. Raises ScenarioError.

    short: with the overrides of its table `short`; minutes: in place of the file's.
    """
    path = Path(chosen).expanduser()
    if chosen in scenario_names():
        path = Path(str(_built_in() / f"{chosen}.toml"))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(scenario_names())
        raise ScenarioError(f"there is no scenario {chosen}, and no such file; there are {names}") from None
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: this is not TOML: {error}") from error
    overrides = data.get("short", {})
    if short and isinstance(overrides, dict):
        data = _merged(data, overrides)
    if minutes is not None:
        data = {**data, "minutes": minutes}
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError("\n".join(f"{path}: {line}" for line in _explained(error))) from None


def _built_in() -> Any:
    return resources.files("configs") / FOLDER


def _merged(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Tables key by key; anything else is replaced."""
    merged = dict(data)
    for key, value in overrides.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _explained(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False):
        key = ".".join(map(str, one["loc"])) or "the scenario"
        if one["type"] == "extra_forbidden":
            yield f"{key}: there is no such key here"
        else:
            yield f"{key}: {one['msg'].removeprefix('Value error, ')} (it says {one['input']!r:.60})"
