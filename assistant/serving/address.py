"""Where a server listens."""

from __future__ import annotations

import ipaddress
import socket

from assistant.errors import ResourceError


def check_port(host: str, port: int) -> None:
    """ResourceError when the port cannot be listened on."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except (OSError, OverflowError) as error:
        raise ResourceError(f"cannot listen on {host}, port {port} ({error}); give another --port or --host") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address (a name other than "localhost" may lead anywhere)."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_of(header: str) -> str:
    """The host in a Host header: "[::1]:8000" -> "::1", "localhost:8000" -> "localhost"."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_binding(host: str, port: int, api_key: str | None) -> None:
    """ResourceError where the server must not or cannot listen."""
    if api_key is not None and not api_key.strip():
        raise ResourceError("the API key is empty: give --api-key or DEIXIS_API_KEY a value, or neither")
    if api_key is None and not is_loopback(host):
        raise ResourceError(
            f"without a key everybody who reaches {host} could read the scans: set DEIXIS_API_KEY or --api-key, "
            "or leave --host out"
        )
    check_port(host, port)
