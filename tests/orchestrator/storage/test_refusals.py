"""Mistakes in an object store's address or permissions are reported in one line before anything starts."""

import json
import os
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from orchestrator.config.search_space import Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import none
from orchestrator.search.study import StoredStudy
from orchestrator.storage import s3
from orchestrator.storage.path import on_disk, parse
from orchestrator.study.checks import check_storage
from tests.orchestrator.storage.s3_server import Server, s3_server


def refusal(address: str) -> str:
    """What the command would say of an address."""
    with pytest.raises(UserError) as caught:
        check_storage(parse(address), "study")
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("gs://bucket/prefix", "it must be a folder, or an object store's s3://BUCKET/PREFIX"),
        ("s3://", "s3://BUCKET/PREFIX must be given, got the bucket of no name"),
        ("s3://My_Bucket/x", "got the bucket My_Bucket"),
        ("s3://key:secret@bucket/x", "put it into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/x?endpoint=here", "unknown setting endpoint; did you mean endpoint_override?"),
        ("s3://bucket/x?scheme=http&endpoint_override=absent.invalid", "the store cannot be reached"),
    ],
)
def test_address_that_cannot_be_is_refused(address: str, expected: str) -> None:
    text = refusal(address)
    assert expected in text
    assert "secret@" not in text


def test_store_that_does_not_listen_or_answer_is_given_up_in_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert "the store cannot be reached" in refusal(_at(silent))  # bound, but not listening
        silent.listen()
        assert "Timeout was reached" in refusal(_at(silent))


def _at(server: socket.socket) -> str:
    return f"s3://bucket/x?scheme=http&endpoint_override=127.0.0.1:{server.getsockname()[1]}"


def test_endpoint_may_come_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.address}")
    check_storage(parse("s3://sweeps/by-environment"), "study")
    assert "there is no bucket nowhere; make it" in refusal("s3://nowhere/x")
    with pytest.raises(UserError, match=r"s3://sweeps/none\.yaml does not exist"), on_disk("s3://sweeps/none.yaml"):
        pass


def test_outage_closes_the_sweep_and_fails_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PATIENT", (1.0, 1))
    space = Space((Dimension("x", Range("uniform", 0, 1)),))
    sweep = SweepConfig(name="s", trials=2, metric="knn", scheduler=none.Config())
    with s3_server() as server:
        folder = SweepFolder(parse(server.uri("sweeps/s")))
        store = StoredStudy(folder.journal, sweep, space=space, epochs=1)
        run = {"run": {"training": {"epochs": 1}}}
        ledger = Ledger(folder, store, sweep=sweep, resolved=lambda number, values: run)
        assert ledger.next() == 0
    ledger.report(0, {"epoch": 1, "finished": 1, "knn": 1.0})
    ledger.failed(0, "its worker died of the same")
    assert not ledger.trials[0].is_over
    assert "the store cannot be reached" in str(ledger.closing)
    assert "the same command goes on" in str(ledger.closing)


@pytest.fixture
def strict(server: Server) -> Iterator[Server]:
    """The server, holding everybody to their permissions."""
    _hold_to_permissions(server, after="0")
    yield server
    _hold_to_permissions(server, after="inf")


def _hold_to_permissions(server: Server, *, after: str) -> None:
    url = f"http://{server.address}/moto-api/reset-auth"
    header = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, after.encode(), header, method="POST")).close()


@pytest.fixture
def keys(server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of somebody who may do only what the parameter says."""
    iam, name = server.client("iam"), request.node.callspec.id
    iam.create_user(UserName=name)
    allowed = [{"Effect": "Allow", "Action": request.param, "Resource": "*"}]
    policy = {"Version": "2012-10-17", "Statement": allowed}
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    s3.store.cache_clear()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["s3:GetObject", "s3:ListBucket"], "writing is not permitted (ACCESS_DENIED)"),
        (["s3:PutObject"], "reading is not permitted (ACCESS_DENIED)"),
    ],
    indirect=["keys"],
    ids=["reader", "writer"],
)
@pytest.mark.usefixtures("keys")
def test_bucket_without_permission_is_refused(strict: Server, expected: str) -> None:
    text = refusal(strict.uri("sweeps/team"))
    assert expected in text
    assert "look at AWS_ACCESS_KEY_ID" in text
