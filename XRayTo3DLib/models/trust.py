"""Which model files may run: those released with this software, and those that the user trusted, by their SHA-256.

Each trusted file is one empty file named by its digest, in the folder ``trusted_models`` of the user's settings: programs that
trust at the same time lose nothing, and a damaged entry spoils no other.
"""

from __future__ import annotations

from pathlib import Path

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import resources_folder, user_folder, writing

#: The list of the released files' digests, beside them.
CHECKSUMS = "SHA256SUMS"


def bundled_folder() -> Path:
    """The folder with the models of this software."""
    return resources_folder() / "Models"


def released() -> dict[str, str]:
    """File name to SHA-256 of the bundled models as they were released."""
    try:
        lines = (bundled_folder() / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {name.strip(): digest for digest, _, name in (line.partition("  ") for line in lines)}


def check_released(path: Path, sha256: str) -> None:
    """Raise :class:`InputError` when a file of the bundled folder is not the one it was released as."""
    if released().get(path.name) != sha256:
        raise InputError(
            f"The bundled model {path} is not the file it was released as (its SHA-256 differs from {CHECKSUMS}): "
            "restore it from the repository."
        )


def is_trusted_digest(sha256: str) -> bool:
    """Whether the file with this SHA-256 was released with this software or trusted by the user."""
    return sha256 in released().values() or (trust_folder() / sha256).is_file()


def trust_digest(sha256: str) -> None:
    """Remember that the user allows the file with this SHA-256 to run."""
    with writing(trust_folder() / sha256) as temporary:
        temporary.touch()


def trust_folder() -> Path:
    """Where the user's trust is kept."""
    return user_folder("config") / "trusted_models"
