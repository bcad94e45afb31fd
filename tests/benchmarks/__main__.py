"""Measure the package beside its peers and print tables: ``make bench``.

``make bench BENCH_ARGS="scaling command"`` takes those alone;
``make bench BENCH_ARGS=--write`` puts the tables into docs/benchmarks.md, where those that were not
taken again stay.
"""

import argparse
from pathlib import Path

from tests.benchmarks import (
    bench_boosting,
    bench_files,
    bench_metrics,
    bench_neural_network,
    bench_neutralization,
    bench_portfolio,
)
from tests.benchmarks._measure import machine

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEADER = """# Benchmarks

Taken by `make bench BENCH_ARGS=--write` on an idle machine: every comparison in one run, on the
same data, medians of several repetitions. The data are synthetic (`make_tournament`,
`make_market`), in the shape of the real ones. Ratios travel better between machines than times.

Machine: {machine}.
"""


def main():
    benchmarks = {
        function.__name__: function
        for module in (
            bench_neutralization,
            bench_files,
            bench_metrics,
            bench_portfolio,
            bench_neural_network,
            bench_boosting,
        )
        for function in module.BENCHMARKS
    }
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} in docs/")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(benchmarks)
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    header = HEADER.format(machine=machine())  # now, before peers load libraries of their own
    print(header)
    sections = _sections() if arguments.write else {}
    for name in arguments.names or benchmarks:
        table = benchmarks[name]()
        sections[table.title] = table.markdown()
        print(sections[table.title], flush=True)
    if arguments.write:
        PAGE.write_text("\n".join([header, *sections.values()]))


def _sections():
    """Tables of the page as it is, by title; those measured anew take their places."""
    text = PAGE.read_text() if PAGE.exists() else ""
    parts = text.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part}".rstrip() + "\n" for part in parts}


main()
