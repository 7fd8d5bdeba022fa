"""A whole show on this machine: a synthetic host, a scripted crowd, a running order."""
