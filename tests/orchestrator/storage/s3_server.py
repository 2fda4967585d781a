"""A real server on loopback that speaks S3, with buckets in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import boto3
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@dataclass(frozen=True)
class Server:
    """The server.

    Args:
        address: host and port.
    """

    address: str

    def uri(self, path: str) -> str:
        """The address of a bucket and a prefix, which anybody can use who has keys."""
        return f"s3://{path}?endpoint_override={self.address}&scheme=http"

    def client(self, service: str = "s3"):
        """An independent client of it, for what only an administrator does."""
        return boto3.client(
            service,
            endpoint_url=f"http://{self.address}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


@contextmanager
def s3_server() -> Iterator[Server]:
    """A server with an empty bucket `sweeps`, and its keys in the environment, for this process and its children."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with patch.dict(os.environ, KEYS):
            there = Server(f"{host}:{port}")
            there.client().create_bucket(Bucket="sweeps")
            yield there
    finally:
        server.stop()
