"""What the daemon shows over HTTP: metrics, health, and the JSON API through which people give orders."""

from notaus.web.app import create
from notaus.web.links import Link, Links
from notaus.web.ports import DaemonView
from notaus.web.server import AddressUnusable, serve

__all__ = ["AddressUnusable", "DaemonView", "Link", "Links", "create", "serve"]
