"""Which Showfloor this is."""

from importlib.metadata import PackageNotFoundError, version

UNKNOWN = "0.0.0"
"""A checkout that was never installed."""


def own_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("showfloor")
    except PackageNotFoundError:
        return UNKNOWN
