"""Brings the rows that schemathesis makes up down to those that the test prepares, and keeps these for all of its requests."""

import itertools
import re

import schemathesis

ID = re.compile(r"[1-9][0-9]{0,17}")
KEY = re.compile(r"[!-~]{1,240}")

# What a body or a query names a row by, and how many rows of the kind the first board has.
ROWS = {
    "state": 4,
    "state_id": 4,
    "from_state_id": 4,
    "to_state_id": 4,
    "before": 8,
    "after": 8,
    "entry_id": 8,
    "board_id": 2,
    "category_id": 1,
}
# Rows up to this number are not deleted, nor is Ada taken off her boards: everything else is asked of them.
KEPT = 12

# Requests are counted: most come with an `Idempotency-Key` of their own, and some with one that was there before.
COUNT = itertools.count()


def is_id(value):
    return isinstance(value, str) and ID.fullmatch(value) is not None


def nearer(members):
    for name, value in members.items():
        if name in ROWS and is_id(value):
            members[name] = str(int(value) % ROWS[name] + 1)


@schemathesis.hook
def before_call(context, case, kwargs):
    """What is no number of a row stays as it is: so valid stays valid, and invalid invalid."""
    for members in (case.body, case.query):
        if isinstance(members, dict):
            nearer(members)
    headers = case.headers or {}
    key = headers.get("Idempotency-Key")
    number = next(COUNT)
    if isinstance(key, str) and KEY.fullmatch(key) and number % 5:
        headers["Idempotency-Key"] = f"{key}-{number}"
    path = case.path_parameters or {}
    if case.method.upper() == "DELETE" and "user" not in path:
        for name, value in path.items():
            if is_id(value) and int(value) <= KEPT:
                path[name] = str(int(value) + KEPT)
    if case.method.upper() in ("PUT", "DELETE") and path.get("user") == "ada":
        path["user"] = "ben"
