"""The show: wires the rooms together."""
