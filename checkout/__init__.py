"""Hold to order: reserved atomically, made durable, paid once."""
