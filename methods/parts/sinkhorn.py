"""Balanced assignments of samples to clusters, from their scores."""

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def sinkhorn(
    scores: Float[Tensor, "N C"], *, epsilon: float, iterations: int, mass: Float[Tensor, "N"] | None = None
) -> Float[Tensor, "N C"]:
    """How each sample is shared out among the clusters, so that clusters get about equal amounts.

    Args:
        scores: of every sample for every cluster.
        epsilon: > 0; the smaller, the closer each sample is to a single cluster.
        iterations: each evens out the clusters, then the samples; >= 1.
        mass: of the samples, >= 0 and not all 0; None counts them alike. What a sample of no mass gets does not move
            the others, as if it were not there, which keeps shapes static.

    Returns:
        Shares in [0, 1]; rows sum to 1 for every mass.

    Source: arXiv 2006.09882, section 3.1 and algorithm 1, in logarithms, so that no exponential overflows in float32:
        the official code exponentiates scores / epsilon, up to e^20. Its divisions by the total, the number of clusters
        and that of samples cancel, since each iteration ends with rows that sum to 1.
    """
    log_mass = scores.new_zeros(len(scores), 1) if mass is None else mass.log()[:, None]
    log_shares = scores / epsilon
    for _ in range(iterations):
        log_shares = log_shares - (log_shares + log_mass).logsumexp(dim=0, keepdim=True)
        log_shares = log_shares - log_shares.logsumexp(dim=1, keepdim=True)
    return log_shares.exp()
