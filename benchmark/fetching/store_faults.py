"""What to do about an address that cannot be used."""

from __future__ import annotations

import re

from benchmark.core.errors import near_matches, reason
from benchmark.fetching.file_systems import AZ, GS, S3, protocol_of

USUAL = ("s3", "gs", "az", "abfs", "hdfs", "sftp", "smb", "file", "memory")
LOGIN = {
    **dict.fromkeys(S3, "set AWS_PROFILE, or log in as AWS's own tools do"),
    **dict.fromkeys(GS, "log in by `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"),
    **dict.fromkeys(
        AZ, "set AZURE_STORAGE_ACCOUNT_NAME and log in by `az login`, or set a whole AZURE_STORAGE_CONNECTION_STRING"
    ),
}
HOST = {
    **dict.fromkeys(S3, "AWS_ENDPOINT_URL"),
    **dict.fromkeys(GS, "STORAGE_EMULATOR_HOST"),
    **dict.fromkeys(AZ, "the endpoint in AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME"),
}
MOST_LETTERS = 300


def reason_of(error: Exception) -> str:
    """Return in one line why a file system failed, without the list of all files that it was asked for."""
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return reason_of(error.__cause__) if isinstance(error.__cause__, Exception) else reason(error.__cause__)
    said = reason(error)
    return said if len(said) <= MOST_LETTERS else f"{said[:MOST_LETTERS]}…"


def fix_of(error: Exception, address: str) -> str:
    """Say what to do about what a file system raised at an address (or folder)."""
    protocol = protocol_of(address)
    if protocol == "file":
        return "make the folder writable, or name another one"
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status == 404:
        return "there is no such bucket, container or host: make it, or name another one"
    if "arameter validation" in str(error) or (status == 400 and " name" in reason(error)):
        return "a bucket cannot have that name: see how it is spelled"
    if isinstance(error, ImportError):
        return _missing_package(protocol)
    if "libjvm" in str(error) or "libhdfs" in str(error):
        return f"{protocol}:// needs Hadoop's client: set JAVA_HOME, HADOOP_HOME and CLASSPATH"
    if isinstance(error, ValueError) and not _known(protocol):
        return f"fsspec knows no {protocol}://; {near_matches(protocol, USUAL)}"
    if isinstance(error, NotImplementedError):
        return f"{protocol}:// can only be read; name an object store or a shared file system"
    if _is_refused(error, protocol, status):
        login = LOGIN.get(protocol, "log in as the provider's own tools do")
        return f"{login}, and see that you may list, read and write there"
    host = f" (a proxy, {HOST[protocol]})" if protocol in HOST else ""
    return f"see that the host answers from here{host}, then run again"


def _is_refused(error: Exception, protocol: str, status: int | None) -> bool:
    if isinstance(error, PermissionError) or status in (401, 403) or str(error).startswith("Forbidden"):
        return True
    if protocol in AZ and str(error).startswith("unable to connect to account"):  # adlfs, of what the variables say
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    return "ClientAuthenticationError" in names or "redential" in type(error).__name__ + str(error)


def _status(error: Exception) -> int | None:
    """Return the HTTP status that gcsfs (``code``) or Azure (``status_code``) put into an exception."""
    for name in ("status_code", "code"):
        if re.fullmatch(r"[1-5]\d\d", found := str(getattr(error, name, ""))):
            return int(found)
    return None


def _known(protocol: str) -> bool:
    from fsspec import available_protocols

    return bool(_class_of(protocol)) or protocol in available_protocols()


def _class_of(protocol: str) -> str:
    from fsspec.registry import known_implementations

    return str(known_implementations.get(protocol, {}).get("class", ""))


def _missing_package(protocol: str) -> str:
    package = _class_of(protocol).partition(".")[0]
    named = f"the package {package}" if package not in ("", "fsspec") else "a package that is not here"
    return f"{protocol}:// needs {named}; install it into this environment"
