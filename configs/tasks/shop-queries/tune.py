"""How the shop's database is laid out and asked: indexes, a summary table, how questions are put. Tune this file."""

from collections.abc import Sequence

ORDERS_BY_CUSTOMER = "none"  # none, customer, customer_day
ORDERS_BY_DAY = "none"  # none, day, day_total
ORDERS_BY_STATUS = "none"  # none, all, open: only those that are open
ITEMS_BY = "none"  # none, order, product, order_product
ITEMS_CLUSTERED = False  # whether an order's items lie together instead of in order of arrival
DAILY_SUMMARY = False  # whether a trigger keeps each day's revenue
MISSING = "not_in"  # not_in, not_exists, left_join: how customers without orders are looked for
PAGING = "offset"  # offset, keyset: how the next page of a list is found
ANALYZE = False  # whether the planner is told how the values are spread
PAGE_SIZE = 4096  # bytes

INDEXES = {
    "ORDERS_BY_CUSTOMER": {"customer": "orders (customer)", "customer_day": "orders (customer, day)"},
    "ORDERS_BY_DAY": {"day": "orders (day)", "day_total": "orders (day, total)"},
    "ORDERS_BY_STATUS": {"all": "orders (status)", "open": "orders (status) WHERE status = 'open'"},
    "ITEMS_BY": {
        "order": "items (order_id)",
        "product": "items (product)",
        "order_product": "items (order_id, product, quantity)",
    },
}

KEEP_REVENUE = """
    CREATE TRIGGER keep_revenue AFTER INSERT ON orders BEGIN
        INSERT INTO revenue VALUES (new.day, new.total) ON CONFLICT (day) DO UPDATE SET total = total + new.total;
    END
"""
BEST_SELLERS = """
    SELECT product, sum(quantity) AS sold FROM orders JOIN items ON items.order_id = orders.id
    WHERE day BETWEEN ? AND ? GROUP BY product ORDER BY sold DESC, product LIMIT 10
"""


def layout() -> list[str]:
    """The statements that make the empty tables."""
    items = "order_id INT, line INT, product INT, quantity INT"
    clustered = f"CREATE TABLE items ({items}, PRIMARY KEY (order_id, line)) WITHOUT ROWID"
    statements = [
        f"PRAGMA page_size = {PAGE_SIZE}",
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, city TEXT)",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, day INT, status TEXT, total INT)",
        clustered if ITEMS_CLUSTERED else f"CREATE TABLE items ({items})",
    ]
    if DAILY_SUMMARY:
        statements += ["CREATE TABLE revenue (day INTEGER PRIMARY KEY, total INT)", KEEP_REVENUE]
    return statements


def indexes() -> list[str]:
    """The statements that make the indexes, once the first year's orders are in."""
    chosen = [INDEXES[knob].get(globals()[knob]) for knob in INDEXES]
    made = [f"CREATE INDEX index_{number} ON {what}" for number, what in enumerate(chosen) if what]
    return [*made, "ANALYZE"] if ANALYZE else made


def latest_orders(customer: int) -> tuple[str, Sequence[int]]:
    """A customer's ten latest orders."""
    return "SELECT id, total FROM orders WHERE customer = ? ORDER BY day DESC, id DESC LIMIT 10", (customer,)


def revenue(first: int, last: int) -> tuple[str, Sequence[int]]:
    """The revenue of each day."""
    if DAILY_SUMMARY:
        return "SELECT day, total FROM revenue WHERE day BETWEEN ? AND ? ORDER BY day", (first, last)
    return "SELECT day, sum(total) FROM orders WHERE day BETWEEN ? AND ? GROUP BY day ORDER BY day", (first, last)


def open_orders() -> tuple[str, Sequence[int]]:
    """All orders that are still open."""
    return "SELECT id FROM orders WHERE status = 'open' ORDER BY id", ()


def best_sellers(first: int, last: int) -> tuple[str, Sequence[int]]:
    """The ten products that sold most."""
    return BEST_SELLERS, (first, last)


def missing_customers(first: int) -> tuple[str, Sequence[int]]:
    """Customers who ordered nothing since a day."""
    how = {
        "not_in": "SELECT id FROM customers WHERE id NOT IN (SELECT customer FROM orders WHERE day >= ?) ORDER BY id",
        "not_exists": "SELECT id FROM customers WHERE NOT EXISTS "
        "(SELECT 1 FROM orders WHERE customer = customers.id AND day >= ?) ORDER BY id",
        "left_join": "SELECT customers.id FROM customers LEFT JOIN orders ON customer = customers.id AND day >= ? "
        "WHERE orders.id IS NULL ORDER BY customers.id",
    }
    return how[MISSING], (first,)


def page_of_orders(number: int, size: int) -> tuple[str, Sequence[int]]:
    """A page of the list of all orders; their ids count from 1 without a gap."""
    if PAGING == "keyset":
        return "SELECT id, total FROM orders WHERE id > ? ORDER BY id LIMIT ?", (number * size, size)
    return "SELECT id, total FROM orders ORDER BY id LIMIT ? OFFSET ?", (size, number * size)
