"""How good the simulator's random numbers are: statistical tests along every axis of the keyed stream.

    .venv/bin/python benchmarks/stream.py [--numbers 20] [--outside small|more|none] [--dieharder]

Without anything else it runs the tests of tests/oracles/randomness.py, on 2^20 numbers each, in every walking
order of tests/oracles/keyed.py, and TestU01's SmallCrush if TestU01 and gcc are on the machine: 3 minutes.
`--outside more` adds Alphabit and, on the walk that the simulator itself takes, Rabbit and all of Crush (1 hour);
`--dieharder` adds those tests of dieharder that its author trusts (half an hour). TestU01 is the Debian package
libtestu01-0-dev, in its section non-free. Exit code 1 if anything speaks against the numbers.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from tests.oracles import keyed
from tests.oracles.randomness import top, turned, verdict

SEED = 20_250_315
BLOCK = 2**16
LEVEL = 1e-4  # of each verdict
DIEHARDER = (0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 15, 16, 17, 100, 101, 102, 202, 204, 205, 206, 207, 208, 209)

# Reads 32-bit words and prints one line a statistic; the Debian package has no battery as a command.
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bbattery.h>
#include <swrite.h>
#include <unif01.h>
static unsigned int words[1 << 14];
static unsigned long used = 1 << 14, blocks = 0;
static unsigned int next_word(void) {
    if (used == 1 << 14) {
        if (fread(words, 4, 1 << 14, stdin) != 1 << 14) { fprintf(stderr, "the stream has ended\n"); exit(2); }
        used = 0; blocks++;
    }
    return words[used++];
}
int main(int argc, char **argv) {
    char name[] = "keyed stream";
    unif01_Gen *g = unif01_CreateExternGenBits(name, next_word);
    const double bits = 1024.0 * 1024.0 * 256.0;
    swrite_Basic = FALSE;
    if (!strcmp(argv[1], "SmallCrush")) bbattery_SmallCrush(g);
    else if (!strcmp(argv[1], "Crush")) bbattery_Crush(g);
    else if (!strcmp(argv[1], "Alphabit")) bbattery_Alphabit(g, bits, 0, 32);
    else if (!strcmp(argv[1], "Rabbit")) bbattery_Rabbit(g, bits);
    else return 2;
    for (int i = 0; i < bbattery_NTests; i++) fprintf(stderr, "%.12g\t%s\n", bbattery_pVal[i], bbattery_TestNames[i]);
    fprintf(stderr, "# %.9g\n", blocks * 65536.0);
    return argc != 2;
}
"""


def chunks(walk: keyed.Walk, *, back: bool) -> Iterator[bytes]:
    """Yield the leading 32 bits of every number without end, or its last 32 bits, the last one first."""
    first = 0
    while True:
        k = keyed.simulators(walk.at(first, BLOCK, SEED))
        yield top(turned(k) if back else k, 32).astype(np.uint32).tobytes()
        first += BLOCK


def feed(command: list[str], walk: keyed.Walk, *, back: bool) -> tuple[str, str, int]:
    """Pour the stream into a command until it has had enough; return what it wrote and how many bytes it took."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err)  # noqa: S603
        pipe, poured = cast("IO[bytes]", process.stdin), 0
        try:
            for chunk in chunks(walk, back=back):
                pipe.write(chunk)
                poured += len(chunk)
        except BrokenPipeError:
            pass
        process.wait()
        out.seek(0)
        err.seek(0)
        return out.read(), err.read(), poured


def report(what: str, found: list[tuple[str, float]], note: str = "") -> bool:
    """Print one line on some p-values, and those that stand out; tell whether they are all right."""
    v = verdict([p for _, p in found])
    good = v.good(LEVEL)
    word = "good" if good else "BAD"
    print(f"{what:<46} {v.n:5d} {v.worst:10.2e} {v.bonferroni:11.3f} {v.kolmogorov:11.3f}  {word} {note}", flush=True)
    for name, p in found:
        if min(p, 1.0 - p) < 1e-4:
            print(f"    {name}: p = {p:.3g}")
    return good


def ours(log_numbers: int) -> bool:
    """Run our own tests."""
    groups: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for f in keyed.along(keyed.simulators, 2**log_numbers):
        groups[f.walk].append((f.test, f.p))
    for stream in range(4):
        for f in keyed.across(keyed.simulators, stream):
            groups["streams side by side"].append((f.walk, f.p))
        for f in keyed.avalanche(keyed.simulators, stream, 4096):
            groups["one bit of a coordinate turned over"].append((f.walk, f.p))
    groups["all of these"] = [x for found in groups.values() for x in found]
    bad = [what for what, found in groups.items() if not report(what, found)]
    twice = keyed.repeats(keyed.simulators)
    print(f"equal numbers among 2^18 that differ in a coordinate: {twice}")
    return not bad and twice == 0


def built(folder: Path) -> Path | None:
    """Compile the reader for TestU01; nothing if that is not to be had here."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    source, program = folder / "testu01.c", folder / "testu01"
    source.write_text(PROGRAM)
    libraries = ["-ltestu01", "-ltestu01probdist", "-ltestu01mylib", "-lm"]
    command = [gcc, "-O2", "-w", "-I/usr/include/testu01", "-o", str(program), str(source), *libraries]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    return program if done.returncode == 0 else None


def testu01(more: bool) -> bool:
    """Run the batteries of TestU01."""
    with tempfile.TemporaryDirectory() as folder:
        program = built(Path(folder))
        if program is None:
            print("no TestU01 here: apt-get install gcc libtestu01-0-dev (Debian, non-free)")
            return True
        good, poured, everything = True, 0, []
        for battery, walk, back in batteries(more):
            found, taken = battery_on(program, battery, walk, back=back)
            good &= report(f"{battery}, {walk.name}{', back' if back else ''}", found)
            everything += found
            poured += taken
        return report("all of TestU01", everything, f"({poured / 1e9:.1f} GB)") and good


def batteries(more: bool) -> Iterator[tuple[str, keyed.Walk, bool]]:
    """Yield what is run: the quick batteries everywhere, from both ends of the numbers, the slow ones once."""
    for battery in ("SmallCrush", "Alphabit") if more else ("SmallCrush",):
        for walk in keyed.WALKS:
            yield battery, walk, False
            yield battery, walk, True
    if more:
        yield "Rabbit", keyed.SIMULATORS, False
        yield "Crush", keyed.SIMULATORS, False


def battery_on(program: Path, battery: str, walk: keyed.Walk, *, back: bool) -> tuple[list[tuple[str, float]], int]:
    """Run one battery; give its p-values and how many bytes it took."""
    text = feed([str(program), battery], walk, back=back)[1].splitlines()
    found = [(name, float(p)) for p, name in (x.split("\t") for x in text if not x.startswith("#"))]
    # Its p-values are not uniform: of 90 on /dev/urandom, 17 were closer than 0.02 to 0 or 1, down to 1.7e-5.
    found = [x for x in found if battery != "Rabbit" or x[0] != "MultinomialBitsOver"]
    return found, int(float(text[-1].removeprefix("# ")))


def dieharder() -> bool:
    """Run the trustworthy tests of dieharder on the simulator's walk."""
    program = shutil.which("dieharder")
    if program is None:
        print("no dieharder here: apt-get install dieharder")
        return True
    walk, found, poured = keyed.SIMULATORS, [], 0
    for test in DIEHARDER:
        command = [program, "-g", "200", "-d", str(test), "-D", "test_name", "-D", "ntuple", "-D", "pvalues"]
        out, _, taken = feed(command, walk, back=False)
        rows = [[x.strip() for x in line.split("|")] for line in out.splitlines() if "|" in line]
        found += [(f"{name} {n}", float(p)) for name, n, p, *_ in rows]
        poured += taken
    return report(f"dieharder, {walk.name}", found, f"({poured / 1e9:.1f} GB)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Test the keyed stream of random numbers.")
    parser.add_argument("--numbers", type=int, default=20, help="logarithm (base 2) of the numbers a test; from 16")
    parser.add_argument("--outside", choices=("none", "small", "more"), default="small", help="batteries of TestU01")
    parser.add_argument("--dieharder", action="store_true")
    options = parser.parse_args()
    start = time.process_time()
    print(f"{'':<46} {'tests':>5} {'worst p':>10} {'Bonferroni':>11} {'Kolmogorov':>11}")
    good = ours(options.numbers)
    if options.outside != "none":
        good &= testu01(options.outside == "more")
    if options.dieharder:
        good &= dieharder()
    print(f"{'good' if good else 'BAD'}; {time.process_time() - start:.0f} s CPU beside the batteries")
    sys.exit(not good)


if __name__ == "__main__":
    main()
