"""Jobs on a Ray cluster: encoding, indexing and batch reranking, with the results of a single process.

A job never makes a result of its own. Workers fill what the ordinary path keeps anyway (shards of an encoding, parts
of an index, the cache of results); the ordinary path then runs, here, and finds the work done.
"""

from rankloom.distributed.batch import fill_cache, run_on_ray
from rankloom.distributed.cluster import RayCluster
from rankloom.distributed.encode import encode_corpus
from rankloom.distributed.experiment import fill_for_experiment
from rankloom.distributed.index import build_bm25, build_learned_sparse, build_vectors, index_parts

__all__ = [
    "RayCluster",
    "build_bm25",
    "build_learned_sparse",
    "build_vectors",
    "encode_corpus",
    "fill_cache",
    "fill_for_experiment",
    "index_parts",
    "run_on_ray",
]
