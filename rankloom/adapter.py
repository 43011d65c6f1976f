"""Adapters: what training has changed of another model, as a folder of a megabyte or two; what all kinds share.

An adapter holds `adapter.json` (its format, which backbone it changes, and how) and `adapter.safetensors` (low-rank
changes and whatever is put on top). The backbone's own weights are shared with whoever else holds them. Hu et al.:
LoRA, ICLR 2022 (arXiv:2106.09685).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from rankloom.errors import DataError, UsageError
from rankloom.extras import require
from rankloom.files import MANIFEST, atomic_path, write_json
from rankloom.model_files import ADAPTER, read_json_object

if TYPE_CHECKING:
    from torch import Tensor

_WEIGHTS = "adapter.safetensors"


class _Evaluated(Protocol):
    """A model of torch."""

    def eval(self) -> Self:
        """The model itself, in evaluation mode."""


_Settings = TypeVar("_Settings", bound="LowRankChanges")
_Model = TypeVar("_Model", bound=_Evaluated)


def shared_transformer(backbone: Any) -> Any:
    """The transformer of a model of sentence-transformers, to be changed: its tensors are shared, and stay as they are.

    Args:
        backbone: Its first module is a transformer.
    """
    transformer = copy.deepcopy(backbone[0], {id(one): one for one in backbone.parameters()})
    transformer.model.requires_grad_(False)
    return transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankChanges:
    """What the settings of an adapter say of the backbone's layers.

    Args:
        rank: Of the changes to each matrix; 0 leaves the backbone as it is.
        alpha: The changes count alpha / rank.
        layers: How many of the backbone's layers are changed, from the top; None changes all.
        modules: Ends of the names of the matrices that are changed; BERT's by default.
    """

    rank: int = 16
    alpha: int = 32
    layers: int | None = None
    modules: tuple[str, ...] = ("query", "key", "value", "dense")


def changed_transformer(backbone: Any, how: LowRankChanges, *, stage: str) -> Any:
    """`shared_transformer` with low-rank changes, which alone can be trained.

    Args:
        backbone: A model of sentence-transformers whose first module is a transformer.
        how: Its changes.
        stage: Who asks, for errors.
    """
    transformer = shared_transformer(backbone)
    add_low_rank(
        transformer.model,
        rank=how.rank,
        alpha=how.alpha,
        modules=how.modules,
        layers=how.layers,
        extra="mini",
        stage=stage,
    )
    return transformer


def add_low_rank(
    model: Any, *, rank: int, alpha: int, modules: Iterable[str], layers: int | None, extra: str, stage: str
) -> None:
    """Put low-rank changes into a model of transformers.

    Args:
        model: The model.
        rank: Of the changes to each matrix; 0 puts in none.
        alpha: The changes count alpha / rank.
        modules: Ends of the names of the matrices that are changed.
        layers: How many layers are changed, from the top; None changes all.
        extra: Who brings peft.
        stage: Who asks, for errors.
    """
    if not rank:
        return
    peft = require("peft", extra=extra, stage=stage)
    where: dict[str, Any] = {"exclude_modules": ["pooler.dense"]}  # no vector of a token passes through it
    if layers is not None:
        depth = model.config.num_hidden_layers
        where |= {"layers_to_transform": list(range(depth - layers, depth)), "layers_pattern": "layer"}
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(modules), **where)
    peft.inject_adapter_in_model(config, model)


def merge_low_rank(model: Any, *, extra: str, stage: str) -> None:
    """Put low-rank changes, where there are any, into copies of the weights they change; an ordinary model remains.

    Args:
        model: The model; weights that it shares stay as they are.
        extra: Who brings peft.
        stage: Who asks, for errors.
    """
    peft = require("peft", extra=extra, stage=stage)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, peft.tuners.lora.LoraLayer)}
    for name, module in layers.items():
        own = copy.deepcopy(module)
        own.merge()
        model.set_submodule(name, own.get_base_layer())


def trainable(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Name -> parameter, of those of some modules that training changes.

    Args:
        parts: Name -> module.
    """
    return {
        f"{part}.{name}": parameter
        for part, module in parts.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def restore(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, stage: str) -> None:
    """Give parameters the weights that they had.

    Args:
        parameters: By name.
        weights: By the same names.
        stage: Who asks, for errors.

    Raises:
        DataError: They are of another encoder.
    """
    import torch

    if {name: one.shape for name, one in parameters.items()} != {name: one.shape for name, one in weights.items()}:
        raise DataError("the weights are of another encoder", stage=stage, value=sorted(weights)[:3])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def write_adapter(
    folder: str | Path,
    fields: Mapping[str, Any],
    parameters: Mapping[str, Tensor],
    *,
    card: str,
    manifest: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write an adapter, with half-precision weights, whole or not at all.

    Args:
        folder: Where to.
        fields: Of `adapter.json`, `format` and `version` among them.
        parameters: What it changes.
        card: The model card, written as README.md.
        manifest: How it came about, written as manifest.json.
        texts: Name -> content, of other files.

    Raises:
        UsageError: The folder holds other things.
    """
    import torch
    from safetensors.torch import save_file

    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        halves = {name: one.detach().to("cpu", torch.float16).contiguous() for name, one in parameters.items()}
        save_file(halves, temporary / _WEIGHTS)
        for name, content in {**(texts or {}), "README.md": card}.items():
            (temporary / name).write_text(content, encoding="utf-8")
        write_json(temporary / MANIFEST, manifest)
        write_json(temporary / ADAPTER, fields)


@dataclass(frozen=True, slots=True)
class AdapterKind(Generic[_Settings, _Model]):
    """One kind of adapter: what it is called, how its model is made of a backbone, and what of it is written.

    Args:
        format: Its format, in `adapter.json`.
        version: The version of the format.
        stage: Who asks, for errors.
        settings: The class of its settings; its fields are those of `adapter.json`.
        adapted: Makes the model of a backbone and settings.
        trained: Name -> parameter, of what training changes of such a model.
        parts: Field -> what makes it of what is written, for settings that are no plain values.
    """

    format: str
    version: int
    stage: str
    settings: type[_Settings]
    adapted: Callable[[Any, _Settings], _Model]
    trained: Callable[[_Model], Mapping[str, Tensor]]
    parts: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def save(
        self,
        model: _Model,
        folder: str | Path,
        settings: _Settings,
        *,
        card: str = "",
        manifest: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an adapter, with half-precision weights, whole or not at all.

        Args:
            model: A trained model of `adapted`.
            folder: Where to.
            settings: What the model was made with.
            card: The model card, written as README.md.
            manifest: How it came about, written as manifest.json.

        Raises:
            UsageError: The folder holds other things.
        """
        fields = {**asdict(settings), "format": self.format, "version": self.version}
        write_adapter(folder, fields, self.trained(model), card=card, manifest=manifest or {})

    def read_settings(self, folder: str | Path) -> _Settings:
        """What an adapter says of itself.

        Raises:
            DataError: The file can not be read, or is of another kind or version.
        """
        told = read_fields(folder, self.format, self.version, stage=self.stage)
        try:
            made = {name: make(told[name]) for name, make in {"modules": tuple, **self.parts}.items()}
            return self.settings(**told | made)
        except (KeyError, TypeError, UsageError) as error:
            raise unreadable(folder, self.format, self.version, str(error), stage=self.stage) from error

    def load(self, folder: str | Path, backbone: Any) -> _Model:
        """The model that an adapter and its backbone make, in evaluation mode.

        Args:
            folder: The adapter.
            backbone: The `SentenceTransformer` that the adapter names, loaded; its weights are shared, not copied.

        Raises:
            DataError: The adapter can not be read, or does not fit the backbone.
        """
        model = self.adapted(backbone, self.read_settings(folder))
        restore(self.trained(model), read_weights(folder), stage=self.stage)
        return model.eval()


def adapter_format(folder: str | Path) -> str | None:
    """What kind of adapter a folder holds, such as `rankloom-token-adapter`; None if it holds a whole model.

    Raises:
        DataError: The file can not be read.
    """
    file = Path(folder) / ADAPTER
    return str(read_json_object(file, stage="adapter").get("format")) if file.is_file() else None


def read_fields(folder: str | Path, name: str, version: int, *, stage: str) -> dict[str, Any]:
    """What an adapter says of itself, without its format and version.

    Args:
        folder: The adapter.
        name: The format that it is to be of.
        version: And the version.
        stage: Who asks, for errors.

    Raises:
        DataError: The file can not be read, or is of another format or version.
    """
    file = Path(folder) / ADAPTER
    try:
        fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        kind = (fields.pop("format"), fields.pop("version"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(folder, name, version, str(error), stage=stage) from error
    if kind != (name, version):
        raise unreadable(folder, name, version, f"it is of format {kind[0]}, version {kind[1]}", stage=stage)
    return fields


def unreadable(folder: str | Path, name: str, version: int, why: str, *, stage: str) -> DataError:
    """The error of an adapter that can not be read; takes what `read_fields` takes, and the reason."""
    return DataError(
        f"the adapter can not be read ({why})",
        stage=stage,
        value=str(Path(folder) / ADAPTER),
        accepted=f"an adapter of format {name}, version {version}",
    )


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The weights of an adapter."""
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = load_file(Path(folder) / _WEIGHTS)
    return weights
