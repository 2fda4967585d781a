"""Everything that a user's own module imports, in one place.

A component is a module: `name: mylab.vicreg` in a file means `mylab/vicreg.py`. Each kind defines a `Config` (a
subclass of `Config`, or as said below) and the functions or classes of its kind:

- A method: `plan(config) -> Plan`, with views (`ViewSpec`) and pairs (`Pair`), and `Method(config, encoder)`, an
  `nn.Module` with the hooks of the protocol `Method`; `MomentumMethod` if it has a momentum encoder. It takes an
  `Encoder` and returns `Encoded`. Parts: `mlp`, `MomentumEncoder` with `cosine_rate`, `MemoryBank`, `Prototypes`,
  `sinkhorn`; across workers `gather`, `average`, `part`, `rank`, `world_size`; `init_weights` to build one alone.
- An add-on: `rewrite(plan, config) -> Plan`, and `Loss(config, num_features, plan)` if it has one (`AddOn`,
  `AddOnLoss`), which returns `Losses`. Its plans hold `Step`, `Pair`, `ViewSpec`, `Weight`, `Measure` and `KeySource`;
  a loss reads `View` and `Encoded`.
- An op of a recipe: `SLOTS`, `sample`, `apply`, `describe`, `compare` and the traits that `augment.ops` lists, with
  `Batch`, `Params`, `Target`, `Geometry`, and `constant` for numbers that a GPU reads.
- An encoder: `build(config) -> Encoder`, and `reference_code(config)` if a public library has the same network.
- A data set: `card(config) -> DatasetCard` and `load(config, split) -> ImageSet`, with `fingerprint`, `require_split`
  and `held_out_rows`; `stream(config) -> Stream` if its images do not fit in memory.
- A metric during training: `Config` extends `Timing`; `METRICS`, `evaluate(encode, splits, config)`, and `SPLITS` and
  `NEEDS_LABELS` if they differ. `Encode` maps images to features; `labels_of`, `standard_error`, `unit`.
- A protocol of `evaluate`: `PROTOCOL` and `measure(encoder, data, config) -> list[Score]`, with `FrozenEncoder`,
  `EvaluationData` and its `Features`; `over_variants` for the accuracy on every variant of the test split.
- An optimizer: `Config` has the fields of `OptimizerSettings`; `build(config, groups, lr)`, with `without_compiler`.
- A sampler of a search: `sampler(config, seeds)`, with `Seeds`.
- An executor or a tracker of a sweep: the functions that `orchestrator.executors.contract` and
  `orchestrator.tracking.contract` list, which build an `Executor` (it runs `Work`) or a `Tracker`.
- A scheduler of a search: `rungs(config, epochs)` and `should_stop(config, number, costs)`, with `Config` alone.

Fields of a `Config` may be a `Probability` or an `Interval`. Random numbers come from `draws`, addressed and never
advanced. `UserError` is a mistake that the user can correct, in one sentence.

Methods, add-ons, ops and encoders may as well import `augment` and `methods` themselves, which know nothing of this
package.
"""

from augment import draws
from augment.borrowing import Geometry
from augment.config import Config, Interval, Probability
from augment.constants import constant
from augment.views import Batch, Params, Step, Target, View, ViewSpec
from methods.contract import (
    AddOn,
    AddOnLoss,
    Encoded,
    Encoder,
    KeySource,
    Losses,
    Measure,
    Method,
    MomentumMethod,
    Pair,
    Plan,
    Weight,
)
from methods.parts.gather import average, gather, part, rank, world_size
from methods.parts.heads import mlp
from methods.parts.initial import init_weights
from methods.parts.memory_bank import MemoryBank
from methods.parts.momentum_encoder import MomentumEncoder, cosine_rate
from methods.parts.prototypes import Prototypes
from methods.parts.sinkhorn import sinkhorn
from orchestrator.config.run import OptimizerSettings
from orchestrator.core.errors import UserError
from orchestrator.core.torch_compat import without_compiler
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows, require_split
from orchestrator.data.streamed import Stream
from orchestrator.executors.contract import Executor, Work
from orchestrator.metrics import Timing
from orchestrator.probing.data import EvaluationData, Features
from orchestrator.probing.features import Encode, labels_of, standard_error, unit
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import over_variants
from orchestrator.search.samplers import Seeds
from orchestrator.tracking.contract import Tracker

__all__ = [
    "AddOn",
    "AddOnLoss",
    "Batch",
    "Config",
    "DatasetCard",
    "Encode",
    "Encoded",
    "Encoder",
    "EvaluationData",
    "Executor",
    "Features",
    "FrozenEncoder",
    "Geometry",
    "ImageSet",
    "Interval",
    "KeySource",
    "Losses",
    "Measure",
    "MemoryBank",
    "Method",
    "MomentumEncoder",
    "MomentumMethod",
    "OptimizerSettings",
    "Pair",
    "Params",
    "Plan",
    "Probability",
    "Prototypes",
    "Score",
    "Seeds",
    "Step",
    "Stream",
    "Target",
    "Timing",
    "Tracker",
    "UserError",
    "View",
    "ViewSpec",
    "Weight",
    "Work",
    "average",
    "constant",
    "cosine_rate",
    "draws",
    "fingerprint",
    "gather",
    "held_out_rows",
    "init_weights",
    "labels_of",
    "mlp",
    "over_variants",
    "part",
    "rank",
    "require_split",
    "sinkhorn",
    "standard_error",
    "unit",
    "without_compiler",
    "world_size",
]
