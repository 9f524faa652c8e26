"""The JSON Schema of the configuration files, generated from the declared keys."""

from __future__ import annotations

from notaus.config.daemon_keys import DAEMON
from notaus.config.keys import SERVICE
from notaus.config.kinds import Schema
from notaus.config.table import table_schema


def schema() -> Schema:
    """Of a service file (`$defs/service`) and of `notaus.yaml` (`$defs/daemon`); the root takes either."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "notaus configuration",
        "oneOf": [{"$ref": "#/$defs/service"}, {"$ref": "#/$defs/daemon"}],
        "$defs": {"service": table_schema(SERVICE), "daemon": table_schema(DAEMON)},
    }
