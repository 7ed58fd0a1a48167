"""What runs edited code in its sandbox: `train` or `predictor` of the program beside it, and nothing that is trusted.

Run as `.serve.py train PROGRAM MODEL`, or `.serve.py predict PROGRAM MODEL REQUESTS ANSWERS` with two descriptors.
A request is three little-endian uint32 (rows, length, whether single positions are asked), the tokens as int64, and
where asked a position for each row as int64. An answer is three uint32 (rows, positions, vocabulary) and the logits as
float32. The program's prints go where they always go.
"""

import importlib.util
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

HEADER = struct.Struct("<3I")


def main(what: str, program: str, model: str, *descriptors: str) -> None:
    module = _imported(program)
    if what == "train":
        _function(module, "train")(Path(model))
        return
    requests, answers = (int(descriptor) for descriptor in descriptors)
    predict = _function(module, "predictor")(Path(model))
    with open(requests, "rb") as asked, open(answers, "wb", buffering=0) as out:
        while header := asked.read(HEADER.size):
            rows, length, single = HEADER.unpack(header)
            tokens = np.frombuffer(asked.read(8 * rows * length), "<i8").astype(np.int64).reshape(rows, length)
            positions = np.frombuffer(asked.read(8 * rows), "<i8") if single else None
            logits = np.asarray(predict(tokens))
            if logits.ndim != 3 or logits.shape[:2] != (rows, length):
                sys.exit(f"predict gave logits of shape {logits.shape} for tokens of shape {(rows, length)}")
            if positions is not None:
                logits = logits[np.arange(rows), positions][:, None]
            _write(out, HEADER.pack(*logits.shape))
            _write(out, np.ascontiguousarray(logits, "<f4").tobytes())


def _imported(program: str) -> ModuleType:
    path = Path(program).absolute()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(module, name, None)
    if found is None:
        sys.exit(f"the program has no function `{name}`")
    return found


def _write(out: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[out.write(left) :]


if __name__ == "__main__":
    main(*sys.argv[1:])
