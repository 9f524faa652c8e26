"""Evidence kept: what Cloudflare forgets within days is copied beside the journal when an incident begins."""

from notaus.custody.collector import Collector
from notaus.custody.folder import Folder, Listed
from notaus.custody.questions import Questions

__all__ = ["Collector", "Folder", "Listed", "Questions"]
