"""AugSelf's linear transfer: logistic regression on raw features, its penalty chosen on validation data.

Features are not standardised, so their scale matters: the penalty is chosen from 45 values over eleven powers of ten.
"""

import torch

from augment import config
from orchestrator.probing.data import EvaluationData, Features
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.logistic import Classifier, LogisticRegression, endings
from orchestrator.probing.score import Score
from orchestrator.probing.variants import Metric, over_variants, percent_right

PROTOCOL = "lbfgs_transfer/1"

# Constants of the protocol: changing one requires a new version.
PENALTIES = torch.logspace(-6, 5, 45, dtype=torch.float64).tolist()


class Config(config.Config):
    """The protocol has no settings."""


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """The data set's usual accuracy on each test variant, in percent.

    The labels are those of `bank`, where backgrounds are independent of the class; `validation` chooses the penalty
    and is added for the final fit.

    Raises:
        ValueError: if a split has no labels.

    Source: Lee et al., "Improving transferability of representations via augmentation-aware self-supervision" (NeurIPS
        2021), appendix, and its code: the sum of the cross-entropies plus w times the sum of all squared parameters,
        the bias's too; L-BFGS with strong Wolfe line search, at most 5000 iterations and a gradient of 1e-10, each w
        starting from the one before. There, it runs in float32 and in the features' own coordinates, so that fits with
        small penalties stop before their minimum; here they come within a millionth of the loss, see
        `LogisticRegression`. Images are the data set's squares, resized to the encoder's size.
    """
    bank, validation = (_on_device(data.features(split), encoder) for split in ("bank", "validation"))
    num_classes = int(torch.cat((bank.labels, validation.labels)).max()) + 1
    fitted = sweep(LogisticRegression(bank.values, bank.labels, num_classes))
    best = chosen(fitted, validation, data.card.metric)
    everything = LogisticRegression(
        torch.cat((bank.values, validation.values)), torch.cat((bank.labels, validation.labels)), num_classes
    )
    final = everything.fit(PENALTIES[best], fitted[best].weight)
    note = f"w={PENALTIES[best]:.2g}, {best + 1} of {len(PENALTIES)}; fits ended {endings([*fitted, final])}"
    return over_variants(data, final.predict, note, metric=data.card.metric)


def sweep(problem: LogisticRegression) -> list[Classifier]:
    """The classifier of every penalty, the smallest first, each fit starting from the previous one."""
    fitted: list[Classifier] = []
    for penalty in PENALTIES:
        fitted.append(problem.fit(penalty, fitted[-1].weight if fitted else problem.start()))
    return fitted


def chosen(fitted: list[Classifier], validation: Features, metric: Metric) -> int:
    """The index of the classifier that is best on validation data; the smallest penalty wins ties."""
    labels = validation.labels.cpu()
    values = [percent_right(classifier.predict(validation.values), labels, metric)[0] for classifier in fitted]
    return values.index(max(values))


def _on_device(features: Features, encoder: FrozenEncoder) -> Features:
    return Features(features.values.to(encoder.device), features.labels.to(encoder.device))
