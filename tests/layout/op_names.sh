#!/bin/sh
# layout.op_names: outside ops/ no op is told by its name. What is true of an op is a field of its definition, so that a
# user's own is judged as the library's are. A fault is a name of docs/ops.md's table in a string that is compared (==,
# !=, find, contains, a list or a map of names), or a comparison with such an op's definition (== &multiply_op()).
# Usage: sh tests/layout/op_names.sh [SOURCE FOLDER]
cd "${1:-.}" || exit 1

# Files that may, each with the reason.
allowed="nn/attention_nodes.cpp:attention"                # lists the attention nodes of a module, asks for no property
allowed="$allowed runtime/memory/plan.cpp:row_region"     # asks each member of a region what is true of it
allowed="$allowed runtime/store.cpp:uniform runtime/store.cpp:normal"  # kinds of initialisers (graph/initializer.h)

find graph runtime autodiff optim inspect nn io testing -name '*.h' -o -name '*.cpp' | LC_ALL=C sort |
  xargs awk -v allowed="$allowed" '
    function fault(what) {
      if (index(" " allowed " ", " " FILENAME ":" name " ")) return
      print "  " FILENAME ":" FNR ": " what
      faults++
    }
    FILENAME == "docs/ops.md" {
      if (/^## /) table = /^## Functions/ ? 0 : table
      if (/^\| op \|/) table = 1
      if (table && match($0, /^\| `[a-z0-9_]+` \|/)) {
        name = $0
        gsub(/^\| `|` \|.*$/, "", name)
        known[name] = 1
        count++
      }
      next
    }
    FNR == 1 { before = ""; last = "" }
    {
      line = $0
      sub(/^[ \t]*\/\/.*$/, "", line)
      # Identity.
      rest = line
      while (match(rest, /[!=]= *&[a-z0-9_]+_op\(\)/)) {
        name = substr(rest, RSTART, RLENGTH)
        gsub(/^[!=]= *&|_op\(\)$/, "", name)
        if (name in known) fault("is compared with " name "_op()")
        rest = substr(rest, RSTART + RLENGTH)
      }
      # Strings. What stands before one may be on the line above.
      rest = line
      while (match(rest, /"[^"\\]*"/)) {
        before = before " " substr(rest, 1, RSTART - 1)
        name = substr(rest, RSTART + 1, RLENGTH - 2)
        rest = substr(rest, RSTART + RLENGTH)
        if (name in known) {
          if (before ~ /[!=]= *$/ || rest ~ /^ *[!=]=/) fault("\"" name "\" is compared")
          else if (before ~ /(contains|find|count|starts_with|ends_with|compare)\( *$/) fault("\"" name "\" is looked up")
          else if (last != "" && before ~ /^[ ,{}]*$/) fault("\"" last "\", \"" name "\": a list of names of ops")
        }
        last = name in known ? name : ""
        before = ""
      }
      before = before " " rest
      if (length(before) > 200) before = substr(before, length(before) - 200)
    }
    END {
      if (count < 100) { print "  docs/ops.md lists only " count + 0 " ops: its table has another form"; faults++ }
      exit faults > 0
    }' docs/ops.md && exit 0
echo "Names of ops against tests/layout/op_names.sh; hint: a field of OpDef (graph/op_def.h) says what is true of the op"
exit 1
