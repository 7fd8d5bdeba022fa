"""Publisher to subscribers: packets forwarded, never decoded."""
