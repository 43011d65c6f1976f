"""Adapters to frameworks for applications: pipelines as the retrievers, rerankers and pruners of a host.

Each module stands for one host and needs its package alone: `langchain`, `llama_index`, `haystack`. What a host's
documents keep is the same everywhere, and stands in `documents`; what their metadata gains, in `facts`.
"""
