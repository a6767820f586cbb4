"""Kinds: files that are not a text table or Parquet, told by their first bytes, with what to do about each."""

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.form import Name

SHEET, UNPACK = "save its sheet as CSV", "unpack it, and name the file in it"
PARQUET = "write it as Parquet or CSV"
KINDS = {
    b"PK\x03\x04": ("a zip archive", UNPACK),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", SHEET),
    b"BZh": ("compressed by bzip2", UNPACK),
    b"\xfd7zXZ": ("compressed by xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", UNPACK),
    b"7z\xbc\xaf": ("a 7z archive", UNPACK),
    b"Rar!": ("a rar archive", UNPACK),
    b"ARROW1": ("an Arrow (Feather) file", PARQUET),
    b"ORC": ("an ORC file", PARQUET),
    b"\x89HDF": ("an HDF5 file", PARQUET),
    b"SQLite format 3": ("an SQLite database", "export its table as CSV"),
    b"\x80\x04\x95": ("a pickle", PARQUET),
    b"\x80\x05\x95": ("a pickle", PARQUET),
    b"%PDF": ("a PDF document", "bring its table as CSV"),
    b"version https://git-lfs": ("a pointer of Git LFS", "run `git lfs pull`, which brings the file itself"),
}
PAGES = (b"<!doctype html", b"<html")


def refuse_others(head: bytes, name: Name) -> None:
    """Raise DataError when a file, told by its first bytes after unpacking gzip, is of a kind that is not read."""
    kind, remedy = next((found for magic, found in KINDS.items() if head.startswith(magic)), ("", ""))
    text = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind == "a zip archive" and (b"[Content_Types].xml" in head or b"xl/" in head):
        kind, remedy = "an Excel workbook", SHEET
    elif head[257:262] == b"ustar":
        kind, remedy = "a tar archive", UNPACK
    elif text[:14].lower().startswith(PAGES):
        kind, remedy = "a web page", "download the file itself"
    elif text.startswith(b"[") and text[1:].lstrip()[:1] in (b"{", b"["):
        kind, remedy = (
            "a JSON array",
            f"write each row as an object on a line of its own: jq -c '.[]' {name} > rows.jsonl",
        )
    if kind:
        raise DataError(f"{name} is {kind}, which is not read: {remedy}.")
