"""The vocabulary of Showfloor: every message, row, event and error that crosses a boundary.

Invariant: this package imports nothing of ours; every other room imports it.
"""
