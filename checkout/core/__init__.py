"""Decisions about holds, orders and money; no clock, no store."""
