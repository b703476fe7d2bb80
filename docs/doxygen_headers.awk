# Copies headers as doxygen reads them: awk -v to=FOLDER -f doxygen_headers.awk graph/graph.h ... writes FOLDER/graph/graph.h.
# The comment at the top becomes the file's, and what is set in by two spaces and more is code, as it is meant, unless it
# goes on an item of a list. Doxygen takes Catch2's templates only inside their namespace. (As a filter of doxygen's own it
# would be started for each file, which takes minutes.)
function comment(before, text) {  # a line; `text` is what follows the slashes
  if (text ~ /^ [-*] / || text ~ /^ [0-9]+\. /) { in_list = 1; in_code = 0 }
  else if (text ~ /^ ? ?$/) { in_list = 0; in_code = 0 }
  else if (text !~ /^   /) { in_list = 0; if (in_code) print before "///" > out; in_code = 0 }
  else if (!in_list) {
    if (!in_code) print before "///" > out
    in_code = 1
    text = "     " text
  }
  gsub(/\\/, "\\\\\\\\", text)  # no header has commands of doxygen's
  print before "///" text > out
}
FNR == 1 {
  if (out != "") close(out)
  out = to "/" FILENAME
  at_top = 1; in_list = 0; in_code = 0; in_catch = 0; held = ""
  print "/// @file" > out
}
/^template <>$/ { held = $0; next }
/^struct Catch::/ { sub(/Catch::/, ""); held = "namespace Catch { " held; in_catch = 1 }
held != "" { print held > out; held = "" }
in_catch && /^};/ { $0 = "}; }"; in_catch = 0 }
at_top && /^\/\// { comment("", substr($0, 3)); next }
{ if (at_top) print "" > out; at_top = 0 }
/^ *\/\/\/($|[^<\/])/ {
  before = text = $0
  sub(/\/\/\/.*/, "", before)
  sub(/^ *\/\/\//, "", text)
  comment(before, text)
  next
}
{ in_list = 0; in_code = 0; print > out }
