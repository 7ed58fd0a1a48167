"""What records say: the bodies of results, calibrations, hypotheses, insights, profiles and presences.

gossip carries bodies without understanding them; this module gives them their schema. Unknown fields are ignored, so
that a newer node's records are still of use; everything that is read is typed, bounded and finite.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError, model_validator

from gossip.record import BadField, Record, Signer, pack_body, sign
from trainer.integrity import Integrity

NO_TASK: Final = bytes(32)

Id = Annotated[bytes, Field(min_length=32, max_length=32)]
Line = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=1000)]
KnobName = Annotated[str, Field(min_length=1, max_length=64)]
KnobValue = bool | int | FiniteFloat | Annotated[str, Field(max_length=200)]
Effect = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MAX_PACKED_BYTES: Final = 48 * 1024  # of the files and edits of one recipe or result

Packed = Annotated[bytes, Field(max_length=MAX_PACKED_BYTES)]

Verdict = Literal["keep", "simpler", "discard", "inconclusive", "crash"]


def kept(verdict: Verdict) -> bool:
    """Whether the candidate became its author's best recipe: it is better, or simpler and no worse."""
    return verdict in ("keep", "simpler")


class Body(BaseModel):
    """A record's body. `kind` names the record kind that carries it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    def packed(self) -> bytes:
        """Canonical msgpack, as the record carries it."""
        return pack_body(self.model_dump())


class RecipeBody(Body):
    """A recipe: knob values that differ from the task's program, and the full text of edited files, deflated.

    `agent.packed` makes and reads the files.
    """

    knobs: Annotated[dict[KnobName, KnobValue], Field(max_length=128)] = {}
    files: Annotated[dict[Line, Packed], Field(max_length=16)] = {}

    @property
    def packed_bytes(self) -> int:
        return sum(map(len, self.files.values()))

    @model_validator(mode="after")
    def _not_too_much_code(self) -> Self:
        if self.packed_bytes > MAX_PACKED_BYTES:
            raise ValueError(f"more than {MAX_PACKED_BYTES} bytes of files")
        return self


class Pair(Body):
    """Candidate and parent on one seed; None where that trial gave no value."""

    seed: NonNegativeInt
    candidate: FiniteFloat | None
    parent: FiniteFloat | None


class BudgetBody(Body):
    """What a trial was given: floating-point operations, tokens, steps of whatever it counts, or seconds."""

    kind: Literal["flops", "tokens", "steps", "seconds"]
    amount: NonNegative


class Result(Body):
    """An experiment: candidate against parent on the same seeds, with everything a stranger needs to repeat it.

    change: knob -> [old value, new value]; edits: file -> what the parent had in its place, deflated with the
    candidate's text as the dictionary, None for the task's own text. The parent is the candidate with the old values
    and texts put back.
    effect: improvement over the parent in the metric's unit, positive is better; interval: its lower and upper bound.
    program: SHA-256 of the candidate's materialised files. seconds: wall time of the experiment's trials. tokens,
    steps, parameters, peak_memory_mb: of the candidate's first trial; parent_parameters: of the parent's.
    """

    candidate: RecipeBody
    parent: Id
    change: Annotated[dict[KnobName, tuple[KnobValue, KnobValue]], Field(max_length=128)]
    edits: Annotated[dict[Line, Packed | None], Field(max_length=16)] = {}
    pairs: Annotated[list[Pair], Field(min_length=1, max_length=64)]
    verdict: Verdict
    reason: Line = ""
    effect: Effect | None = None
    interval: tuple[Effect, Effect] | None = None
    budget: BudgetBody
    integrity: Integrity
    device_class: Line
    device: Line
    seconds: NonNegative
    tokens: NonNegativeInt = 0
    steps: NonNegativeInt = 0
    parameters: NonNegativeInt = 0
    parent_parameters: NonNegativeInt = 0
    peak_memory_mb: NonNegative = 0.0
    versions: Annotated[dict[Line, Line], Field(max_length=32)] = {}
    program: Id
    hypothesis: Text = ""
    proposer: Line
    inspired_by: Annotated[list[Id], Field(max_length=16)] = []
    replicates: Id | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.verdict == "keep" and (self.effect is None or self.effect <= 0):
            raise ValueError("a keep without a positive effect")
        if kept(self.verdict):
            if self.effect is None:
                raise ValueError("kept without an effect")
            if not any(pair.candidate is not None and pair.parent is not None for pair in self.pairs):
                raise ValueError("kept without a pair of values on one seed")
        if len({pair.seed for pair in self.pairs}) != len(self.pairs):
            raise ValueError("a seed stands twice")
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("the interval's lower bound lies above its upper bound")
        if self.candidate.packed_bytes + sum(len(old or b"") for old in self.edits.values()) > MAX_PACKED_BYTES:
            raise ValueError(f"more than {MAX_PACKED_BYTES} bytes of files and edits")
        return self


class Calibration(Body):
    """One recipe on several seeds, to know the noise of the task on this device class."""

    recipe: RecipeBody
    values: Annotated[
        dict[Annotated[str, Field(pattern=r"^[0-9]{1,19}$")], FiniteFloat], Field(min_length=2, max_length=64)
    ]
    budget: BudgetBody
    device_class: Line
    device: Line
    seconds: NonNegative
    versions: Annotated[dict[Line, Line], Field(max_length=32)] = {}


class Hypothesis(Body):
    """An idea that anyone may test, and that a result answers by naming it in `inspired_by`.

    change: what to set, knob -> value; empty where the idea is only in words. priority: how much its author expects of
    it. proposer: `person`, `rule`, or a model's name.
    """

    text: Text
    change: Annotated[dict[KnobName, KnobValue], Field(max_length=128)] = {}
    evidence: Annotated[list[Id], Field(max_length=64)] = []
    priority: Annotated[float, Field(ge=0, le=1)] = 0.5
    proposer: Line = ""


class Insight(Body):
    """What holds across several results.

    kind and about: what sort of finding about what (knob -> value, None for all its values), by which two insights can
    be told to speak of the same; `agent.insights` has the kinds. effect: improvement in the metric's unit, positive is
    better, with its interval. authors: how many authors' results it rests on; evidence: some of these results.
    proposer: `rule`, or a model's name.
    """

    text: Text
    evidence: Annotated[list[Id], Field(max_length=64)] = []
    kind: Line = ""
    about: Annotated[dict[KnobName, KnobValue | None], Field(max_length=128)] = {}
    effect: Effect | None = None
    interval: tuple[Effect, Effect] | None = None
    authors: NonNegativeInt = 0
    proposer: Line = ""


class Profile(Body):
    """Who an author is; a newer one replaces an older one by time, then id."""

    alias: Annotated[str, Field(max_length=40)]
    device_class: Line
    device: Line
    software: Annotated[dict[Line, Line], Field(max_length=32)] = {}


class Presence(Body):
    """What a node does right now; gossiped, never stored.

    claim: the change being tested ({knob: new value, edited file: what is edited in it, hashed}), so that peers pick
    another; it holds until expires_ms. hypothesis: the record whose idea that is, if one gave it.
    best: value of the node's own best recipe. interval: after how many seconds the node speaks again at the latest.
    """

    alias: Annotated[str, Field(max_length=40)]
    activity: Line
    claim: Annotated[dict[KnobName, KnobValue], Field(max_length=128)] = {}
    expires_ms: NonNegativeInt = 0
    best: FiniteFloat | None = None
    hypothesis: Id | None = None
    interval: NonNegative = 20.0


BODIES: Final[Mapping[str, type[Body]]] = {
    "result": Result,
    "calibration": Calibration,
    "hypothesis": Hypothesis,
    "insight": Insight,
    "profile": Profile,
    "presence": Presence,
}
KINDS: Final[Mapping[type[Body], str]] = {body: kind for kind, body in BODIES.items()}
HOLDING_TUPLES: Final = frozenset({"result", "insight"})
Entry = Result | Calibration | Hypothesis | Insight | Profile | Presence


class BadBody(BadField):
    """A record whose body does not follow its kind's schema."""


def read(record: Record) -> Entry:
    """The record's body as its kind's model. Raises BadBody."""
    return _read(record.kind, record.value())


def read_if_known(record: Record) -> Entry | None:
    """The body, or None where a log holds one that another version of the schema had let in."""
    try:
        return read(record)
    except BadBody:
        return None


def _read(kind: str, value: Mapping[str, Any]) -> Entry:
    try:
        # msgpack has no tuples: where the schema has one, a list is its encoding
        entry = BODIES[kind].model_validate(_tuples(value) if kind in HOLDING_TUPLES else value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadBody(f"{kind}: {where}: {first['msg']}"[:300]) from error
    assert isinstance(entry, Entry)
    return entry


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    value = dict(value)
    if isinstance(value.get("change"), dict):
        value["change"] = {k: tuple(v) if isinstance(v, list) else v for k, v in value["change"].items()}
    if isinstance(value.get("interval"), list):
        value["interval"] = tuple(value["interval"])
    return value


def check(record: Record) -> None:
    """The check that gossip calls on every record before it is forwarded or stored. Raises BadBody."""
    read(record)


def write(signer: Signer, task: bytes, time_ms: int, entry: Entry) -> Record:
    """Sign an entry. task: the fingerprint, NO_TASK for a profile."""
    return sign(signer, KINDS[type(entry)], task, time_ms, entry.packed())
