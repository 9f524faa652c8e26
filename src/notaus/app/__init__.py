"""The composition root: a configuration becomes a running daemon. The only place that wires parts together.

`outside` is what reaches beyond the process, with its `channels`; `daemon` wires it to the engine and leads its life;
`desk` answers people; `documents` and `keys` are what it writes of itself.
"""

from notaus.app.channels import channels
from notaus.app.daemon import App
from notaus.app.keys import link_key, web_token
from notaus.app.outside import Outside
from notaus.app.store import open_journal

__all__ = ["App", "Outside", "channels", "link_key", "open_journal", "web_token"]
