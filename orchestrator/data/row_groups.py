"""Row groups of Parquet files: the unit in which streamed images are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from orchestrator.core.errors import UserError, first_line
from orchestrator.storage.object_store import ObjectPlace
from orchestrator.storage.s3 import explained, store

if TYPE_CHECKING:  # imported only where Parquet files are read
    import pyarrow as pa
    from pyarrow import parquet

File = Path | ObjectPlace  # or a folder


@dataclass(frozen=True)
class Group:
    """A row group in memory, its images still encoded.

    Args:
        name: of the file.
        start: number of its first row in the file.
        first: index of its first selected row among all selected rows.
        offsets: the selected rows, counted from its first row, (n,).
        images: contents of image files.
        masks: likewise, or None.
    """

    name: str
    start: int
    first: int
    offsets: Int64[np.ndarray, "n"]
    images: "pa.ChunkedArray"
    masks: "pa.ChunkedArray | None"

    def content(self, row: int) -> tuple[str, bytes | None, bytes | None]:
        """The name, image and mask of a selected row, by its index among all selected rows."""
        offset = int(self.offsets[row - self.first])
        mask = None if self.masks is None else self.masks[offset].as_py()
        return f"{self.name} row {self.start + offset}", self.images[offset].as_py(), mask


@dataclass(frozen=True)
class RowGroups:
    """Locations of some rows of a part; small enough to be sent to every worker that can read the files.

    Args:
        files: in order.
        places: for each row group its file, its number in the file, and its first row in the file, (G, 3).
        starts: first row of each row group among all rows of the part, and the total, (G + 1,).
        nbytes: of each row group, uncompressed, (G,).
        rows: the selected rows among all rows of the part, ascending, (N,).
    """

    files: tuple[File, ...]
    places: Int64[np.ndarray, "G 3"]
    starts: Int64[np.ndarray, "bounds"]
    nbytes: Int64[np.ndarray, "G"]
    rows: Int64[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def bounds(self) -> Int64[np.ndarray, "bounds"]:
        """First selected row of each row group among all selected rows, and the total, (G + 1,)."""
        return np.searchsorted(self.rows, self.starts)

    def of(self, rows: Int64[np.ndarray, "B"]) -> Int64[np.ndarray, "B"]:
        """The row groups of selected rows."""
        return np.searchsorted(self.bounds, rows, side="right") - 1

    def read(self, group: int, *, masked: bool) -> Group:
        """Reads a row group, with or without masks.

        Raises:
            UserError: if its file is missing, damaged or has changed.
        """
        import pyarrow as pa
        from pyarrow import parquet

        number, index, start = self.places[group].tolist()
        file = self.files[number]
        first, end = self.bounds[group : group + 2].tolist()
        try:
            with parquet.ParquetFile(native(file)) as source:
                there = source.schema_arrow.names
                table = source.read_row_group(
                    index, [name for name in ("image", "mask")[: 1 + masked] if name in there]
                )
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"{file}: row group {index} cannot be read ({first_line(error)}); streamed files must stay "
                "unchanged, where every worker can read them"
            ) from error
        if table.num_rows != self.starts[group + 1] - self.starts[group]:
            raise UserError(f"{file} has changed since the training started; restore it")
        masks = contents(table.column("mask")) if "mask" in table.column_names else None
        offsets = self.rows[first:end] - self.starts[group]
        return Group(file.name, start, first, offsets, contents(table.column("image")), masks)


def row_groups(files: Sequence[File], rows: Int64[np.ndarray, "N"] | None = None) -> RowGroups:
    """Locations of the given rows of some files, or of all."""
    places, sizes, nbytes = [], [], []
    for number, file in enumerate(files):
        metadata, start = opened(file).metadata, 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            places.append((number, index, start))
            sizes.append(group.num_rows)
            nbytes.append(group.total_byte_size)
            start += group.num_rows
    starts = np.cumsum([0, *sizes], dtype=np.int64)
    return RowGroups(
        files=tuple(files),
        places=np.array(places, np.int64).reshape(-1, 3),
        starts=starts,
        nbytes=np.array(nbytes, np.int64),
        rows=np.arange(starts[-1]) if rows is None else rows,
    )


def native(file: File) -> "pa.NativeFile":
    """A file opened for pyarrow.

    Raises:
        OSError: if it is missing, or the store fails.
    """
    if isinstance(file, Path):
        import pyarrow as pa

        return pa.OSFile(str(file))
    bucket = file.path.parts[0]
    with explained(str(file), bucket):
        return store(bucket, file.query, patient=True).open_input_file(str(file.path))


def opened(file: File) -> "parquet.ParquetFile":
    """Opens a Parquet file and reads its footer.

    Raises:
        UserError: if it cannot be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(native(file))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} cannot be read as Parquet: {first_line(error)}") from error


def contents(column: Any) -> Any:
    """The bytes of a column, which may be a struct of bytes and path."""
    import pyarrow as pa

    return column.flatten()[column.type.get_field_index("bytes")] if pa.types.is_struct(column.type) else column
