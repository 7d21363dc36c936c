"""What a PostgreSQL was asked: each statement with how often (``pg_stat_statements``), and what was committed."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing

import psycopg2

_TRANSACTION = re.compile(r"^\s*(BEGIN|START TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|END|SET)\b", re.IGNORECASE)


def prepare(url: str) -> None:
    """Make a database's statements readable; the server has the library loaded."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def asked(url: str) -> Counter[str]:
    """Return how often each statement of this database was executed so far."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT query, sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%%pg_stat_statements%%' "
            "AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY query"
        )
        return Counter({" ".join(query.split()): int(calls) for query, calls in cursor.fetchall()})


def written(url: str) -> int:
    """Return how many transactions and savepoints of the server have changed something so far."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchall()[0][0])


def is_transaction(statement: str) -> bool:
    """Tell a statement that begins or ends a transaction from one that reads or writes."""
    return _TRANSACTION.match(statement) is not None


def is_savepoint(statement: str) -> bool:
    """Tell the begin of a savepoint."""
    return statement.upper().startswith("SAVEPOINT")
