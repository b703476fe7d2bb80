#!/bin/sh
# Puts each fault of mutants.txt into a copy of the sources, builds, and runs the generated tests of the ops it names:
# a fault is caught if they fail. Writes docs/mutants.md. Run from the root by `./weft check mutants [FILTER]`; FILTER is
# a part of a fault's line.
set -eu
filter=${1:-}
root=$PWD
work=$root/build/mutants
mkdir -p "$work/tree"
git ls-files -co --exclude-standard | tar -cf - -T - | tar -xf - -C "$work/tree"
cd "$work/tree"
export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1
cmake --preset release >configure.log
echo "building the copy"
cmake --build --preset release --target weft_tests >build.log

# One fault a line: file, ops, fault, text, text; between them a byte that no source has.
awk -F' [|] ' 'function out() { if (file != "") printf "%s\001%s\001%s\001%s\001%s\n", file, ops, fault, from, to; file = "" }
  /^#/ { next }
  /^$/ { out(); next }
  /^-/ && file != "" { from = substr($0, 2); next }
  /^\+/ && file != "" { to = substr($0, 2); next }
  { file = $1; ops = $2; fault = $3; from = to = "" }
  END { out() }' tests/mutants/mutants.txt | grep -F -- "$filter" >"$work/list"

table=$work/table
: >"$table"
total=0 caught=0
separator=$(printf '\001')
while IFS="$separator" read -r file ops fault from to; do
  total=$((total + 1))
  cp "$root/$file" "$work/sound"
  # shellcheck disable=SC2016
  FROM=$from TO=$to awk '
    { at = index($0, ENVIRON["FROM"])
      if (at) { found++; $0 = substr($0, 1, at - 1) ENVIRON["TO"] substr($0, at + length(ENVIRON["FROM"])) }
      print }
    END { exit found == 1 ? 0 : 1 }' "$work/sound" >"$file" || {
    echo "the text of '$fault' is not once in $file" >&2
    cp "$work/sound" "$file"
    echo "| $file | $ops | $fault | not applied |" >>"$table"
    continue
  }
  if ! cmake --build --preset release --target weft_tests >build.log 2>&1; then
    result="does not compile"
  elif WEFT_OP=$ops timeout 600 build/release/bin/weft_tests "every registered op*" >test.log 2>&1 </dev/null; then
    result="SURVIVED"
  else
    caught=$((caught + 1))
    result="caught: $(sed -n 's/^ *[a-z_0-9]*, sample -*[0-9]*, \([^:(]*\).*/\1/p' test.log | sed 's/ $//' | sort -u | head -n 4 | paste -sd, - |
      sed 's/,/, /g')"
  fi
  printf '%3d  %s: %s: %s\n' "$total" "$ops" "$fault" "$result"
  echo "| $file | $ops | $fault | $result |" >>"$table"
  cp "$work/sound" "$file"
done <"$work/list"

if [ -z "$filter" ]; then
  {
    echo "# Mutants"
    echo
    echo "Deliberate faults (tests/mutants/mutants.txt) and the generated checks that caught each (the first four)."
    echo "Written by \`./weft check mutants\`: $caught of $total caught."
    echo
    echo "| file | ops | fault | result |"
    echo "| --- | --- | --- | --- |"
    cat "$table"
  } >"$root/docs/mutants.md"
fi
echo "$caught of $total mutants caught"
[ "$caught" -eq "$total" ]
