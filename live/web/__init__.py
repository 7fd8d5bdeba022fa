"""The pages: plain HTML and ES modules, shipped in the wheel."""
