"""Pictures in files: folders of classes, or a table of paths and labels."""

from pathlib import Path

from vit.data.found import Found, ReadOptions
from vit.data.images import Images
from vit.data.listing.class_folders import count_classes, list_class_folders
from vit.data.listing.listing import Listing
from vit.data.listing.manifest import find_manifest, list_manifest, possible_manifest
from vit.data.listing.tree import read_tree
from vit.data.readers.decoding import decode_listing
from vit.data.tables.table_file import SUFFIXES, suffix_of
from vit.errors import VitError

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def read_folder(root: Path, options: ReadOptions) -> Found[Images]:
    """List the pictures below a folder, and decode each of them once, in RGB.

    Args:
        root: A folder as `list_class_folders` takes it, or a table or folder as `list_manifest` does.
        options: `size` None: 64 x 64. Pixels of up to `memory_gb` are kept; above it, pictures are decoded
            again for every batch.

    Returns:
        Names are paths relative to `root`. Files that cannot be decoded are in `skipped`, so that they do not
        end the run later.

    Raises:
        VitError: No class folders, names that allow more than one reading, or no picture that can be read.
    """
    return decode_listing(list_pictures(root, options), options)


def list_pictures(root: Path, options: ReadOptions) -> Listing:
    """The pictures of a dataset and their labels; nothing is decoded.

    Class folders come before a table that lies beside them, unless the options name its columns.

    Raises:
        VitError: There is neither, or the names allow more than one reading.
    """
    if root.suffix.lower() in ARCHIVES and root.is_file() and suffix_of(root) not in SUFFIXES:
        raise VitError(f"{root} is an archive: unpack it, and give the folder as data.root")
    if root.is_file() and suffix_of(root) in SUFFIXES:
        return list_manifest(root, options)
    if not root.is_dir():
        raise VitError(f"{root} is not a folder, expected one with a folder of pictures per class")
    tree = read_tree(root)
    classes = count_classes(tree)
    if options.input_column or options.label_column or options.several_labels:
        return list_manifest(_required_table(root), options)
    manifest = _manifest(root, options, required=classes < 2)
    if manifest is not None and classes < 2:
        return list_manifest(manifest, options)
    listing = list_class_folders(tree)
    if manifest is None:
        if (table := possible_manifest(root)) is not None and table != root:
            listing.notes.append(
                f"{table.name} is left aside: --data.input_column and --data.label_column say how to read it"
            )
    else:
        tables = "the tables in it" if manifest == root else manifest.name
        listing.notes.append(
            f"{root}: its folders name the classes; --data.label_column NAME reads {tables} instead"
        )
    return listing


def _required_table(root: Path) -> Path:
    """The table whose columns the options name.

    Raises:
        VitError: There is none.
    """
    table = possible_manifest(root)
    if table is None:
        raise VitError(
            f"{root} has no table that lists its pictures, and a column or a separator of one is given: "
            "leave it out, or give the table as data.root"
        )
    return table


def _manifest(root: Path, options: ReadOptions, *, required: bool) -> Path | None:
    """A table that lists the pictures; where class folders do without it, one that is ambiguous is none."""
    try:
        return find_manifest(root, options)
    except VitError:
        if required:
            raise
        return None
