"""Certificates for tests."""

from pathlib import Path

import trustme


class Authority:
    """A certificate authority and the files of what it issued."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._ca, self._folder = trustme.CA(), folder
        self.root = folder / "root.pem"
        self._ca.cert_pem.write_to_path(str(self.root))

    def issue(self, name: str, identity: str, *, common_name: str | None = None) -> tuple[Path, Path]:
        """Write certificate and key, over those of the same name."""
        issued = self._ca.issue_cert(identity, common_name=common_name)
        paths = (self._folder / f"{name}.pem", self._folder / f"{name}.key")
        paths[0].write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        paths[1].write_bytes(issued.private_key_pem.bytes())
        return paths
