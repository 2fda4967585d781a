"""The sweep, evaluate and profile commands, and what they are made of."""

from orchestrator.core.shadowing import refuse_shadowing

refuse_shadowing()
