"""How many descriptors a process may open."""

import resource

_DESCRIPTORS = 65_536
_INT32_MAX = 2**31 - 1


def allow_descriptors() -> None:
    """Allow this process as many descriptors as the system lets it have, since every connection needs one.

    Shells and service managers often start programs with 1,024 of many more that they may ask for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def half_of_descriptors() -> int:
    """Return half of the descriptors that this process may open, 32,768 if they are unlimited.

    At least 1, and at most 2^31 - 1: gRPC's option for the number of connections is an int32.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    return min(max(1, most // 2), _INT32_MAX)
