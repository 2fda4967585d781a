import os
import re

import torch

from orchestrator.core import hardware
from orchestrator.study.study_file import load_study
from orchestrator.sweep.dry_run import Cost, dry_run, measured
from orchestrator.training import assembly, checkpoint
from tests.orchestrator.studies import with_changes, write_study

SEARCH = {
    "addons.msr.schedule": {"choice": ["cosine", "step"]},
    "addons.msr.steps": {"int": [1, 4], "when": {"addons.msr.schedule": "step"}},
}


def test_dry_run_shows_the_resolved_plan_the_search_and_the_cost(tmp_path):
    changes = {"sweep.enqueue": [{"addons.msr.schedule": "cosine"}], "sweep.scheduler": {"name": "asha", "grace": 0.3}}
    text = dry_run(load_study(write_study(tmp_path, with_changes(changes, search=SEARCH))))
    assert "sweep study, 3 trials of 3 epochs, 1 at a time, for the maximum of val_knn/1" in text
    assert "objective: simclr + msr over resnet (depth 8, stem cifar, width 0.25), synthetic" in text
    assert "view first_aggressive: color_jitter, grayscale, from first" in text
    assert "pair first_aggressive -> second (online), weight 0.425 (halfway)" in text  # (1 - 0.3 / 2) / 2
    assert "addons.msr.steps: int [1, 4]  when addons.msr.schedule = step" in text
    assert "trial 0: addons.msr.schedule = cosine" in text
    assert "asha may stop a trial after epoch 1, 2" in text
    assert re.search(r"time    about \d+ s a trial, \d+ s in all with 1 at a time", text)
    assert re.search(r"memory  about [\d.e+]+ (MB|GB) and what Ray takes", text)
    assert re.search(r"disk    up to [\d.e+-]+ MB", text)


def test_dry_run_counts_repeats_and_names_every_metric(tmp_path):
    changes = {
        "sweep.metric": ["val_knn/1", "linear_val/2"],
        "sweep.mode": ["max", "min"],
        "sweep.scheduler": {"name": "none"},
        "sweep.enqueue": [{"addons.msr.base_weight": 0.1}],
        "sweep.confirm": {"top": 2, "seeds": 5},
    }
    text = dry_run(load_study(write_study(tmp_path, with_changes(changes))))
    assert "for the maximum of val_knn/1 and the minimum of linear_val/2\n" in text
    assert "confirm: up to 15 trials more, 5 new seeds for each of the best" in text
    assert "and 18 encoders" in text


def test_dry_run_measures_where_trials_run(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "device", lambda: torch.device("cuda"))  # of which trials get none by default
    assert "3 steps on this machine (cpu)" in dry_run(load_study(write_study(tmp_path, with_changes())))


def test_dry_run_counts_whole_rounds_of_the_search_and_of_its_repeats(tmp_path, monkeypatch):
    cost = Cost(60.0, work_bytes=0, process_bytes=0, data_bytes=0, checkpoint_bytes=0, encoder_bytes=0)
    monkeypatch.setattr("orchestrator.sweep.dry_run.measured", lambda *_, **__: cost)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    changes = {"sweep.trials": 5, "sweep.concurrency": 4, "sweep.confirm": {"top": 1, "seeds": 2}}
    text = dry_run(load_study(write_study(tmp_path, with_changes(changes))))
    assert "time    about 60 s a trial, 3 min in all with 4 at a time" in text


def test_dry_run_bytes_are_those_of_real_checkpoints_and_images(tmp_path):
    study = load_study(write_study(tmp_path, with_changes()))
    data, device = assembly.load_data(study.run), hardware.device()
    training = assembly.training(study.run, data, device)
    cost = measured(training, data, process_bytes=0)
    on_disk = checkpoint.write(tmp_path, training.state_dict()).size()
    # The file adds names and alignment to every tensor, which weighs much at this size.
    assert 0.3 * on_disk < cost.checkpoint_bytes <= on_disk
    assert cost.encoder_bytes < cost.checkpoint_bytes < cost.work_bytes
    splits = [data.splits["train"], data.splits["validation"]]  # `bank` is `train`
    assert cost.data_bytes == sum(part.nbytes for split in splits for part in (split.images, split.labels, split.masks))


def test_dry_run_times_a_training_of_a_single_step(tmp_path):
    changes = {"run.dataset.train_size": 30, "run.training.epochs": 1}  # one batch of 16
    assert "cost, estimated from 3 steps" in dry_run(load_study(write_study(tmp_path, with_changes(changes))))
