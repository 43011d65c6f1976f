"""IDCM: a student chooses windows of a long document, a teacher reads them, the best of its scores are added up.

Hofstätter et al.: Intra-Document Cascading, SIGIR 2021 (arXiv:2105.09816). The teacher (there ETM) is a cross-encoder;
the student's word vectors are its frozen embedding layer. Places without a token are masked everywhere: no score or
token number stands for them. Only the students of published models see them, two tokens before a window's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rankloom.rerank.document_windows import document_windows
from rankloom.rerank.idcm_student import StudentKind, WindowStudent
from rankloom.rerank.window_choice import best_windows

Layout = Literal["pair", "published"]
_ON_A_PROCESSOR, _ON_AN_ACCELERATOR = 1 << 11, 1 << 15  # tokens of a batch, padding included


@dataclass(frozen=True, slots=True, kw_only=True)
class IDCMSizes:
    """What a model reads.

    Args:
        core: Tokens of a window without its overlap.
        overlap: Tokens that it reaches beyond, on either side.
        query_tokens: Of a query that are read, special tokens apart.
        max_tokens: Of a document that are read, special tokens apart.
        sample: Windows of a document that the teacher reads.
        best: How many of its scores are added up at most; each has a weight of its own.
        student: See `WindowStudent`.
        layout: What the teacher reads of a query and a window. `pair`: what a cross-encoder does. `published`: as in
            the authors' code, the window with its empty places and without an end, and an end behind the document; the
            student's convolution then reads empty places too.
    """

    core: int = 50
    overlap: int = 7
    query_tokens: int = 30
    max_tokens: int = 2000
    sample: int = 4
    best: int = 3
    student: StudentKind = "ck"
    layout: Layout = "pair"


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a document.

    Args:
        numbers: Token numbers, 0 at places without a token; int64 of shape (windows, core and both overlaps).
        mask: Which places hold a token; bool of the same shape.
    """

    numbers: Tensor
    mask: Tensor

    def __len__(self) -> int:
        """How many there are: at least one, which is empty if the document is."""
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Row:
    """A query and a window, as the teacher reads them.

    Args:
        numbers: Token numbers.
        mask: Which of them are there.
        types: 0 for what belongs to the query, 1 for what belongs to the window.
    """

    numbers: list[int]
    mask: list[bool]
    types: list[int]


class IDCMModel(nn.Module):
    """The model.

    Args:
        sizes: What it reads.
        tokenizer: A tokenizer of transformers that knows [CLS] and [SEP].
        teacher: Takes `input_ids`, `attention_mask` and (if the tokenizer gives them) `token_type_ids`, and returns a
            score for each row; has the transformer as `base`.
    """

    def __init__(self, sizes: IDCMSizes, tokenizer: Any, teacher: Any) -> None:
        super().__init__()
        self.sizes, self.tokenizer, self.teacher = sizes, tokenizer, teacher
        width = teacher.base.get_input_embeddings().weight.shape[1]
        self.student = WindowStudent(width, sizes.student)
        self.weights = nn.Parameter(torch.ones(sizes.best))

    @cached_property
    def _typed(self) -> bool:
        """Whether the teacher is told which tokens are the window's."""
        return self.sizes.layout == "pair" and "token_type_ids" in self.tokenizer.model_input_names

    def tokens(self, texts: Sequence[str], limit: int) -> tuple[list[list[int]], list[int]]:
        """Token numbers of texts, without special ones, up to a limit; and how many more each has."""
        whole = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [row[:limit] for row in whole], [max(0, len(row) - limit) for row in whole]

    def windows(self, document: Sequence[int]) -> Windows:
        """The windows of a document, given its tokens."""
        sizes = self.sizes
        tokens = [*document, self.tokenizer.sep_token_id] if sizes.layout == "published" else list(document)
        places = document_windows(len(tokens), core=sizes.core, overlap=sizes.overlap)
        numbers = torch.zeros(max(1, len(places)), sizes.core + 2 * sizes.overlap, dtype=torch.long)
        mask = torch.zeros_like(numbers, dtype=torch.bool)
        for row, one in enumerate(places):
            end = one.before + one.end - one.begin
            numbers[row, one.before : end] = torch.tensor(tokens[one.begin : one.end])
            mask[row, one.before : end] = True
        return Windows(numbers, mask)

    # --- the student ---------------------------------------------------------------------------------------------

    def words(self, numbers: Tensor) -> Tensor:
        """The frozen word vectors of tokens, with their positions; float32 of shape (texts, length, width)."""
        embeddings = self.teacher.base.embeddings
        training = embeddings.training
        embeddings.eval()
        with torch.no_grad():
            found: Tensor = embeddings(numbers.to(self.weights.device)).float()
        embeddings.train(training)
        return found

    def query_vectors(self, query: Sequence[int]) -> Tensor:
        """The student's vectors of a query with its special tokens; float32 of shape (tokens, width)."""
        numbers = torch.tensor([self._head(query)])
        return self.student.contextual(self.words(numbers), torch.ones_like(numbers, dtype=torch.bool).to(self._at))[0]

    def window_vectors(self, windows: Windows) -> Tensor:
        """The student's vectors of windows; float32 of shape (windows, length, width).

        In the authors' code the convolution reads the word vectors of empty places too, and so do theirs here.
        """
        read = torch.ones_like(windows.mask) if self.sizes.layout == "published" else windows.mask
        return self.student.contextual(self.words(windows.numbers), read.to(self._at))

    def cheap_scores(self, query: Tensor, vectors: Tensor, windows: Windows) -> Tensor:
        """The student's scores of windows; float32 of shape (windows,)."""
        scores: Tensor = self.student(query, vectors, windows.mask.to(self._at))
        return scores

    def chosen(self, query: Tensor, vectors: Tensor, windows: Windows, count: int) -> list[int]:
        """The windows that the student finds best, in the order of the document."""
        return sorted(best_windows(self.cheap_scores(query, vectors, windows).cpu().numpy(), count))

    # --- the teacher ---------------------------------------------------------------------------------------------

    def row(self, query: Sequence[int], windows: Windows, place: int) -> Row:
        """A query and one of a document's windows."""
        numbers, mask = windows.numbers[place], windows.mask[place]
        head = self._head(query)
        if self.sizes.layout == "published":
            return Row(
                head + numbers.tolist(), [True] * len(head) + mask.tolist(), [0] * len(head) + [1] * len(numbers)
            )
        tail = [*numbers[mask].tolist(), self.tokenizer.sep_token_id]
        return Row(head + tail, [True] * (len(head) + len(tail)), [0] * len(head) + [1] * len(tail))

    def scores(self, rows: Sequence[Row]) -> Tensor:
        """The teacher's scores of rows, which are read in batches of about equal length; float32 of shape (rows,)."""
        tokens = _ON_A_PROCESSOR if self._at.type == "cpu" else _ON_AN_ACCELERATOR
        order = sorted(range(len(rows)), key=lambda place: (-len(rows[place].numbers), place))
        parts: list[Tensor] = []
        begin = 0
        while begin < len(order):
            count = max(1, tokens // len(rows[order[begin]].numbers))
            parts.append(self.batch_scores([rows[place] for place in order[begin : begin + count]]))
            begin += count
        scores = torch.cat(parts) if parts else torch.zeros(0)
        return scores[torch.tensor(order, dtype=torch.long).argsort().to(scores.device)]

    def batch_scores(self, rows: Sequence[Row]) -> Tensor:
        """The teacher's scores of a few rows, which are read at once; float32 of shape (rows,)."""
        length = max(len(row.numbers) for row in rows)

        def padded(values: Sequence[Sequence[int]], fill: int) -> Tensor:
            return torch.tensor([[*row, *([fill] * (length - len(row)))] for row in values], device=self._at)

        features = {
            "input_ids": padded([row.numbers for row in rows], self.tokenizer.pad_token_id or 0),
            "attention_mask": padded([row.mask for row in rows], 0).long(),
        }
        if self._typed:
            features["token_type_ids"] = padded([row.types for row in rows], 0)
        scores: Tensor = self.teacher(**features).float()
        return scores

    def _head(self, query: Sequence[int]) -> list[int]:
        """A query with its special tokens."""
        return [self.tokenizer.cls_token_id, *query, self.tokenizer.sep_token_id]

    @property
    def _at(self) -> torch.device:
        """Where it computes."""
        return self.weights.device


class ClassifierTeacher(nn.Module):
    """A classifier of transformers that gives one score, as the teacher.

    Args:
        model: The classifier.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def base(self) -> Any:
        """The transformer."""
        return self.model.base_model

    def forward(self, **features: Tensor) -> Tensor:
        """Scores, float of shape (rows,)."""
        scores: Tensor = self.model(**features).logits[:, 0]
        return scores


class FirstTokenTeacher(nn.Module):
    """A transformer whose first token a linear layer turns into a score, as the teacher.

    Args:
        base: The transformer.
    """

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        self.head = nn.Linear(base.config.hidden_size, 1)

    def forward(self, **features: Tensor) -> Tensor:
        """Scores, float of shape (rows,)."""
        first = self.base(**features).last_hidden_state[:, 0]
        scores: Tensor = self.head(first.to(self.head.weight.dtype)).squeeze(1)
        return scores
