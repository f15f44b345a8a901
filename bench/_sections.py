"""Parts of bench/RESULTS.md that other machines or other programs write, between marks of their own."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def write_section(name: str, section: str) -> None:
    RESULTS.write_text(with_section(RESULTS.read_text() if RESULTS.exists() else "", name, section))


def with_section(text: str, name: str, section: str) -> str:
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    begin, end = text.find(first), text.find(last)
    if (begin < 0) != (end < 0) or end < begin:
        raise ValueError(f"the marks {first} and {last} do not stand in this order; mend bench/RESULTS.md by hand.")
    before, after = (text.rstrip() + "\n\n", "\n") if begin < 0 else (text[:begin], text[end + len(last) :])
    return f"{before}{first}\n\n{section.strip()}\n\n{last}{after}"
