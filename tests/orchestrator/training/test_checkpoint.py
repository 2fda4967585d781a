import logging
import os
import subprocess

import pytest
import torch

from orchestrator.training import checkpoint


def state(step: int) -> dict:
    return {"step": step, "weights": torch.arange(500.0) + step, "nested": {"names": ["a", "b"], "rate": 0.5}}


def same(a: dict, b: dict) -> bool:
    return a["step"] == b["step"] and torch.equal(a["weights"], b["weights"]) and a["nested"] == b["nested"]


def test_newest_checkpoint_is_read_and_two_are_kept(tmp_path):
    assert checkpoint.read_latest(tmp_path / "none") is None
    (tmp_path / "new").mkdir()
    for step in (2, 9, 10, 100):
        checkpoint.write(tmp_path / "new", state(step))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "checkpoint-00000010.pt",
        "checkpoint-00000100.pt",
    ]
    assert same(checkpoint.read_latest(tmp_path / "new"), state(100))


def test_torn_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    checkpoint.write(tmp_path, state(1))
    newest = checkpoint.write(tmp_path, state(2))
    whole = newest.read_bytes()
    for length in range(0, len(whole), 41):
        newest.write_bytes(whole[:length])
        with caplog.at_level(logging.WARNING):
            assert same(checkpoint.read_latest(tmp_path), state(1))
    assert "checkpoint-00000002.pt cannot be read" in caplog.text


def test_flipped_bits_are_never_loaded_as_weights(tmp_path):
    checkpoint.write(tmp_path, state(1))
    newest = checkpoint.write(tmp_path, state(2))
    whole = newest.read_bytes()
    fell_back = 0
    for place in range(0, len(whole), 17):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        newest.write_bytes(damaged)
        found = checkpoint.read_latest(tmp_path)
        assert same(found, state(1)) or same(found, state(2))  # the second where the bit meant nothing
        fell_back += found["step"] == 1
    assert fell_back > len(whole) / 17 / 2


def test_two_damaged_checkpoints_are_none(tmp_path):
    for step in (1, 2):
        checkpoint.write(tmp_path, state(step)).write_bytes(b"")
    assert checkpoint.read_latest(tmp_path) is None


def test_failed_write_leaves_the_older_ones_and_no_litter(tmp_path):
    checkpoint.write(tmp_path, state(1))
    with pytest.raises((AttributeError, TypeError)):  # fails half-way, as a full disk would
        checkpoint.write(tmp_path, {**state(2), "broken": lambda: None})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000001.pt"]


def test_leftovers_of_a_killed_writer_are_swept_away_and_a_living_ones_are_not(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f"checkpoint-00000007.tmp-{dead.pid}").write_bytes(b"half")
    (tmp_path / f"checkpoint-00000008.tmp-{os.getppid()}").write_bytes(b"half")
    checkpoint.write(tmp_path, state(1))
    assert same(checkpoint.read_latest(tmp_path), state(1))
    names = {"checkpoint-00000001.pt", f"checkpoint-00000008.tmp-{os.getppid()}"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_folder_that_is_gone_is_not_brought_back(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.write(tmp_path / "gone", state(1))
    assert not (tmp_path / "gone").exists()


def test_rewriting_a_step_replaces_it(tmp_path):
    checkpoint.write(tmp_path, state(3))
    checkpoint.write(tmp_path, {**state(3), "weights": torch.zeros(2)})
    assert checkpoint.read_latest(tmp_path)["weights"].tolist() == [0, 0]
