#!/bin/sh
# printed.sh PROGRAM DOCS FOLDER: runs an example, in FOLDER, and compares what it prints with what the documents show of it:
# the block behind the line
#
#   <!-- printed by 080-gradient-flow -->
#
# up to numbers, whose last digits depend on the processor, and to the spaces around them. A line `..` stands for any lines.
set -eu
program=$1
docs=$2
folder=$3
name=$(basename "$program")
mkdir -p "$folder"
cd "$folder"
"$program" >"$name.out" || { # what it said is what a person needs
  code=$?
  cat "$name.out"
  exit "$code"
}

awk -v marker="<!-- printed by $name -->" '
  function plain(line) {
    gsub(/-?[0-9][0-9.]*(e[-+]?[0-9]+)?/, "#", line)
    gsub(/[ \t]+/, " ", line)
    gsub(/^ | $/, "", line)
    return line
  }
  # The lines of `part` stand one behind another in the output, from line `from` on: the line behind them, or 0.
  function behind(from,   at, k) {
    for (at = from; at + parts - 1 <= lines; at++) {
      for (k = 1; k <= parts && out[at + k - 1] == plain(part[k]); k++);
      if (k > parts) return at + parts
    }
    return 0
  }
  function end_of_part() {
    if (parts && at) at = behind(at)
    if (parts && !at && !bad) {
      bad = 1
      printf "%s:%d: %s does not print this (up to numbers):\n", FILENAME, FNR, marker
      for (k = 1; k <= parts; k++) print "  " part[k]
    }
    parts = 0
  }
  FNR == NR { out[++lines] = plain($0); next }
  in_block && /^```/ { end_of_part(); in_block = 0; blocks++; next }
  in_block && $0 == ".." { end_of_part(); next }
  in_block { part[++parts] = $0; next }
  announced && /^```$/ { in_block = 1; announced = 0; at = 1; parts = 0; next }
  announced { printf "%s:%d: no block behind %s\n", FILENAME, FNR, marker; bad = 1; announced = 0 }
  $0 == marker { announced = 1 }
  END { printf "%d blocks of the documents compared\n", blocks; exit bad }
' "$name.out" "$docs"/*.md "$docs"/../README.md
