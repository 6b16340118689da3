"""How many descriptors a server may open."""

import resource

_DESCRIPTORS = 65_536


def allow_descriptors() -> None:
    """Allow this process as many descriptors as the system lets it have, since every connection needs one.

    Shells and service managers often start programs with 1,024 of many more that they may ask for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
