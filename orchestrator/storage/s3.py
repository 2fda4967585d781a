"""Connections to S3-compatible stores, and explanations of their errors."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from pyarrow import fs

SETTINGS = ("endpoint_override", "scheme", "region")  # allowed in the query of an address
_CONNECT = 3.0  # seconds
# Request timeout in seconds and number of attempts, with exponential backoff: short outages are survived, and a
# mistyped address is still reported at once.
_PATIENT, _IMPATIENT = (20.0, 6), (3.0, 1)
_FORBIDDEN = ("ACCESS_DENIED", "ACCESS_KEY", "SIGNATURE", "TOKEN", "UNRECOGNIZED_CLIENT", "HTTP status 403")


class UnavailableError(OSError):
    """The store cannot be read or written; the message gives the reason and a remedy. Not a failure of a trial."""


@lru_cache(maxsize=16)
def store(bucket: str, query: str, *, patient: bool) -> "fs.FileSystem":
    """Connect to a store with the settings of an address and AWS's environment variables.

    Args:
        bucket: name of the bucket, whose region is looked up if none is configured.
        query: the settings, as in the address.
        patient: retry failed requests for some seconds.

    Raises:
        OSError: if the region cannot be looked up.
    """
    from pyarrow import fs

    silence, tries = _PATIENT if patient else _IMPATIENT
    settings = dict(parse_qsl(query))
    endpoint = settings.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL_S3")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or ""
    address = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    region = settings.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return fs.S3FileSystem(
        endpoint_override=address.netloc or None,
        scheme=settings.get("scheme") or address.scheme or "https",
        region=region or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket)),
        connect_timeout=_CONNECT,
        request_timeout=silence,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=tries),
        allow_delayed_open=True,  # a small object takes one request
        background_writes=False,
    )


@contextmanager
def explained(place: str, bucket: str) -> Iterator[None]:
    """Turn pyarrow's exceptions into one-line errors with a remedy.

    Args:
        place: address that the message begins with.
        bucket: bucket of the address.

    Raises:
        FileNotFoundError: if the object does not exist.
        UnavailableError: for any other error of the store.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{place} does not exist") from None
    except UnavailableError:  # explained already
        raise
    except OSError as error:
        raise UnavailableError(f"{place}: {_reason(str(error), bucket)}") from error


def _reason(error: str, bucket: str) -> str:
    if "NO_SUCH_BUCKET" in error:
        return f"there is no bucket {bucket}; make it, or name another one"
    text = error.rpartition("AWS Error ")[2].replace("\n", " ")[:200]
    if any(word in error for word in _FORBIDDEN):
        does = "writing" if re.search(r"during (Put|Create|Upload|Complete|Copy|Delete)", error) else "reading"
        return (
            f"{does} is not permitted ({text.partition(' ')[0]}); look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            "what the bucket allows them"
        )
    return f"the store cannot be reached or does not answer ({text}); look at its address, and whether it is up"
