"""Published archives that torchvision knows: downloaded once, unpacked, and checked by their published sums."""

import tarfile
import zlib
from functools import lru_cache
from pathlib import Path

from torchvision.datasets import CIFAR10, STL10
from torchvision.datasets.utils import check_integrity, download_url

from orchestrator.core.errors import UserError
from orchestrator.data.locations import expanded

# CIFAR100 extends CIFAR10. Only the URLs, file names and MD5 sums of the classes are used.
Archive = type[CIFAR10] | type[STL10]


def require(archive: Archive, root: str, *, download: bool) -> Path:
    """The folder of an unpacked archive, after checking every file in it.

    Args:
        archive: torchvision's class.
        root: folder that holds the archive and its unpacked files, or will hold them.
        download: whether to download the archive if neither it nor its files exist.

    Raises:
        UserError: if the files are missing and cannot be downloaded; says how to get them by hand.
    """
    folder = expanded(root)
    packed = folder / archive.filename
    if _whole(archive, folder):
        return folder / archive.base_folder
    by_hand = f"put {archive.filename} (MD5 {archive.tgz_md5}) from {archive.url} into {folder} and run the same again"
    if not download and not check_integrity(packed, archive.tgz_md5):
        raise UserError(
            f"{archive.__name__} is not in {folder}, and run.dataset.download is false: set it to true, or {by_hand}"
        )
    try:
        # Downloads nothing if a file with the right sum exists.
        download_url(archive.url, folder, archive.filename, archive.tgz_md5)
        with tarfile.open(packed) as tar:
            # PEP 706; Python 3.11.0 to 3.11.3 have no filters, and 3.12 warns where none is chosen.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            tar.extractall(folder)
    except (OSError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"{archive.__name__} cannot be fetched and unpacked ({error}): {by_hand}") from error
    if not _whole(archive, folder):
        raise UserError(f"{archive.__name__} unpacked from {packed} is damaged: delete {packed}, and {by_hand}")
    return folder / archive.base_folder


def sums(archive: Archive) -> list[str]:
    """The published MD5 sums of all files with images or labels, used in place of their pixels in a fingerprint."""
    return [md5 for _, md5 in _files(archive)]


def _files(archive: Archive) -> list[list[str]]:
    return archive.train_list + archive.test_list


def _whole(archive: Archive, folder: Path) -> bool:
    return all(_is_whole(folder / archive.base_folder / name, md5) for name, md5 in _files(archive))


def _is_whole(file: Path, md5: str) -> bool:
    if not file.is_file():
        return False
    state = file.stat()
    return _has_sum(file, md5, state.st_size, state.st_mtime_ns)


# STL-10 has 3 GB and is checked for every split; a file is read again only if it was modified.
@lru_cache(maxsize=32)
def _has_sum(file: Path, md5: str, size: int, modified: int) -> bool:
    return check_integrity(file, md5)
