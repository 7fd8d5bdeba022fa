"""The hub: what happened reaches everybody in the room, once, in order."""
