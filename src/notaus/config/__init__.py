"""The configuration language: files and environment to core values; every mistake with file, line and its remedy.

Reading order: problems, quantities, document, environment (the text); kinds, table, keys, settings (the language,
declared); signals, conditions, ladder, rules, checks, service (the meaning); load; schema and reference (the same
declarations, for editors and people).
"""

from notaus.config.load import Configuration, load, load_service_text, load_settings
from notaus.config.problems import InvalidConfiguration, Problem
from notaus.config.schema import schema
from notaus.config.settings import Settings

__all__ = [
    "Configuration",
    "InvalidConfiguration",
    "Problem",
    "Settings",
    "load",
    "load_service_text",
    "load_settings",
    "schema",
]
