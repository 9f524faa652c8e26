"""The document about an incident: made of the journal alone, so also of one long closed, and while no daemon runs."""

from notaus.report.document import render
from notaus.report.files import Document, kept, place, stem
from notaus.report.findings import Findings, find

__all__ = ["Document", "Findings", "find", "kept", "place", "render", "stem"]
