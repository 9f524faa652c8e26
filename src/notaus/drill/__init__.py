"""The quarterly drill of both runbooks: emergency stop and rollback on a staging service, measured against their targets.

Reading order: exercise (what is done, through the orders that people give, and measured), review (what the thresholds did
over the last 90 days), report (Markdown and JSON).
"""

from notaus.drill.exercise import Answer, Desk, Exercise, Hands, Held, Line, refusals
from notaus.drill.report import as_json, kept, markdown, summary
from notaus.drill.review import Review, Reviewed, review

__all__ = [
    "Answer",
    "Desk",
    "Exercise",
    "Hands",
    "Held",
    "Line",
    "Review",
    "Reviewed",
    "as_json",
    "kept",
    "markdown",
    "refusals",
    "review",
    "summary",
]
