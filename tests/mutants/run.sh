#!/bin/sh
# Puts each fault of mutants.txt into a copy of the sources, builds, and runs the generated checks of the ops it names:
# a fault is caught if they fail. Writes docs/mutants.md. Run from the root by `./weft check mutants [FILTER]`; FILTER is an
# extended regular expression of lines of faults. As many copies as processors, each with a fault of its own (JOBS=N for another number).
#   run.sh --verify   only says of which faults the text is not exactly once in its file (ctest: layout.mutants)
set -eu
root=$PWD
work=$root/build/mutants
separator=$(printf '\001')
export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1

if [ "${1:-}" = --verify ]; then
  exec awk -F' [|] ' 'function check(n, line) { n = 0
      while ((getline line < file) > 0) if (index(line, from)) n++
      close(file)
      if (n != 1) { printf "%s | %s | %s: the text is on %d lines\n", file, ops, fault, n; bad = 1 }
      file = "" }
    /^#/ { next }
    /^$/ { if (file != "") check(); next }
    /^-/ && file != "" { from = substr($0, 2); next }
    /^\+/ && file != "" { next }
    { file = $1; ops = $2; fault = $3 }
    END { if (file != "") check(); exit bad }' tests/mutants/mutants.txt
fi

if [ "${1:-}" = --one ]; then # fault $2 of the list, in the copy of this process's slot
  cd "$work/tree$SLOT"
  IFS=$separator read -r file ops fault from to <<TEXT
$(sed -n "$2p" "$work/list")
TEXT
  # shellcheck disable=SC2016
  if ! FROM=$from TO=$to awk '
    { at = index($0, ENVIRON["FROM"])
      if (at) { found++; $0 = substr($0, 1, at - 1) ENVIRON["TO"] substr($0, at + length(ENVIRON["FROM"])) }
      print }
    END { exit found == 1 ? 0 : 1 }' "$root/$file" >"$file"; then
    result="not applied: the text is not once in the file"
  elif ! cmake --build --preset release --target weft_ops >build.log 2>&1; then
    result="does not compile"
  else
    status=0
    # shellcheck disable=SC2046
    timeout 600 build/release/bin/weft_ops --run $(echo "$ops" | tr , ' ') >test.log 2>&1 </dev/null || status=$?
    checks=$(sed -n 's/^ *[a-z_0-9]*, sample -*[0-9]*, \([^:(]*\).*/\1/p' test.log | sed 's/ $//' | sort -u |
      head -n 4 | paste -sd, - | sed 's/,/, /g')
    if [ "$status" -eq 0 ]; then
      result="SURVIVED"
    elif [ "$status" -eq 1 ] && [ -n "$checks" ]; then
      result="caught: $checks"
    elif [ "$status" -eq 124 ]; then
      result="caught: it does not end"
    elif [ "$status" -eq 2 ]; then
      result="not applied: an op without that name"
    else
      result="caught: it ends with status $status"
    fi
  fi
  cp "$root/$file" "$file"
  printf '%3d  %s: %s: %s\n' "$2" "$ops" "$fault" "$result"
  echo "| $file | $ops | $fault | $result |" >"$work/rows/$(printf '%03d' "$2")"
  exit 0
fi

filter=${1:-}
jobs=${JOBS:-$(nproc)}
rm -rf "$work/rows"
mkdir -p "$work/rows"
# One fault a line: file, ops, fault, text, text; between them a byte that no source has.
awk -F' [|] ' 'function out() { if (file != "") printf "%s\001%s\001%s\001%s\001%s\n", file, ops, fault, from, to; file = "" }
  /^#/ { next }
  /^$/ { out(); next }
  /^-/ && file != "" { from = substr($0, 2); next }
  /^\+/ && file != "" { to = substr($0, 2); next }
  { file = $1; ops = $2; fault = $3; from = to = "" }
  END { out() }' tests/mutants/mutants.txt | grep -E -- "$filter" >"$work/list"

# The copies differ from the root by the fault only, so ccache knows all else. What is in them already stays built.
slot=0
while [ "$slot" -lt "$jobs" ]; do
  tree=$work/tree$slot
  mkdir -p "$tree"
  git ls-files -co --exclude-standard | sort >"$work/files"
  (cd "$tree" && find . -path ./build -prune -o -type f -print) | sed 's|^\./||' | sort | comm -13 "$work/files" - |
    while read -r file; do rm "$tree/$file"; done
  while read -r file; do
    cmp -s "$file" "$tree/$file" || { mkdir -p "$tree/$(dirname "$file")" && cp -p "$file" "$tree/$file"; }
  done <"$work/files"
  echo "building copy $slot"
  (cd "$tree" && cmake --preset release >configure.log && cmake --build --preset release --target weft_ops >build.log)
  slot=$((slot + 1))
done
# shellcheck disable=SC2046
(cd "$work/tree0" && build/release/bin/weft_ops --run $(cut -d "$separator" -f 2 "$work/list" | tr , '\n' | sort -u) >test.log) || {
  echo "the checks fail without any fault: $work/tree0/test.log" >&2
  exit 1
}

total=$(wc -l <"$work/list")
seq "$total" | xargs -n 1 -P "$jobs" --process-slot-var=SLOT sh "$0" --one
cat "$work"/rows/* >"$work/table"
caught=$(grep -c '| caught: ' "$work/table" || true)
if [ -z "$filter" ]; then
  {
    echo "# Mutants"
    echo
    echo "Deliberate faults (tests/mutants/mutants.txt) and the generated checks that caught each (the first four)."
    echo "Written by \`./weft check mutants\`: $caught of $total caught."
    echo
    echo "| file | ops | fault | result |"
    echo "| --- | --- | --- | --- |"
    cat "$work/table"
  } >"$root/docs/mutants.md"
fi
echo "$caught of $total mutants caught"
[ "$caught" -eq "$total" ]
