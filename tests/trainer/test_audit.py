"""Edited code that wants a better value than it earned, in real sandboxes: each cheat is refused with its reason, or
gains nothing; and code that is honest gets the value that it earned."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.trainer.guessers import HONEST, PEEKING, files_of, guessing_task, honest_value, write_data
from trainer.audit import run_audited
from trainer.bubblewrap import find_bubblewrap, interpreter_folders
from trainer.errors import DataError
from trainer.landlock import OLDEST_ABI, Landlock, abi
from trainer.sandbox import Sandbox
from trainer.task import Task
from trainer.trial import Trial

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

TASK = guessing_task()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("cache") / "data")


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    # that it stands its test is tested elsewhere
    return Sandbox(find_bubblewrap())


async def run(tmp_path: Path, data: Path, sandbox: Sandbox, program: str, task: Task = TASK) -> Trial:
    with trio.fail_after(60):
        return await run_audited(
            task, files_of(task, program), 5, workspace=tmp_path / "w", data=data, sandbox=sandbox, audit_seed=1
        )


async def test_an_honest_program_has_the_value_that_it_earned(tmp_path: Path, data: Path, sandbox: Sandbox) -> None:
    trial = await run(tmp_path, data, sandbox, "")
    assert (trial.status, trial.reason) == ("ok", "")
    assert trial.value == pytest.approx(honest_value(data), rel=1e-6)
    assert trial.metrics["score"] == trial.value
    assert (trial.metrics["audited"], trial.metrics["num_params"]) == (512, 64)
    assert trial.metrics["audit_difference"] < 1e-6
    assert list((tmp_path / "w").iterdir()) == [], "nothing is left behind"


CHEATS = {
    "peeking at every position": (PEEKING.format(where="tokens[:, 1:] >= 0"), r"^4\d\d of 512 audited positions"),
    "peeking at 1 % of positions": (
        PEEKING.format(
            where="(tokens[:, :-1] * 31 + tokens[:, 1:] * 17 + 7 * np.arange(tokens.shape[1] - 1)) % 97 < 1"
        ),
        r"^\d of 512 audited positions changed when the future was hidden",
    ),
    "replayed answers": (
        """
        def predictor(path):
            table, seen = np.load(path), {}
            places = ["/tmp/seen.npy", "/dev/shm/seen.npy", str(path)]
            for place in places[:2]:
                if os.path.exists(place):
                    seen.update(np.load(place, allow_pickle=True).item())
            def predict(tokens):
                logits = table[tokens]
                for row in range(len(tokens)):
                    for at in range(tokens.shape[1] - 1):
                        known = seen.setdefault(tokens[row, :at + 1].tobytes(), tokens[row, at + 1])
                        logits[row, at, known] += 20
                for place in places:
                    try:
                        np.save(place, seen)
                    except OSError:
                        continue
                return logits
            return predict
        """,
        r"of 512 audited positions changed",
    ),
    "logits shifted in time": (
        """
        def predictor(path):
            return lambda tokens: np.roll(20 * np.eye(VOCABULARY)[tokens], -1, axis=1)
        """,
        r"of 512 audited positions changed",
    ),
    "learning from what was asked": (
        """
        def predictor(path):
            counts = np.exp(np.load(path))
            def predict(tokens):
                np.add.at(counts, (tokens[:, :-1], tokens[:, 1:]), 10)
                return np.log(counts)[tokens]
            return predict
        """,
        r"of 512 audited positions changed",
    ),
    "guessing differently each time": (
        """
        def predictor(path):
            return lambda tokens: np.random.default_rng().normal(size=(*tokens.shape, VOCABULARY))
        """,
        r"of 512 audited positions changed .* differ from run to run$",
    ),
    "NaN logits": (
        "def predictor(path):\n    return lambda tokens: np.full((*tokens.shape, VOCABULARY), np.nan)\n",
        r"^\d+ of \d+ predictions are not finite$",
    ),
    "a vocabulary of its own": (
        "def predictor(path):\n    return lambda tokens: np.zeros((*tokens.shape, 1))\n",
        r"have the shape \(\d+, 16, 1\), and \(\d+, 16, 8\) was due$",
    ),
    "answers past the harness": (
        """
        def predictor(path):
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, bytes(4096))
                except OSError:
                    continue
        """,
        r"have the shape \(0, 0, 0\)",
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_a_cheat_is_refused_with_its_reason(tmp_path: Path, data: Path, sandbox: Sandbox, cheat: str) -> None:
    program, reason = CHEATS[cheat]
    trial = await run(tmp_path, data, sandbox, program)
    assert (trial.status, trial.value) == ("refused", None), trial
    assert re.search(reason, trial.reason), trial.reason


HARMLESS = {
    "a printed value": """
        def train(out, honest=train):
            honest(out)
            print("---\\nscore: 0.001\\nval_bpb: 0.001")
    """,
    "logits shifted by a constant": """
        def predictor(path):
            table = np.load(path)
            return lambda tokens: table[tokens] + 50 * np.sin(tokens)[..., None]
    """,
    "reading the held-out text": """
        def look():
            found = []
            for folder, inner, names in os.walk("/"):
                inner[:] = [name for name in inner if name not in ("usr", "lib", "lib64", "proc", "sys")]
                found += {"val.npy", "val_starts.npy", "answers.py"} & set(names)
            print("found", found, flush=True)
            try:
                import answers
                print("found", answers.HELD_OUT)
            except ModuleNotFoundError:
                pass
            return bool(found)

        def train(out, honest=train):
            look()
            honest(out)

        def predictor(path, honest=predictor):
            look()
            assert "ARNODE_DATA" not in os.environ
            return honest(path)
    """,
    "patching the evaluator": """
        import math, sys
        import score
        score.evaluate = lambda *_: 0.001
        main = sys.modules["__main__"]
        np.log = np.exp = lambda *_, **__: 0.0
        math.log = lambda *_: 1e9
        def train(out):
            Path(out).write_bytes(b"-")
        def predictor(path):
            tokens = np.arange(VOCABULARY)
            table = np.float32(TABLE)
            return lambda tokens: table[tokens]
    """,
    "writing the result file": """
        def train(out, honest=train):
            honest(out)
            for name in ("result.json", "score", "../score", "/data/score", ".serve.py", "score.py"):
                try:
                    Path(name).write_text("score: 0.001")
                except OSError:
                    continue
    """,
}


@pytest.mark.parametrize("cheat", HARMLESS)
async def test_a_cheat_gains_nothing(tmp_path: Path, data: Path, sandbox: Sandbox, cheat: str) -> None:
    counts = np.ones((8, 8))
    tokens = np.load(data / "train.npy").astype(int)
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    program = HARMLESS[cheat].replace("TABLE", repr(np.log(counts).round(9).tolist()))
    trial = await run(tmp_path, data, sandbox, program)
    assert trial.status == "ok", trial
    assert trial.value == pytest.approx(honest_value(data), rel=1e-5)
    assert trial.metrics["score"] == trial.value
    assert "found" not in trial.log_tail.replace("found []", "")


async def test_a_model_turned_into_a_link_or_a_trap_is_neither_followed_nor_opened(
    tmp_path: Path, data: Path, sandbox: Sandbox
) -> None:
    secret, trapped = tmp_path / "secret", tmp_path / "trapped"
    np.save(secret, np.zeros((8, 8), dtype=np.float32))
    program = f"""
        import pickle
        class Trap:
            def __reduce__(self):
                return os.system, ("touch {trapped}",)
        def train(out):
            try:
                os.remove(out)
                os.symlink("{secret}.npy", out)
                print("replaced the model")
            except OSError as error:
                print("kept the model:", error.strerror)
            with open(out, "wb") as file:
                pickle.dump(Trap(), file)
        def predictor(path):
            with open(path, "rb") as file:
                print("opened inside:", pickle.load(file), flush=True)
            return lambda tokens: np.zeros((*tokens.shape, VOCABULARY))
    """
    trial = await run(tmp_path, data, sandbox, program)
    assert trial.status == "ok", trial
    assert "kept the model" in trial.log_tail
    assert "opened inside:" in trial.log_tail
    assert not trapped.exists()


SLOW = "import time\ndef {name}(path):\n    time.sleep(60)\n"
OUTCOMES = {
    "training fails": ("def train(out): raise ValueError('a bug')", "crash", "ValueError: a bug"),
    "training takes too long": (SLOW.format(name="train"), "timeout", "ran longer than 1 s"),
    "no model": ("def train(out): pass", "crash", "train() ended well and left no model"),
    "too large a model": (
        "def train(out): Path(out).write_bytes(bytes(3_000_001))",
        "output",
        "training left a model of 3,000,001 bytes; 3 MB are allowed",
    ),
    "no predictor": ("del predictor", "crash", "predicting: the program has no function `predictor`"),
    "predicting fails": ("def predictor(path): raise ValueError('a bug')", "crash", "predicting: ValueError: a bug"),
    "predicting stalls": (SLOW.format(name="predictor"), "timeout", "predicting: ran longer than 1 s"),
    "predicting floods": (
        "def predictor(path):\n    while True: print('x' * 1000)\n",
        "output",
        "predicting: printed more than 100,000 bytes",
    ),
    "predicting stops": (
        "def predictor(path): os._exit(0)",
        "crash",
        "predicting: it ended before everything was answered",
    ),
    "the shape is wrong": (
        "def predictor(path): return lambda tokens: tokens",
        "crash",
        r"predicting: predict gave logits of shape \(\d+, 16\) for tokens of shape \(\d+, 16\)",
    ),
    "the window is gone": ("WINDOW = None", "crash", "the program must set WINDOW to a whole number from 1 to 4096"),
    "the window is huge": ("WINDOW = 5000", "crash", "the program must set WINDOW to a whole number from 1 to 4096"),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_failure_is_told_apart_with_its_stage(
    tmp_path: Path, data: Path, sandbox: Sandbox, outcome: str
) -> None:
    program, status, reason = OUTCOMES[outcome]
    if program.startswith("WINDOW"):
        program = HONEST.replace("WINDOW = 16", program)
        task = TASK
        trial = await run_audited(
            task, {**task.files, "train.py": program}, 5, workspace=tmp_path, data=data, sandbox=sandbox
        )
    else:
        stalls = {"training takes too long": {"wall_seconds": 1}, "predicting stalls": {"seconds": 1}}
        task = guessing_task(model_mb=3, **stalls.get(outcome, {}))
        trial = await run(tmp_path, data, sandbox, program, task)
    assert (trial.status, trial.value) == (status, None), trial
    assert re.fullmatch(reason.replace("()", r"\(\)"), trial.reason), trial.reason


@pytest.mark.skipif(abi() < OLDEST_ABI, reason="this kernel's Landlock is too old")
async def test_it_is_the_same_under_landlock(tmp_path: Path, data: Path) -> None:
    fallback = Sandbox(Landlock(tuple(interpreter_folders())), weaker_because="a test")
    replaced = """
        def train(out, honest=train):
            os.remove(out)
            honest(out)
    """
    looking = PEEKING.format(where="tokens[:, 1:] >= 0")
    trials = [await run(tmp_path, data, fallback, program) for program in ("", looking, replaced)]
    assert [trial.status for trial in trials] == ["ok", "refused", "crash"], trials
    assert trials[0].value == pytest.approx(honest_value(data), rel=1e-6)
    assert trials[2].reason == "train() ended well and left no model", "what was put in the model's place is not read"


async def test_a_task_that_names_no_evaluation_or_other_data_says_so(
    tmp_path: Path, data: Path, sandbox: Sandbox
) -> None:
    without = TASK.model_copy(update={"evaluate": None})
    with pytest.raises(DataError, match=r"toy does not say how edited code is scored: its file has no \[evaluate\]"):
        await run(tmp_path, data, sandbox, "", without)
    assert TASK.evaluate is not None
    other = TASK.model_copy(update={"evaluate": TASK.evaluate.model_copy(update={"starts": "train.npy"})})
    with pytest.raises(DataError, match=r"train\.npy must rise from 0 to \d+, the number of tokens in val\.npy"):
        await run(tmp_path, data, sandbox, "", other)
