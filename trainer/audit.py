"""A trial of edited code: its word is not taken for anything, and its value is computed outside of its reach.

1. **Train**, in a sandbox without the held-out text. It leaves one file, the model, which nobody here ever opens.
2. **Predict**, in a fresh sandbox that has the model and the program and no data: windows of held-out text go in
   through a pipe, logits come out. The value follows from those.
3. **Audit**, in another fresh sandbox: some tokens are asked for again, with random ones in place of what follows.
   Whoever looked ahead, remembered what was asked before, or is not the same twice, answers differently and is refused.

What is audited is drawn after the model is there. Looking ahead at a share f of the positions escapes K audited ones
with a probability of (1 - f) ** K.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import trio

from trainer import knobs, serve
from trainer.data import without
from trainer.errors import DataError, KnobError
from trainer.evaluator import (
    Bits,
    HeldOut,
    Logits,
    Refused,
    Request,
    bits_per_byte,
    changed,
    note,
    probes,
    questions,
    read_held_out,
    windows_of,
)
from trainer.output import Output
from trainer.predictor import consult
from trainer.process import Ended, environment, fresh_folder, run_limited
from trainer.sandbox import Contents, Sandbox
from trainer.slots import WHOLE_MACHINE, Slot
from trainer.task import Budget, Evaluate, Task
from trainer.trial import Progress, Status, Trial, failure_of, listener, variables

SERVE: Final = ".serve.py"
MODEL: Final = ".model.bin"
"""Two names in the program's folder that no file of a task can have."""
MB: Final = 1_000_000


async def run_audited(
    task: Task,
    files: Mapping[str, str],
    seed: int,
    *,
    workspace: Path,
    data: Path | None,
    sandbox: Sandbox,
    device: str = "cpu",
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    budget: Budget | None = None,
    audit_seed: int | None = None,
    slot: Slot = WHOLE_MACHINE,
) -> Trial:
    """Train, predict and audit a program whose task says how edited code is scored; else as `trainer.trial.run_trial`.

    The value is bits per byte. The metrics are what the program says of its training, and `predict_seconds`,
    `audit_seconds`, `audited` (positions) and `audit_difference` (the greatest, in bits).

    Args:
        audit_seed: what is audited follows from it; None, as it should be, for a secret one.

    Raises:
        DataError: the held-out text is not what the task file says.
    """
    how = task.evaluate
    if how is None or data is None:
        raise DataError(f"{task.name} does not say how edited code is scored: its file has no [evaluate]")
    shown = {name: text for name, text in files.items() if name not in how.hidden}
    candidate = _Candidate(
        task, how, shown, seed, workspace, sandbox, device, threads, budget or task.budget, on_progress, slot
    )
    started = trio.current_time()
    metrics: dict[str, float] = {}
    value: float | None = None
    status: Status = "ok"
    reason = ""
    try:
        held_out = await trio.to_thread.run_sync(read_held_out, data, how)
        length = _window(how, files[task.editable[0]])
        with fresh_folder(workspace, {}) as folder:
            model = folder / MODEL
            metrics |= await candidate.train(without(data, {how.tokens, how.starts, *how.hidden}), model)
            metrics.pop(task.metric.name, None)
            scored = await _score(candidate, model, held_out, length, audit_seed, metrics)
        value = bits_per_byte(scored, held_out)
        metrics[task.metric.name] = value
    except _Failed as failure:
        status, reason = failure.status, failure.reason
    except Refused as refusal:
        status, reason = "refused", str(refusal)
    tail = "\n".join(output.tail for output in candidate.outputs if output.tail)
    return Trial(seed, status, value, reason, trio.current_time() - started, metrics, tail)


async def _score(
    candidate: "_Candidate",
    model: Path,
    held_out: HeldOut,
    length: int,
    audit_seed: int | None,
    metrics: dict[str, float],
) -> Bits:
    """Bits of every held-out token, after the audit; adds to the metrics. Raises Refused."""
    how = candidate.how
    windows = windows_of(held_out, length)
    started = trio.current_time()
    scored = await candidate.predict("predicting", model, list(questions(held_out, windows)), held_out)
    asked = trio.current_time()
    rng = np.random.default_rng(audit_seed)
    probing = list(probes(held_out, windows, how.positions, length, rng))
    again = await candidate.predict("the audit", model, probing, held_out)
    count, audited, difference = changed(scored, again, how.tolerance)
    metrics |= {
        "predict_seconds": asked - started,
        "audit_seconds": trio.current_time() - asked,
        "audited": float(audited),
        "audit_difference": difference,
    }
    if count:
        raise Refused(
            f"{count} of {audited} audited positions changed when the future was hidden, by up to {difference:.3g} "
            "bits: predictions look ahead, remember, or differ from run to run"
        )
    return scored


class _Failed(Exception):
    """A stage ended otherwise than it should: a Trial's status and reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


@dataclass(frozen=True)
class _Candidate:
    """The program and how it is run; the same for all three stages, each in a folder and a sandbox of its own."""

    task: Task
    how: Evaluate
    files: Mapping[str, str]
    seed: int
    workspace: Path
    sandbox: Sandbox
    device: str
    threads: int
    budget: Budget
    on_progress: Callable[[Progress], None] | None
    slot: Slot
    outputs: list[Output] = field(default_factory=list)

    async def train(self, data: Path, model: Path) -> dict[str, float]:
        """Leave the trained model in that file; returns what training said. Raises _Failed."""
        output = self._listen()
        with fresh_folder(self.workspace, self._files()) as folder, _opened(folder / MODEL) as left:
            ended = await self._run(
                ["train"], output, folder, self.task.limits.wall_seconds, data=data, outputs=[MODEL]
            )
            failure = failure_of(ended, output)
            size = os.fstat(left.fileno()).st_size
            if failure is None and size > self.how.model_mb * MB:
                failure = "output", f"training left a model of {size:,} bytes; {self.how.model_mb:,} MB are allowed"
            elif failure is None and size == 0:
                failure = "crash", "train() ended well and left no model"
            if failure is not None:
                raise _Failed(*failure)
            with model.open("wb") as frozen:
                shutil.copyfileobj(left, frozen)
        measured = {} if ended.peak_memory_mb is None else {"peak_memory_mb": ended.peak_memory_mb}
        return measured | output.numbers

    async def predict(self, stage: str, model: Path, requests: Sequence[Request], held_out: HeldOut) -> Bits:
        """Bits of every token that the requests ask for, nan for others. Raises _Failed and Refused."""
        output = self._listen()
        scored = np.full(len(held_out.tokens), np.nan)
        with fresh_folder(self.workspace, self._files()) as folder:
            os.link(model, folder / MODEL)

            async def run(descriptors: tuple[int, int]) -> Ended:
                words = ["predict", *map(str, descriptors)]
                return await self._run(words, output, folder, self.how.seconds, descriptors=descriptors, files=[MODEL])

            def take(request: Request, logits: Logits) -> None:
                note(scored, held_out, request, logits)

            ended = await consult(requests, held_out.vocabulary, take, run)
        if ended is not None:
            status, reason = failure_of(ended, output) or ("crash", "it ended before everything was answered")
            raise _Failed(status, f"{stage}: {reason}")
        return scored

    async def _run(
        self,
        words: Sequence[str],
        output: Output,
        folder: Path,
        wall_seconds: float,
        *,
        data: Path | None = None,
        files: Sequence[str] = (),
        outputs: Sequence[str] = (),
        descriptors: tuple[int, ...] = (),
    ) -> Ended:
        contents = Contents(folder, [*self._files(), *files], data, outputs=outputs)
        home, seen_data = self.sandbox.place(contents)
        return await run_limited(
            ["{python}", SERVE, words[0], self.task.editable[0], MODEL, *words[1:]],
            folder=folder,
            environment=environment(home, self.threads)
            | variables(self.seed, self.budget, seen_data, self.device, self.threads)
            | self.slot.variables,
            limits=self.task.limits,
            wall_seconds=wall_seconds,
            on_line=listener(output, home, self.on_progress),
            limit_data=self.device == "cpu",
            cores=self.slot.cores,
            sandbox=(self.sandbox, contents),
            descriptors=descriptors,
        )

    def _files(self) -> dict[str, str]:
        return {**self.files, SERVE: Path(serve.__file__).read_text(encoding="utf-8")}

    def _listen(self) -> Output:
        self.outputs.append(Output())
        return self.outputs[-1]


def _opened(path: Path) -> BinaryIO:
    """A new file that any user may write, open for reading: whatever becomes of its name, this is what was written."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchmod(descriptor, 0o666)
    return open(descriptor, "rb")


def _window(how: Evaluate, program: str) -> int:
    """Tokens that a prediction may look back on, by the program's own constant where it has one for it."""
    if isinstance(how.window, int):
        return how.window
    try:
        size = knobs.read(program).get(how.window)
    except KnobError as error:
        raise _Failed("crash", str(error)) from error
    if type(size) is not int or not 0 < size <= how.longest_window:
        raise _Failed("crash", f"the program must set {how.window} to a whole number from 1 to {how.longest_window}")
    return size
