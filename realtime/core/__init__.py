"""Decisions about channels, lanes and slow viewers; no clock, no socket."""
