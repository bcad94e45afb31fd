"""Measure the package beside its peers and print tables: ``make bench``.

``make bench BENCH_ARGS="scaling command"`` takes those alone;
``make bench BENCH_ARGS=--write`` puts the tables into docs/benchmarks.md.
"""

import argparse
from pathlib import Path

from tests.benchmarks import bench_command, bench_neutralization
from tests.benchmarks._measure import machine

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEADER = """# Benchmarks

Taken by `make bench BENCH_ARGS=--write`: every comparison in one run, on the same data, medians of
several repetitions. The data are synthetic (`make_tournament`), in the shape of the real ones.
Ratios travel better between machines than times.

Machine: {machine}.
"""


def main():
    benchmarks = {
        function.__name__: function
        for module in (bench_neutralization, bench_command)
        for function in module.BENCHMARKS
    }
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} in docs/")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(benchmarks)
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    pages = [HEADER.format(machine=machine())]
    print(pages[0])
    for name in arguments.names or benchmarks:
        pages.append(benchmarks[name]().markdown())
        print(pages[-1], flush=True)
    if arguments.write:
        PAGE.write_text("\n".join(pages))


main()
