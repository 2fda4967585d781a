"""Optimizers: a file `<name>.py` here, or a user's own module, defines `Config` and `build`.

`Config` has at least the fields of `orchestrator.config.run.OptimizerSettings`. `build(config, groups, lr)` returns a
`torch.optim.Optimizer` over parameter groups that the loop has prepared (`orchestrator.training.groups`).
"""
