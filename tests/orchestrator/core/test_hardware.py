import pytest
import torch

from orchestrator.core.hardware import arithmetic, computes_bf16, memory_share, uses_bf16

CPU = torch.device("cpu")


def test_arithmetic_is_repeatable_inside_and_as_before_outside():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with arithmetic(before[0] + 1, CPU):
        assert torch.get_num_threads() == before[0] + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_auto_precision_follows_the_hardware(monkeypatch, capability):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: False})
    assert not computes_bf16(CPU)
    assert not uses_bf16("auto", CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: True})
    assert uses_bf16("auto", CPU)


def test_stated_precision_is_obeyed_on_any_hardware(monkeypatch):
    for capable in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capable=capable: {"amx_bf16": capable})
        assert uses_bf16("bf16", CPU)
        assert not uses_bf16("fp32", CPU)


def test_trial_ends_well_though_a_failed_capture_keeps_its_memory(monkeypatch):
    def empty_cache() -> None:
        given.append("cache")
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    given: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: given.append("cublas"), raising=False)
    with memory_share(1.0):
        assert not given
    assert given == ["cublas", "cache"]
