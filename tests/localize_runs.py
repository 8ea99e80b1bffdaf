"""What tests of runs share: all that a run has found, row by row."""

import sqlite3

TABLE = (
    "SELECT name, status, reason, rank, class, score, boxes FROM images LEFT JOIN classes ON image = id"
    " ORDER BY name, rank"
)


def table(run):
    """All that a run has found, row by row."""
    connection = sqlite3.connect(run)
    try:
        return connection.execute(TABLE).fetchall()
    finally:
        connection.close()
