"""Decisions about a show; no clock, no store."""
