"""Schedulers: what stops trials early, one module each.

A scheduler's module defines `Config`, with its `name`, and two pure functions:

- `rungs(config, epochs)`: the epochs, in increasing order, after which a trial of so many may be stopped.
- `should_stop(config, number, costs)`: whether trial `number` stops at the rung that it has just reached; `costs` has
  the metric of every trial that has reached this rung so far, by trial number, turned so that less is better.

The study stores the reports and each decision to continue: nothing else needs to survive a crash.
"""
