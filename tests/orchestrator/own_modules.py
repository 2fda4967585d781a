"""A user's own module of every kind, each importing `orchestrator.extend` and public libraries alone."""

METHOD = '''
import torch
from torch import nn
from orchestrator.extend import Config as Base, Encoded, Pair, Plan, ViewSpec, gather, mlp

class Config(Base):
    name: str = "mylab.vicreg"
    outputs: int = 16

def plan(config):
    view = ViewSpec(recipe=("weak", "aggressive"))
    return Plan(views={"first": view, "second": view}, pairs=(Pair("first", "second"),))

class Method(nn.Module):
    """VICReg. Source: arXiv 2105.04906, section 4."""
    def __init__(self, config, encoder):
        super().__init__()
        self.encoder = encoder
        self.projector = mlp([encoder.num_features, config.outputs, config.outputs])
    def encode(self, images):
        features = self.encoder(images)
        projection = self.projector(features)
        return Encoded(features, projection, projection)
    def key(self, encoded, view):
        return encoded.projection
    def pair_loss(self, query, key, negatives):
        views = [gather(query.projection), gather(key)]
        variance = sum(torch.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() for z in views) / 2
        covariance = sum((z.T.cov() - z.T.cov().diag().diag()).square().sum() / z.shape[1] for z in views)
        return 25 * (views[0] - views[1]).square().mean() + 25 * variance + covariance
    def after_step(self, progress, keys):
        pass
    def parameter_groups(self):
        return [{"params": list(self.parameters())}]
'''

ADDON = """
from dataclasses import replace
from torch import nn
from orchestrator.extend import Config as Base, Losses

class Config(Base):
    weight: float = 0.1

def rewrite(plan, config):
    return replace(plan, schedules={**plan.schedules, "mylab/weight": lambda progress: progress * config.weight})

class Loss(nn.Module):
    views = ("first",)
    def __init__(self, config, num_features, plan):
        super().__init__()
        self.head, self.weight = nn.Linear(num_features, 1), config.weight
    def forward(self, views, online, target):
        return Losses(self.weight * self.head(online["first"].features).square().mean())
"""

OP = """
from dataclasses import replace
from orchestrator.extend import Config as Base, Probability, Target

SLOTS, TARGET_WIDTH, PHOTOMETRIC = 1, 1, True

class Config(Base):
    p: Probability = 0.5

def sample(config, shape, uniforms):
    return {"inverted": uniforms[:, 0] < config.p}

def apply(batch, params, size=None):
    inverted = params["inverted"][:, None, None, None].to(batch.images.dtype)
    return replace(batch, images=inverted + (1 - 2 * inverted) * batch.images)

def describe(params):
    return params["inverted"].float()[:, None]

def compare(first, second):
    return Target((first["mylab.invert"]["inverted"] == second["mylab.invert"]["inverted"]).float()[:, None], "binary")
"""

ENCODER = """
from torch import nn
from orchestrator.extend import Config as Base, Encoder

class Config(Base):
    name: str = "mylab.tiny"

class Tiny(Encoder):
    num_features, any_size = 8, True
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    def forward(self, images):
        return self.layers(images).mean((2, 3))

def build(config):
    return Tiny()
"""

DATASET = """
import numpy as np
from orchestrator.extend import Config as Base, DatasetCard, ImageSet, draws, fingerprint, require_split

class Config(Base):
    name: str = "mylab.noise"

def card(config):
    return DatasetCard(num_classes=2, mean=(0.5,) * 3, std=(0.3,) * 3, size=16, train_size=32, licence="CC0",
                       fingerprint=fingerprint("mylab.noise/1"), variants=("original",), bank_is_train=True)

def load(config, split):
    require_split(split, ("original",))
    images = (255 * draws.uniform(0, split, (32, 16, 16, 3))).byte().numpy()
    return ImageSet(images, np.arange(32, dtype=np.int64) % 2)
"""

METRIC = """
from orchestrator.extend import Timing

METRICS = ("spread",)

class Config(Timing):
    every: int | None = 1

def evaluate(encode, splits, config):
    return {"spread": float(encode(splits["validation"].images).std(0).mean())}
"""

PROTOCOL = """
from orchestrator.extend import Config as Base, Score, labels_of, standard_error, unit

PROTOCOL = "mylab_norm/1"

class Config(Base):
    pass

def measure(encoder, data, config):
    features = data.features("bank")
    return [Score("bank", "norm", float(features.values.norm(dim=1).mean()), None, len(features.values), "")]
"""

OPTIMIZER = """
from torch.optim import RMSprop
from orchestrator.extend import Config as Base, without_compiler

class Config(Base):
    name: str = "mylab.rmsprop"
    lr: float = 0.01
    warmup_epochs: float = 0.0

def build(config, groups, lr):
    return without_compiler(RMSprop)(groups, lr=lr)
"""

SAMPLER = """
from orchestrator.extend import Config as Base, Seeds

class Config(Base):
    name: str = "mylab.quasi"

def sampler(config, seeds: Seeds):
    from optuna.samplers import RandomSampler
    return RandomSampler(seed=seeds.draw)
"""

SCHEDULER = """
from orchestrator.extend import Config as Base

class Config(Base):
    name: str = "mylab.median"

def rungs(config, epochs):
    return [epochs // 2]

def should_stop(config, number, costs):
    return costs[number] > sorted(costs.values())[len(costs) // 2]
"""

MODULES = {
    "vicreg": METHOD,
    "layer": ADDON,
    "invert": OP,
    "tiny": ENCODER,
    "noise": DATASET,
    "spread": METRIC,
    "norm": PROTOCOL,
    "rmsprop": OPTIMIZER,
    "quasi": SAMPLER,
    "median": SCHEDULER,
}
