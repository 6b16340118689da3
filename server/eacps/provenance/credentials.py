"""C2PA content credentials: what a delivered file says of how it was made, signed (C2PA 2.1, by c2pa-python)."""

import io
import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import c2pa
from PIL import Image

import eacps
from eacps.errors import FieldViolation, InvalidRequest
from eacps.provenance.certificates import CertificateExpired, Identity
from eacps.provenance.ingredients import INGREDIENT_ID, SETTINGS, UnusableScene, archive_of
from eacps.provenance.record import SOURCE_TYPE

_log = logging.getLogger(__name__)
_SOON = timedelta(days=30)
_FORMATS = {
    b"\x89PNG": "image/png",
    b"II": "image/tiff",
    b"MM": "image/tiff",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}


ReadScene = Callable[[bytes, str], bytes]
"""A scene's file and its media type to an ingredient's archive; raises `UnusableScene`."""


class Credentials:
    """Signs delivered files. May be used from any thread.

    Args:
        identity: Who signs.
        renewed: Returns who signs when the certificate has expired: read anew from its files, or made anew.
        read_scene: Reads scenes, `eacps.provenance.ingredients.archive_of` or the like in another process.
        now: The time.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        renewed: Callable[[], Identity] | None = None,
        read_scene: ReadScene = archive_of,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._identity, self._renewed = identity, renewed or (lambda: identity)
        self._read_scene, self._now, self._lock = read_scene, now, threading.Lock()

    def check(self) -> None:
        """Sign a small picture, so that a certificate that cannot sign is found before any work is done.

        Raises:
            InvalidRequest: It cannot: it has expired, the key is not that of the certificate, or the chain is not one
                for C2PA.
        """
        picture = io.BytesIO()
        Image.new("L", (8, 8)).save(picture, "PNG")
        try:
            self._signed(picture.getvalue(), "image/png", None, self._valid_identity())
        except (CertificateExpired, c2pa.C2paError) as exc:
            raise InvalidRequest([FieldViolation("credentials", f"cannot sign: {exc}")]) from exc
        if (left := self._identity.valid_until - self._now()) < _SOON:
            _log.warning("the certificate that signs delivered pictures expires in %d days", left.days)

    def sealed(self, data: bytes, scene: bytes) -> bytes:
        """Return a file with credentials; as it is where they cannot be had.

        That is so in a format that C2PA has none for, such as OpenEXR, and where the certificate has expired while the
        server ran and was not replaced in its files: the log says so at every delivery.

        Args:
            data: The file.
            scene: The file of the scene that it was made from: becomes an ingredient, with the credentials that it
                carries, valid or not.

        Raises:
            DecoderUnavailable: What reads the scene was killed, or cannot be started.
        """
        kind, scene_kind = format_of(data), format_of(scene)
        if kind is None:
            return data
        try:
            identity = self._valid_identity()
        except CertificateExpired as exc:
            _log.error("a picture is delivered without content credentials: %s", exc)
            return data
        archive = None if scene_kind is None else self._ingredient(scene, scene_kind)
        return self._signed(data, kind, archive, identity)

    def _ingredient(self, scene: bytes, kind: str) -> bytes | None:
        try:
            return self._read_scene(scene, kind)
        except UnusableScene as exc:  # damaged credentials may not even be readable
            _log.warning("a scene is left out of the credentials of its result: it %s", exc)
            return None

    def _valid_identity(self) -> Identity:
        """Return who signs now; whose certificate has expired is replaced by what is there instead.

        Raises:
            CertificateExpired: What is there instead has expired, too.
        """
        with self._lock:
            if self._now() >= self._identity.valid_until:
                try:
                    self._identity = self._renewed()
                except InvalidRequest as exc:
                    _log.warning("the certificate has expired, and its files cannot be read: %s", exc)
            if self._now() >= (until := self._identity.valid_until):
                raise CertificateExpired(f"the certificate expired on {until:%Y-%m-%d %H:%M} UTC; replace its files")
            return self._identity

    def _signed(self, data: bytes, kind: str, archive: bytes | None, identity: Identity) -> bytes:
        algorithm = getattr(c2pa.C2paSigningAlg, identity.algorithm.upper())
        signed = io.BytesIO()
        with (
            c2pa.Context(c2pa.Settings.from_dict(SETTINGS)) as context,
            c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, identity.chain, identity.key, None)) as signer,
            c2pa.Builder(json.dumps(_manifest(opened=archive is not None)), context) as builder,
        ):
            if archive is not None:
                builder.add_ingredient_from_archive(io.BytesIO(archive))
            builder.sign(signer, kind, io.BytesIO(data), signed)
        return signed.getvalue()


def _manifest(*, opened: bool) -> dict[str, object]:
    agent: dict[str, object] = {"name": "EACPS", "version": eacps.__version__}
    made: dict[str, object] = {"softwareAgent": agent, "digitalSourceType": SOURCE_TYPE}
    actions: list[dict[str, object]] = [{"action": "c2pa.created", **made}]
    if opened:
        from_scene: dict[str, object] = {"action": "c2pa.opened", "parameters": {"ingredientIds": [INGREDIENT_ID]}}
        actions = [from_scene, {"action": "c2pa.edited", **made}]
    return {
        "claim_generator_info": [agent],
        "title": "edited picture",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def format_of(data: bytes) -> str | None:
    """Return the media type of a file that can carry credentials; None for others."""
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return next((kind for magic, kind in _FORMATS.items() if data.startswith(magic)), None)
