"""The token index: a vector for each token (or cluster of tokens) of every document, and what searches them.

Useful for: late interaction over a corpus. Not for: what makes the vectors; that is `rankloom.token_encoder`.
"""
