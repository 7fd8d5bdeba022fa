"""Decisions about packets; no clock, no socket."""
