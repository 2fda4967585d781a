"""One file per protocol of `orchestrator.evaluate`.

It defines `Config`, `PROTOCOL` and `measure(encoder, data, config) -> list[Score]`. `PROTOCOL` ends in its version.
Whatever could move its numbers is a constant beside it, or a field of `Config` that the `note` of its scores tells. A
protocol draws its random numbers by `augment.draws`, fits on `bank` or `train` (and chooses on `validation`), and looks
at nothing but `test/...` for what it reports. What it cannot score, for want of labels, say, is a ValueError.
"""
