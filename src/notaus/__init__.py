"""notaus: the emergency stop for services on Cloudflare Workers."""

__version__ = "0.1.0"
