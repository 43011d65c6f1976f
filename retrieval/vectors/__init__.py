"""The vector index: full vectors in memory-mapped parts, what searches them, and which document each row belongs to.

`index.py` is the way in.
"""
