"""The file system of an address, opened once it is known that its bucket is there and that a store answers."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from benchmark.core.settings import is_address

S3 = ("s3", "s3a")
GS = ("gs", "gcs")
AZ = ("az", "abfs", "abfss")
ONE_PUT = frozenset({*S3, *GS, *AZ, "oss", "oci", "memory"})
"""Where an object appears whole or not at all. Elsewhere it is written under a temporary name and renamed."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    protocol: {"config_kwargs": {"retries": {"max_attempts": 1}}} for protocol in S3
}
"""botocore's own retries stay out: s3fs makes five tries of each request by itself."""
LOGGERS = ("gcsfs", "azure.identity")
"""They log each failed try with its traceback; what fails in the end is told in one line."""


def protocol_of(address: str) -> str:
    """Return the protocol of an address in small letters; of a folder, ``file``."""
    return address.partition("://")[0].lower() if is_address(address) else "file"


def opened(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and what that calls the address.

    Three requests at most: a file that nobody wrote must not be there, and a listing must be answered.

    Raises:
        FileNotFoundError: there is no such bucket or container.
        OSError: what answers has content under any name, as a login page has.
        Exception: whatever the file system raises where it cannot be reached or refuses.
    """
    files, root = _file_system(address)
    nobodys = f"{root}/{secrets.token_hex(8)}"
    if protocol_of(address) in ONE_PUT:
        with suppress(FileNotFoundError):  # who may not read is told so
            files.cat_file(nobodys)
            raise OSError("it has content under a name that nobody gave, so it is no object store")
    elif files.exists(nobodys):  # Hadoop's client prints pages where a file that is not there is opened
        raise OSError("it has files of any name, so it is no file system")
    _list_one(files, root, protocol_of(address))
    return files, root


def _file_system(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    protocol = protocol_of(address)
    for name in LOGGERS:
        if not (logger := logging.getLogger(name)).isEnabledFor(logging.DEBUG):
            logger.setLevel(logging.CRITICAL)
    if protocol not in GS:
        files, root = url_to_fs(address, use_listings_cache=False, **OPTIONS.get(protocol, {}))
        return files, str(root)
    # gcsfs asks before each request, over gRPC and with rights of its own, whether the bucket is a zonal one
    from gcsfs.core import GCSFileSystem

    files = GCSFileSystem(use_listings_cache=False)
    return files, str(files._strip_protocol(address))


def _list_one(files: Any, root: str, protocol: str) -> None:
    """Ask for one name below ``root``: a bucket that is not there looks like an empty one to who reads a file."""
    if protocol in S3:
        bucket, prefix, _ = files.split_path(root)
        files.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1)
    elif protocol in GS:
        bucket, prefix, _ = files.split_path(root)
        try:
            files.call("GET", "b/{}/o", bucket, prefix=f"{prefix}/", maxResults=1, json_out=True)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"bucket {bucket}") from error
    elif protocol in AZ:
        from fsspec.asyn import sync

        sync(files.loop, _list_blob, files, root)


async def _list_blob(files: Any, root: str) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    container, prefix, _ = files.split_path(root)
    try:
        async with files.service_client.get_container_client(container) as client:
            async for _ in client.list_blobs(name_starts_with=f"{prefix}/", results_per_page=1):
                return
    except ResourceNotFoundError as error:
        raise FileNotFoundError(f"container {container}") from error
