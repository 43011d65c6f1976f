"""The YAML of a recipe that trains a sentence encoder on a corpus without queries."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rankloom.eval.strict import Strict
from rankloom.training.contrastive_config import EncoderRecipe


class PageKeys(Strict):
    """Keys of metadata that tell pages; see `rankloom.training.pages`.

    Args:
        page: Id of the page.
        section: Number of the section.
        links: Ids of the pages that are linked to.
    """

    page: str = "page"
    section: str = "section"
    links: str = "links"


class PageTask(Strict):
    """How many pairs a task gives.

    Args:
        each: Pairs of each passage (ict) or page (bfs, wlp), at most.
        limit: Pairs in all; a random part of the corpus is read for them. All by default.
        shortest: Characters of a sentence that can be a query.
    """

    each: int = Field(default=1, ge=1)
    limit: int | None = Field(default=None, ge=2)
    shortest: int = Field(default=15, ge=1)


class ClozeTask(PageTask):
    """The same for ict.

    Args:
        keep: How often the sentence stays in its passage, so that shared words are learnt from as well; 0.1 as in Lee
            et al., 2019, 0 as in Chang et al., 2020.
    """

    keep: float = Field(default=0.1, ge=0, le=1)


class Tasks(Strict):
    """Which pairs are made of a corpus; see `rankloom.training.pretraining_tasks`.

    Args:
        ict: Inverse cloze task: a sentence and the rest of its passage.
        bfs: Body first selection: a sentence of a page's first section and a passage of the page.
        wlp: Wiki link prediction: a sentence of a page's first section and a passage of a page that links to it.
    """

    ict: ClozeTask | None = None
    bfs: PageTask | None = None
    wlp: PageTask | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        """There is something to do."""
        if not any((self.ict, self.bfs, self.wlp)):
            raise ValueError("name at least one of `ict`, `bfs`, `wlp`")
        return self


class CorpusSource(Strict):
    """A corpus to be trained on.

    Args:
        name: What to call it.
        licence: Under which texts may be used; written on the model card.
        corpus: A file of documents, relative to the data folder (RANKLOOM_DATA), or a folder; see `read_documents`.
        keys: Where metadata tells pages.
        validation: Pairs of each task that are held out to measure on.
    """

    name: str
    licence: str
    corpus: str
    keys: PageKeys = PageKeys()
    validation: int = Field(default=0, ge=0)


class PretrainingRecipe(EncoderRecipe):
    """A recipe for a sentence encoder, trained on pairs that are made of corpora.

    Args:
        kind: `pretraining`.
        sources: What is trained on.
        tasks: Which pairs are made of it.
    """

    kind: Literal["pretraining"]
    sources: list[CorpusSource] = Field(min_length=1)
    tasks: Tasks
