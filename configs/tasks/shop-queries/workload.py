"""A day of a small shop's database, in SQLite: what it costs under the choices of tune.py. This file is fixed.

Cost is counted, not timed, so that it is the same on every machine with the same SQLite: thousands of instructions of
SQLite's virtual machine, and for each kilobyte of the database STORAGE of them. Every kind of question is answered once
more, plainly, to see that the answers are right.
"""

import os
import random
import sqlite3
import sys

import tune

CUSTOMERS, ORDERS, PRODUCTS, DAYS = 400, 3000, 300, 365
STORAGE = 2.0
GRAIN = 10  # instructions between two counts

# How often each kind of question is asked, and how much is written.
LATEST, REVENUES, OPEN, SELLERS, MISSING, PAGES = 150, 40, 30, 4, 4, 40
NEW_ORDERS, SHIPPED = 300, 150

Question = tuple[str, tuple[int, ...]]


def order(rng: random.Random, number: int, day: int) -> tuple[int, int, int, str, int]:
    status = "open" if rng.random() < 0.03 else "shipped"
    return number, min(int(rng.expovariate(1 / 80)), CUSTOMERS - 1), day, status, rng.randrange(5, 500)


def items(rng: random.Random, number: int) -> list[tuple[int, int, int, int]]:
    return [(number, line, rng.randrange(PRODUCTS), rng.randrange(1, 5)) for line in range(rng.randrange(1, 6))]


def questions(rng: random.Random) -> list[Question]:
    """What is asked in a day: a function of tune.py, and what it is given."""
    asked: list[Question] = [("latest_orders", (rng.randrange(CUSTOMERS),)) for _ in range(LATEST)]
    weeks = [rng.randrange(DAYS - 7) for _ in range(REVENUES)]
    asked += [("revenue", (week, week + 6)) for week in weeks]
    asked += [("open_orders", ())] * OPEN
    asked += [("best_sellers", (month, month + 29)) for month in weeks[:SELLERS]]
    asked += [("missing_customers", (DAYS - days,)) for days in range(30, 30 + MISSING)]
    asked += [("page_of_orders", (rng.randrange(ORDERS // 20), 20)) for _ in range(PAGES)]
    rng.shuffle(asked)
    return asked


PLAIN = {
    "latest_orders": "SELECT id, total FROM plain_orders WHERE customer = ?1 ORDER BY day DESC, id DESC LIMIT 10",
    "revenue": "SELECT day, sum(total) FROM plain_orders WHERE day BETWEEN ?1 AND ?2 GROUP BY day ORDER BY day",
    "open_orders": "SELECT id FROM plain_orders WHERE status = 'open' ORDER BY id",
    "best_sellers": "SELECT product, sum(quantity) AS sold FROM plain_orders JOIN plain_items ON order_id = id "
    "WHERE day BETWEEN ?1 AND ?2 GROUP BY product ORDER BY sold DESC, product LIMIT 10",
    "missing_customers": "SELECT id FROM customers WHERE id NOT IN (SELECT customer FROM plain_orders WHERE day >= ?1)",
    "page_of_orders": "SELECT id, total FROM plain_orders ORDER BY id LIMIT ?2 OFFSET ?1 * ?2",
}


def check(database: sqlite3.Connection, asked: list[Question]) -> None:
    """End with a reason if an answer is wrong; each kind of question is asked once."""
    database.execute("CREATE TEMP TABLE plain_orders AS SELECT * FROM orders")
    database.execute("CREATE TEMP TABLE plain_items AS SELECT * FROM items")
    for kind, given in dict(asked).items():
        right = database.execute(PLAIN[kind], given).fetchall()
        if database.execute(*getattr(tune, kind)(*given)).fetchall() != right:
            sys.exit(f"{kind}{given}: the answer is wrong")


def main() -> None:
    rng = random.Random(int(os.environ.get("ARNODE_SEED", "0")))
    database = sqlite3.connect(":memory:", isolation_level=None)
    for statement in tune.layout():
        database.execute(statement)
    insert_order, insert_item = "INSERT INTO orders VALUES (?, ?, ?, ?, ?)", "INSERT INTO items VALUES (?, ?, ?, ?)"
    database.executemany("INSERT INTO customers VALUES (?, ?)", [(n, f"city {n % 30}") for n in range(CUSTOMERS)])
    for number in range(1, ORDERS + 1):
        database.execute(insert_order, order(rng, number, number * DAYS // (ORDERS + 1)))
        database.executemany(insert_item, items(rng, number))
    for statement in tune.indexes():
        database.execute(statement)

    counted = 0

    def count() -> int:
        nonlocal counted
        counted += GRAIN
        return 0

    asked = questions(rng)
    database.set_progress_handler(count, GRAIN)
    for kind, given in asked:
        database.execute(*getattr(tune, kind)(*given)).fetchall()
    for number in range(ORDERS + 1, ORDERS + NEW_ORDERS + 1):
        database.execute(insert_order, order(rng, number, DAYS))
        database.executemany(insert_item, items(rng, number))
    for number in rng.sample(range(1, ORDERS + 1), SHIPPED):
        database.execute("UPDATE orders SET status = 'shipped' WHERE id = ?", (number,))
    database.set_progress_handler(None, 0)
    (pages,), (size,) = (database.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size"))
    kilobytes = pages * size / 1024
    check(database, asked)
    print("---")
    print("cost:", repr(counted / 1000 + STORAGE * kilobytes))
    print("kilobytes:", kilobytes)
    print("num_steps:", len(asked))


main()
