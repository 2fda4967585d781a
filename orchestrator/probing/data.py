"""A data set for protocols: its images, and their features by one encoder, extracted once and cached."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from orchestrator.config.run import Named
from orchestrator.core.registry import find
from orchestrator.data.images import DatasetCard, ImageSet
from orchestrator.probing.features import labels_of
from orchestrator.probing.frozen import FrozenEncoder


@dataclass(frozen=True)
class Features:
    """One split seen by one encoder."""

    values: Float[Tensor, "N D"]
    labels: Int64[Tensor, "N"]


class EvaluationData:
    """One data set and one encoder.

    Args:
        name: of the data set in the suite.
        config: its section, such as `fashion_scenes.Config()`.
        encoder: whose features are kept.
        folder: where they are kept, by encoder, data and split.
    """

    def __init__(self, name: str, config: Named, encoder: FrozenEncoder, folder: Path) -> None:
        self.name, self.config, self._encoder, self._folder = name, config, encoder, folder
        self._module = find("orchestrator.datasets", config.name)
        self.card: DatasetCard = self._module.card(config)
        self._held: tuple[str, ImageSet] | None = None

    def images(self, split: str) -> ImageSet:
        """A decoded split; the last one is cached.

        Raises:
            UserError: if a data file is damaged.
            ValueError: if there is no such split.
        """
        if self._held is None or self._held[0] != split:
            self._held = split, self._module.load(self.config, split)
        return self._held[1]

    def features(self, split: str) -> Features:
        """The features and labels of a split.

        Raises:
            UserError: if a data file is damaged.
            ValueError: if the split has no labels, or a feature is not finite.
        """
        return Features(self.values(split), self.kept(f"{split}-labels", lambda: labels_of(self.images(split))))

    def values(self, split: str) -> Float[Tensor, "N D"]:
        """The features of a split alone, which need not have labels.

        Raises:
            UserError: if a data file is damaged.
            ValueError: if a feature is not finite.
        """
        values = self.kept(split, lambda: self._encoder.features(self.images(split).images))
        if not bool(values.isfinite().all()):
            raise ValueError("some features are not finite; the encoder has diverged or is damaged")
        return values

    def kept(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """A tensor computed from these data and this encoder, cached on disk.

        Args:
            key: its name; must include everything else that its values depend on.
            make: computes it.
        """
        seen = "-".join(map(str, self._encoder.decoding.values()))
        stem = f"{self._encoder.fingerprint[:16]}-{seen}-{self.card.fingerprint}"
        file = self._folder / f"{stem}-{re.sub('[^A-Za-z0-9.=]+', '-', key)}.safetensors"
        try:
            if file.exists():
                return load_file(file)["kept"]
        except SafetensorError:  # truncated by a full disk, for example; it is computed again
            pass
        made = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        half_done = file.with_name(f"{file.name}.tmp")
        save_file({"kept": made.contiguous()}, half_done)
        half_done.replace(file)
        return made
