"""Parts of a document that a program writes, between two comments."""

from pathlib import Path


def replace(file: Path, name: str, text: str) -> None:
    """Puts a text between `<!-- NAME -->` and `<!-- end of NAME -->` in a file that has both."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = file.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{file} has no part between {begin} and {end}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")
