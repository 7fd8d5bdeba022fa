"""The two stores: an operator's own, or embedded ones under our supervisor.

Owns: the choice between them. Everything below is reached through these names.
"""

from live.stores.embedded import EmbeddedStores, Stores
from live.stores.resolve import find_running, resolve_stores, running_or_started
from live.stores.server import StoreError

__all__ = ["EmbeddedStores", "StoreError", "Stores", "find_running", "resolve_stores", "running_or_started"]
