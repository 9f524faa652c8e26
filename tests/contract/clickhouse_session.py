"""Run by the judges' own Python: an embedded ClickHouse. Tables and queries come as JSON on standard input.

Not a test by itself. Prints a JSON list: what each query gave in FORMAT JSON, or {"error": …}.
"""

import json
import sys

from chdb import session

SETTINGS = "output_format_json_quote_64bit_integers = 1, session_timezone = 'UTC'"
given = json.load(sys.stdin)
house = session.Session()
house.query("CREATE DATABASE ae ENGINE = Atomic")
house.query("USE ae")
for setting in SETTINGS.split(", "):
    house.query(f"SET {setting}")
for name, table in given["tables"].items():
    columns = ", ".join(f"{column} {type}" for column, type in table["columns"].items())
    house.query(f'CREATE TABLE "{name}" ({columns}) ENGINE = Memory')
    rows = "\n".join(json.dumps(row) for row in table["rows"])
    house.query(f'INSERT INTO "{name}" FORMAT JSONEachRow\n{rows}')
answers = []
for query in given["queries"]:
    try:
        answers.append(json.loads(str(house.query(query, "JSON"))))
    except Exception as error:
        answers.append({"error": str(error).splitlines()[0][:500]})
version = json.loads(str(house.query("SELECT version() AS v", "JSON")))["data"][0]["v"]
json.dump({"version": version, "answers": answers}, sys.stdout)
