"""Writes down each SQLite statement of the process that has this folder on its PYTHONPATH; changes nothing of them.

Python imports a module of this name at start (https://docs.python.org/3/library/site.html).
"""

import json
import os
import sqlite3
import sqlite3.dbapi2
from typing import Any

_connect: Any = sqlite3.connect


def _connect_and_tell(*arguments: Any, **options: Any) -> Any:
    connection = _connect(*arguments, **options)
    connection.set_trace_callback(_tell)
    return connection


def _tell(statement: str) -> None:
    with open(os.environ["BENCH_STATEMENTS"], "a") as log:
        log.write(json.dumps(statement) + "\n")


for module in (sqlite3, sqlite3.dbapi2):
    vars(module)["connect"] = _connect_and_tell
