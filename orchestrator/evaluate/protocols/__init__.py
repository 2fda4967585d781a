"""One file per protocol of `orchestrator.evaluate`.

It defines `Config`, `PROTOCOL` and `measure(encoder, data, config) -> list[Score]`. `PROTOCOL` ends in its version.
Whatever could change its numbers is a constant next to it, or a field of `Config` that its scores note. It draws its
random numbers by `augment.draws`, fits on `bank` or `train` (and chooses on `validation`), and reports numbers of
`test/...` only. It raises ValueError for what it cannot score, such as data without labels.
"""
