"""Network addresses as text: where to listen, and what to connect to.

gRPC is lenient here: it takes ``0.0.0.0:99999`` for another port and ``host:http`` for a service's name. A server must
listen exactly where it is configured to or not at all, so everything but a host and a port number is refused.
"""

import ipaddress
import re
from urllib.parse import urlsplit

MAX_PORT = 65535
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAX_NAME = 253
_PORT = re.compile(r"[0-9]{1,5}")
_DNS = "dns:///"


def split_address(text: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[IPv6]:port`` into the host, without brackets, and the port in ``[0, 65535]``.

    Raises:
        ValueError: Anything else.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and _PORT.fullmatch(port) and int(port) <= MAX_PORT):
        raise ValueError(f"is {text}, not HOST:PORT with a port from 0 to {MAX_PORT}")
    if not _is_host(host):
        raise ValueError(f"is {text}, not HOST:PORT: {host!r} is not an address or a name; IPv6 needs brackets")
    return host.strip("[]"), int(port)


def address_of(text: str) -> str:
    """Return ``text`` if one can listen on it; port 0 takes a free one.

    Raises:
        ValueError: See `split_address`.
    """
    split_address(text)
    return text


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach ``address``, ``host:port``.

    Raises:
        ValueError: See `split_address`.
    """
    host = split_address(address)[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def target_of(text: str) -> str:
    """Return ``text`` if one can connect to it: ``host:port`` or ``dns:///host:port``.

    Raises:
        ValueError: It is anything else, or its port is 0.
    """
    if split_address(text.removeprefix(_DNS))[1] == 0:
        raise ValueError(f"is {text}: nothing listens on port 0")
    return text


def targets_of(text: str) -> str:
    """Return ``text`` if it is a target, or several IP addresses and ports separated by commas.

    Raises:
        ValueError: See `target_of`; or one of several is not an IP address.
    """
    targets = text.split(",")
    for target in targets:
        target_of(target)
        if len(targets) > 1 and not _is_ip(split_address(target.removeprefix(_DNS))[0]):
            raise ValueError(f"is {text}: of several, each is an IP address with a port")
    return text


def url_of(text: str) -> str:
    """Return ``text`` if it is ``http://host:port`` or ``https://host:port``.

    Raises:
        ValueError: It is anything else.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"is {text}, not http://HOST:PORT")
    target_of(parts.netloc)
    return text


def endpoint_of(text: str) -> str:
    """Return ``text`` if it is the ``http://`` or ``https://`` address of an interface; it may have a path.

    Raises:
        ValueError: It is anything else. The text is not quoted: it may carry a password.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    bracketed = f"[{host}]" if ":" in host else host
    if parts.scheme not in ("http", "https") or port == 0 or not host or not _is_host(bracketed):
        raise ValueError("is no http:// or https:// address")
    return text


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return ":" in host and _is_ip(host[1:-1])
    if host.replace(".", "").isdigit():  # four numbers, not the short forms that some resolvers accept
        return _is_ip(host)
    name = host.removesuffix(".")
    return len(name) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
