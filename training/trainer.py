"""The trainer of sentence-transformers for students of which little is trained: checkpoints hold that and no more."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from sentence_transformers import SparseEncoderTrainer

from rankloom.retrieval.sparse_adapter import restore, trained

_WEIGHTS = "trained.safetensors"


class AdapterTrainer(SparseEncoderTrainer):
    """`SparseEncoderTrainer` for encoders of `rankloom.retrieval.sparse_adapter.adapted`."""

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:  # noqa: ARG002  # the library's
        """Write the weights of a checkpoint."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: one.detach().cpu().contiguous() for name, one in trained(self.model).items()}
        save_file(weights, folder / _WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:  # noqa: ARG002  # the library's
        """Read the weights of a checkpoint."""
        restore(self.model, load_file(Path(resume_from_checkpoint) / _WEIGHTS))
