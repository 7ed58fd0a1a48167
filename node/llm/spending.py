"""What a model may cost and has cost: reserved on disk before a call, settled after it.

A node that is killed during a call finds the whole reserve spent, never too little. A day is this machine's calendar
day.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

WAIT_SECONDS: Final = 5.0
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY,
    day TEXT NOT NULL,
    model TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    settled INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_day ON calls (day);
"""


class BudgetSpent(Exception):
    """No more calls, today or at all; the message says which limit was reached."""


class LedgerError(Exception):
    """What calls cost cannot be noted, so none is made; the message says why."""


@dataclass(frozen=True)
class Budget:
    """The most that may be spent, in all and in a day; None for no limit. Tokens are those of prompts and answers."""

    usd: float | None = None
    usd_day: float | None = None
    tokens: int | None = None
    tokens_day: int | None = None

    @property
    def limits_usd(self) -> bool:
        return self.usd is not None or self.usd_day is not None

    @property
    def limits_tokens(self) -> bool:
        return self.tokens is not None or self.tokens_day is not None


@dataclass(frozen=True)
class Spent:
    """What was spent, in US dollars and tokens."""

    usd: float
    tokens: int


class Spending:
    """The calls of a state folder, in SQLite. today: gives the current day."""

    def __init__(self, path: Path, budget: Budget, today: Callable[[], date] = date.today) -> None:
        self._path = path
        self._budget = budget
        self._today = today

    def reserve(self, model: str, tokens: int, usd: float) -> int:
        """Note the most that a call can cost, on disk; its number. Raises BudgetSpent, LedgerError."""
        with _Ledger(self._path) as ledger:
            total, day = _spent(ledger, None), _spent(ledger, self._today())
            budget = self._budget
            for limit, have, more, when in (
                (budget.usd, total.usd, usd, "in all"),
                (budget.usd_day, day.usd, usd, "a day"),
            ):
                if limit is not None and have + more > limit:
                    raise BudgetSpent(f"${have:.2f} of ${limit:g} {when} are spent, and a call may cost ${usd:.3f}")
            for limit, have, more, when in (
                (budget.tokens, total.tokens, tokens, "in all"),
                (budget.tokens_day, day.tokens, tokens, "a day"),
            ):
                if limit is not None and have + more > limit:
                    raise BudgetSpent(f"{have:,} of {limit:,} tokens {when} are used, and a call may use {tokens:,}")
            made = ledger.execute(
                "INSERT INTO calls (day, model, tokens, usd, settled) VALUES (?, ?, ?, ?, 0)",
                (self._today().isoformat(), model, tokens, usd),
            )
            assert made.lastrowid is not None
            return made.lastrowid

    def settle(self, number: int, tokens: int, usd: float) -> None:
        """Note what a call did cost, in place of what was reserved. Raises LedgerError."""
        with _Ledger(self._path) as ledger:
            ledger.execute("UPDATE calls SET tokens = ?, usd = ?, settled = 1 WHERE number = ?", (tokens, usd, number))

    def total(self) -> Spent:
        """Everything that was ever spent. Raises LedgerError."""
        with _Ledger(self._path) as ledger:
            return _spent(ledger, None)

    def today(self) -> Spent:
        """What was spent today. Raises LedgerError."""
        with _Ledger(self._path) as ledger:
            return _spent(ledger, self._today())


class _Ledger:
    """The file, open for one transaction, which is on disk when the block ends."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._refused(error) from error
        try:
            self._connection.executescript(f"PRAGMA synchronous = FULL; {SCHEMA}")
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._connection.close()
            raise self._refused(error) from error
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self._connection.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failed:
            raise self._refused(failed) from failed
        finally:
            self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(f"{self._path} cannot be used ({error}), so what the model costs cannot be noted")


def _spent(ledger: sqlite3.Connection, day: date | None) -> Spent:
    where, values = ("", ()) if day is None else (" WHERE day = ?", (day.isoformat(),))
    usd, tokens = ledger.execute(f"SELECT TOTAL(usd), SUM(tokens) FROM calls{where}", values).fetchone()
    return Spent(usd, tokens or 0)
